# Nobody may do anything without logging in: the first administrator, a robot that pushes, and nodes that pull with a secret
small_index | { cat; echo '  nodes: { trust: true }'; } | anonymous=Nothing registry images registry.example.test
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
host=registry.example.test
offered() { k get secret images-first-administrator -o 'jsonpath={.data.token}' 2>/dev/null | base64 -d >"$work/first" && [ -s "$work/first" ]; }
wait_for 60 offered
from_outside $host user first alice --token "$(cat "$work/first")" <<<"the administrator's" >/dev/null
# Once: after that it is good for nothing.
if from_outside $host user first eve --token "$(cat "$work/first")" <<<"the attacker's" 2>/dev/null; then
    echo "the token was good twice"
    exit 1
fi
export ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's"
from_outside $host robot create ci --allow 'team/**=push' >"$work/ci" 2>/dev/null
from_outside $host robot create nodes --allow 'team/**=pull' >"$work/nodes" 2>/dev/null
unset ROADSTEAD_USER ROADSTEAD_PASSWORD
if push_app app $host/team/app:1 2>/dev/null; then
    echo "somebody unknown pushed"
    exit 1
fi
crane auth login $host -u ci -p "$(cat "$work/ci")" 2>/dev/null
push_app app $host/team/app:1
# No node resolves the name: they know the registry by its directory alone, and are sent for a token to where they came.
app app $host/team/app:1 3
refused() { k get pods -l app=app -o 'jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}' | grep -qE 'ErrImagePull|ImagePullBackOff'; }
wait_for 60 refused
note "without a secret: $(k get events --field-selector reason=Failed -o 'jsonpath={.items[0].message}' | head -c 200)"
k create secret docker-registry pull --docker-server=$host --docker-username=nodes --docker-password="$(cat "$work/nodes")" >/dev/null
k patch deployment app --type merge -p '{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"pull"}]}}}}' >/dev/null
began=$SECONDS
k rollout status deployment/app --timeout=90s
note "with one, three Pods run it after $((SECONDS - began)) s"
# The robot's token is taken back: what runs goes on, and nothing new is pulled.
export ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's"
from_outside $host robot change nodes --disabled >/dev/null
unset ROADSTEAD_USER ROADSTEAD_PASSWORD
k delete pods -l app=app --wait=false >/dev/null
wait_for 60 refused
