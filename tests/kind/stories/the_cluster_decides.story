# The cluster says whose a token is, and its RBAC who may do what: no key is kept, and what is taken back ends soon
small_index | anonymous=Nothing registry images registry.example.test
k patch registry images --type merge -p '{"spec":{"access":{"kubernetes":{"rbac":true}}}}' >/dev/null
rests images
outside images
host=registry.example.test
offered() { k get secret images-first-administrator -o 'jsonpath={.data.token}' 2>/dev/null | base64 -d >"$work/first" && [ -s "$work/first" ]; }
wait_for 60 offered
from_outside $host user first alice --token "$(cat "$work/first")" <<<"the administrator's" >/dev/null
crane auth login $host -u alice -p "the administrator's" 2>/dev/null
push_app app $host/team/app:1
crane copy $host/team/app:1 $host/team/other:1 2>/dev/null
crane auth logout $host 2>/dev/null
k create serviceaccount puller >/dev/null
by() { # SERVICEACCOUNT REPOSITORY: the status of a pull with its token
    curl --silent --output /dev/null --write-out '%{http_code}' --proxy "http://127.0.0.1:$proxy" --cacert "$ca" \
        --header "Authorization: Bearer $(k create token "$1" --audience $host)" "https://$host/v2/$2/manifests/1"
}
# Nobody has let its pods ask: that is no answer, and it says what to do.
expect "before the pods may ask" "$(by puller team/app)" 503
said() { k logs -l app.kubernetes.io/component=registry --tail=-1 >"$work/log" && grep -q system:auth-delegator "$work/log"; }
wait_for 10 said || { tail -3 "$work/log"; exit 1; }
clean() { kubectl delete clusterrolebinding "$ns-asks" --ignore-not-found >/dev/null; }
trap clean EXIT
kubectl create clusterrolebinding "$ns-asks" --clusterrole=system:auth-delegator --serviceaccount="$ns:images" >/dev/null
may() { [ "$(by "$1" "$2")" = 200 ]; }
asked() { [ "$(by puller team/app)" = 404 ]; }
wait_for 30 asked

k create -f - >/dev/null <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: pull-app }
rules:
  - { apiGroups: [roadstead.dev], resources: [repositories], resourceNames: [team/app], verbs: [pull] }
YAML
k create rolebinding pull-app --role=pull-app --serviceaccount="$ns:puller" >/dev/null
began=$SECONDS
# Each of the pods remembers for some seconds that it was told no.
everywhere() { for _ in 1 2 3 4 5 6 7 8; do may puller team/app || return 1; done; }
wait_for 60 everywhere
note "a RoleBinding is in force after $((SECONDS - began)) s"
expect "another repository" "$(by puller team/other)" 404
expect "another ServiceAccount" "$(by default team/app)" 404
# The clients of people bring it as a password.
crane auth login $host -u any -p "$(k create token puller --audience $host)" 2>/dev/null
crane pull $host/team/app:1 "$work/pulled"
crane push "$("$here/probe/image")" $host/team/app:2 >"$work/refused" 2>&1 && { echo "it could push"; exit 1; }
grep -q DENIED "$work/refused" || { cat "$work/refused"; exit 1; }
crane auth logout $host 2>/dev/null

# A policy grants as well, and denies for good.
echo 'rules: [{ subjects: ["group:kubernetes:system:serviceaccounts:'"$ns"'"], repositories: ["team/other"], role: pull }]' >"$work/policy"
export ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's"
from_outside $host policy apply cluster "$work/policy" >/dev/null
expect "by a policy" "$(by default team/other)" 200
echo 'rules: [{ subjects: ["kubernetes:*"], repositories: ["team/app"], deny: [pull] }]' >"$work/policy"
from_outside $host policy apply cluster "$work/policy" >/dev/null
expect "denied by a policy" "$(by puller team/app)" 404
from_outside $host policy delete cluster >/dev/null
unset ROADSTEAD_USER ROADSTEAD_PASSWORD
expect "and no more" "$(by puller team/app)" 200

began=$SECONDS
k delete rolebinding pull-app >/dev/null
taken() { [ "$(by puller team/app)" = 404 ]; }
wait_for 60 taken
note "what RBAC takes back ends after $((SECONDS - began)) s"
# With its holder, a token is good for nothing.
token=$(k create token puller --audience $host)
k delete serviceaccount puller >/dev/null
ended() { [ "$(curl --silent --output /dev/null --write-out '%{http_code}' --proxy "http://127.0.0.1:$proxy" --cacert "$ca" --header "Authorization: Bearer $token" "https://$host/v2/")" = 401 ]; }
wait_for 60 ended
