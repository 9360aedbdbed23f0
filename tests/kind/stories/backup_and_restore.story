# A backup; then everything is deleted, volumes too; a new Registry begins from the backup and has what there was; made again with its volumes it does not
# Everyone may push, and who has an account may do more: so the operator offers a token for the first administrator.
anonymous=Push
small_index | registry images registry.example.test
rests images
outside images
host=registry.example.test
offered() { k get secret images-first-administrator -o 'jsonpath={.data.token}' 2>/dev/null | base64 -d >"$work/first" && [ -s "$work/first" ]; }
wait_for 60 offered
from_outside $host user first alice --token "$(cat "$work/first")" <<<"the administrator's" >/dev/null
as_alice() { ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's" from_outside $host "$@"; }
as_alice robot create ci --allow 'team/**=push' >"$work/ci" 2>/dev/null
# Who has logged in is refused when the secret is not right, though anybody may pull here: so it tells whether accounts are there.
crane auth login $host -u ci -p "$(cat "$work/ci")" 2>/dev/null
push_app app registry.example.test/team/app:1
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
traffic_ends
k apply -f - >/dev/null <<'YAML'
apiVersion: roadstead.dev/v1alpha1
kind: RegistryBackup
metadata: { name: before }
spec: { registry: images }
YAML
k wait --for=condition=Ready registrybackup/before --timeout=120s
note "the backup is $(k get registrybackup before -o 'jsonpath={.status.last.name}') at $(k get registrybackup before -o 'jsonpath={.status.last.position}')"
# What is done behind it is not in it.
push_app app registry.example.test/team/app:after
as_alice robot create late --allow 'team/**=push' >/dev/null 2>&1
digest=$(crane digest registry.example.test/team/app:1)
cluster=$(field images .status.index.cluster)
kill $(cat "$work/pids"); rm "$work/pids" "$work/images.port"
k delete registrybackup before >/dev/null
k delete registry images --timeout=120s >/dev/null
none() { [ -z "$(k get pods -o name)" ]; }
wait_for 120 none
k delete persistentvolumeclaims --all --timeout=120s >/dev/null
{ small_index; echo '  bootstrap: { backup: before, takeOver: true }'; } | registry images registry.example.test
rests images 300
expect "the cluster that was restored" "$(field images .status.index.cluster)" "$cluster"
expect "nodes that are well" "$(field images .status.index.ready)" 3/3
outside images
expect "the image, for a robot of the backup" "$(crane digest registry.example.test/team/app:1)" "$digest"
expect "the accounts of the backup" "$(as_alice robot list | grep -cwE 'ci|late')" 1
! crane digest registry.example.test/team/app:after 2>/dev/null
python3 "$stories/traffic.py" check --proxy "$proxy" --host registry.example.test --ca "$ca" --log "$work/pushed"
push_app app registry.example.test/team/app:2
# A schedule makes them by itself, and keeps as many as it is told.
k apply -f - >/dev/null <<'YAML'
apiVersion: roadstead.dev/v1alpha1
kind: RegistryBackup
metadata: { name: minutely }
spec: { registry: images, schedule: "* * * * *", retention: { count: 1 } }
YAML
made() { [ -n "$(k get registrybackup minutely -o 'jsonpath={.status.last.name}')" ]; }
wait_for 120 made
first=$(k get registrybackup minutely -o 'jsonpath={.status.last.name}')
another() { [ "$(k get registrybackup minutely -o 'jsonpath={.status.last.name}')" != "$first" ]; }
wait_for 120 another
one() { expect kept "$(k get registrybackup minutely -o 'jsonpath={.status.kept[*].name}' | wc -w)" 1; }
wait_for 60 one
# Before the object goes, what it made may go.
in_bucket() { k exec images-index-0 -- roadstead backup list | grep -c '^minutely' || true; }
[ "$(in_bucket)" -gt 0 ] || { k exec images-index-0 -- roadstead backup list; exit 1; }
k patch registrybackup minutely --type merge -p '{"spec":{"retention":{"count":0}}}' >/dev/null
emptied() { [ -z "$(k get registrybackup minutely -o 'jsonpath={.status.kept[*].name}')" ] && [ "$(k get registrybackup minutely -o 'jsonpath={.status.conditions[0].reason}')" = Suspended ]; }
wait_for 60 emptied
expect "backups in the bucket" "$(in_bucket)" 0
# The same object made again still says that it once began from a backup. What its volumes have counts, though one of them is lost.
newest=$(crane digest registry.example.test/team/app:2)
kill $(cat "$work/pids"); rm "$work/pids" "$work/images.port"
k delete registrybackup minutely >/dev/null
k delete registry images --timeout=120s >/dev/null
wait_for 120 none
k delete persistentvolumeclaim data-images-index-0 --timeout=120s >/dev/null
k apply -f "$work/images.yaml" >/dev/null
rests images 300
expect "the cluster that goes on" "$(field images .status.index.cluster)" "$cluster"
expect "nodes that are well" "$(field images .status.index.ready)" 3/3
outside images
expect "what was pushed after the backup" "$(crane digest registry.example.test/team/app:2)" "$newest"
