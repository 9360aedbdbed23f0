# Users, robots and policies are objects: passwords come from Secrets, pull secrets go where they are wanted, and what others made stays theirs
small_index | { cat; echo '  nodes: { trust: true }'; } | anonymous=Nothing registry images registry.example.test
team=$ns-team
trap 'kubectl delete namespace "$team" --ignore-not-found --wait=false >/dev/null' EXIT
kubectl delete namespace "$team" --ignore-not-found --timeout=120s >/dev/null
kubectl create namespace "$team" >/dev/null
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
host=registry.example.test
reason() { k get "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}'; }
message() { k get "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}'; }
is() { [ "$(reason "$1")" = "$2" ]; }
comes_to() { wait_for "${3:-60}" is "$1" "$2" || { k describe "$1" | tail -30; return 1; }; }
secret() { k create secret generic "$1" --from-literal=password="$2" --dry-run=client -o yaml | k apply -f - >/dev/null; }
as() { ROADSTEAD_USER=$1 ROADSTEAD_PASSWORD=$2 from_outside $host "${@:3}"; }

# A user with a password from a Secret, and what his group may do.
secret alice "alice's first"
secret boss "the administrator's"
k apply -f - >/dev/null <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: RegistryUser
metadata: { name: alice }
spec: { registry: images, passwordSecret: { name: alice }, groups: [dev] }
---
apiVersion: roadstead.dev/v1alpha1
kind: RegistryUser
metadata: { name: boss }
spec: { registry: images, passwordSecret: { name: boss }, administrator: true }
---
apiVersion: roadstead.dev/v1alpha1
kind: RegistryPolicy
metadata: { name: team }
spec:
  registry: images
  rules:
  - { subjects: ['group:dev'], repositories: ['team/**'], role: push }
YAML
for object in registryuser/alice registryuser/boss registrypolicy/team; do comes_to $object Applied; done
crane auth login $host -u alice -p "alice's first" 2>/dev/null
push_app app $host/team/app:1
if push_app app $host/other/app:1 2>/dev/null; then echo "a policy gave more than it says"; exit 1; fi
secret alice "alice's second"
began=$SECONDS
second() { as alice "alice's second" token list >/dev/null 2>&1; }
wait_for 60 second
note "another password is in force after $((SECONDS - began)) s"
if as alice "alice's first" token list >/dev/null 2>&1; then echo "the old password is still good"; exit 1; fi
crane auth login $host -u alice -p "alice's second" 2>/dev/null
push_app app $host/team/app:2

# Nodes pull as a robot, in a namespace that says that it takes the Secret.
k apply -f - >/dev/null <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: RegistryRobot
metadata: { name: nodes }
spec:
  registry: images
  grants: [{ repositories: 'team/**', role: pull }]
  pullSecret: { name: pull, namespaces: [$team] }
YAML
comes_to registryrobot/nodes NoConsent
note "$(message registryrobot/nodes)"
there() { kubectl --namespace "${1:-$team}" get secret pull >/dev/null 2>&1; }
if there; then echo "the Secret came without leave"; exit 1; fi
# As the condition says it.
eval "$(message registryrobot/nodes | grep -o 'kubectl label namespace .*')" >/dev/null
wait_for 60 there
comes_to registryrobot/nodes Applied
in_secret() { kubectl --namespace "${1:-$team}" get secret pull -o 'jsonpath={.data.\.dockerconfigjson}' 2>/dev/null | base64 -d | jq -r ".auths[\"$host\"].password"; }
kubectl --namespace "$team" get secret pull -o json | jq -e '.type == "kubernetes.io/dockerconfigjson" and .metadata.annotations["roadstead.dev/fresh-until"] != null' >/dev/null
in_team() (ns=$team; "$@")
in_team app app $host/team/app:1 1
kubectl --namespace "$team" patch deployment app --type merge -p '{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"pull"}]}}}}' >/dev/null
kubectl --namespace "$team" rollout status deployment/app --timeout=90s >/dev/null

# One that is deleted comes back, with another token; the one before it stays good until the next time.
good() { crane auth login $host -u nodes -p "$1" 2>/dev/null && crane manifest $host/team/app:1 >/dev/null 2>&1; }
first=$(in_secret)
good "$first"
kubectl --namespace "$team" delete secret pull >/dev/null
began=$SECONDS
another() { there && [ "$(in_secret)" != "$1" ]; }
wait_for 30 another "$first"
note "a deleted Secret is back after $((SECONDS - began)) s"
second=$(in_secret)
good "$second" && good "$first"
k annotate registryrobot nodes roadstead.dev/rotate=1 >/dev/null
wait_for 30 another "$second"
third=$(in_secret)
good "$third" && good "$second"
too_old() { ! good "$first"; }
wait_for 30 too_old
# Somebody's change is put back.
kubectl --namespace "$team" patch secret pull --type merge -p '{"data":{".dockerconfigjson":"e30="}}' >/dev/null
changed_back() { [ "$(in_secret)" != null ] && good "$(in_secret)"; }
wait_for 30 changed_back

# A Secret of somebody else is never written.
k create secret generic pull --from-literal=mine=1 >/dev/null
k patch registryrobot nodes --type merge -p "{\"spec\":{\"pullSecret\":{\"namespaces\":[\"$team\",\"$ns\"]}}}" >/dev/null
comes_to registryrobot/nodes SecretTaken
expect "a Secret of somebody else" "$(k get secret pull -o 'jsonpath={.data}')" '{"mine":"MQ=="}'
k delete secret pull >/dev/null
comes_to registryrobot/nodes Applied
expect "both namespaces" "$(in_secret "$ns")" "$(in_secret)"

# What somebody made in the registry is his, until the object is given it; what somebody changes there is put right.
as boss "the administrator's" user create carol --no-password >/dev/null
secret carol "carol's password"
k apply -f - >/dev/null <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: RegistryUser
metadata: { name: carol }
spec: { registry: images, passwordSecret: { name: carol } }
YAML
comes_to registryuser/carol Exists
if as carol "carol's password" token list >/dev/null 2>&1; then echo "an account of somebody else was changed"; exit 1; fi
k annotate registryuser carol roadstead.dev/adopt=true >/dev/null
comes_to registryuser/carol Applied
as carol "carol's password" token list >/dev/null
as boss "the administrator's" policy delete team
put_right() { as boss "the administrator's" policy show team >/dev/null 2>&1; }
wait_for 60 put_right

# What cannot be, and why.
secret short x
k create secret generic foreign --type=kubernetes.io/ssh-auth --from-literal=ssh-privatekey=x >/dev/null
claim='{"apiVersion":"roadstead.dev/v1alpha1","kind":"Registry","metadata":{"name":"single"},"spec":{"hostname":"single.example.test","paused":true,"replicas":1,"index":{"replicas":1},"storage":{"claim":{"size":"1Gi"}}}}'
k apply -f - >/dev/null <<<"$claim"
wrong() { # NAME REGISTRY SECRET REASON
    k apply -f - >/dev/null <<<"{\"apiVersion\":\"roadstead.dev/v1alpha1\",\"kind\":\"RegistryUser\",\"metadata\":{\"name\":\"$1\"},\"spec\":{\"registry\":\"$2\",\"passwordSecret\":{\"name\":\"$3\"}}}"
    comes_to "registryuser/$1" "$4"
    note "$4: $(message "registryuser/$1" | head -c 160)"
}
wrong wrong-a none alice RegistryMissing
wrong wrong-b single alice NotSupported
wrong wrong-c images none SecretMissing
wrong wrong-d images foreign ForeignSecret
wrong wrong-e images short Refused
k delete registryuser wrong-a wrong-b wrong-c wrong-d wrong-e --timeout=60s >/dev/null
k delete registry single >/dev/null

# At rest the operator writes next to nothing.
writes() {
    local pod
    pod=$(kubectl --namespace $system get pods -l app.kubernetes.io/name=roadstead-operator -o 'jsonpath={.items[0].metadata.name}')
    kubectl get --raw "/api/v1/namespaces/$system/pods/$pod:8080/proxy/metrics" |
        awk '/^roadstead_operator_api_writes_total/ { sum += $2 } END { print sum + 0 }'
}
rests images
before=$(writes)
began=$SECONDS
minute_over() { [ $((SECONDS - began)) -ge 60 ]; }
wait_for 90 minute_over
now=$(writes)
note "$((now - before)) writes in $((SECONDS - began)) s"
at_most "writes in a minute" $(((now - before) * 60 / (SECONDS - began))) 5

# Leave that is taken back takes the Secret; what is deleted takes its account and Secrets.
kubectl label namespace "$team" roadstead.dev/pull-secrets-from- >/dev/null
gone() { ! there "$@"; }
wait_for 60 gone
comes_to registryrobot/nodes NoConsent
kubectl label namespace "$team" "roadstead.dev/pull-secrets-from=$ns" >/dev/null
wait_for 60 there
k delete registryrobot/nodes registryuser/alice registrypolicy/team --timeout=60s >/dev/null
gone && gone "$ns"
for what in "robot show nodes" "user show alice" "policy show team"; do
    # shellcheck disable=SC2086
    if as boss "the administrator's" $what >/dev/null 2>&1; then echo "$what: it is still there"; exit 1; fi
done
# The last administrator stays: without him nobody could give the registry another.
k delete registryuser/boss --wait=false >/dev/null
comes_to registryuser/boss Refused
note "$(message registryuser/boss)"
# With its registry everything of it may go.
k delete registry images --timeout=60s >/dev/null
k wait --for=delete registryuser/boss --timeout=60s >/dev/null
k delete registryuser/carol --timeout=60s >/dev/null
expect "what is left" "$(k get registryusers,registryrobots,registrypolicies -o name)" ""
