# The operator is killed between the two halves of a change of membership, again and again: each change comes to its end
[ -z "${KUBECONFIG_ONLY:-}" ] || { note "needs the processes of a machine: not possible with KUBECONFIG_ONLY"; exit 0; }
small_index | registry images registry.example.test
rests images
operators() { kubectl --namespace "$system" get pods -l app.kubernetes.io/name=roadstead-operator --field-selector=status.phase=Running "$@"; }
process='^/usr/local/bin/roadstead-operator run'
machine=''
stops() { machine=$(operators -o 'jsonpath={.items[0].spec.nodeName}') && docker exec "$machine" pkill -STOP -f "$process"; }
# It runs for a moment: shorter than the pause that it makes between two steps.
slice() { docker exec "$machine" sh -c "pkill -CONT -f '$process'; sleep 0.1; pkill -STOP -f '$process'"; }
go_on() { docker exec "$machine" pkill -CONT -f "$process" || true; }
trap go_on EXIT
# What the index says itself while the operator stands still: the roles that a node has.
roles() { # ORDINAL
    k exec images-index-0 -- roadstead index status --json | jq -er --arg name "images-index-$1." \
        'select(.leader) | [.members[] | select(.name | startswith($name)).role | select(. == "voter" or . == "learner")] | "roles " + join(" ")'
}
is_learner() { [ "$(roles "$1")" = "roles learner" ]; }
# It is no member any more, and its volume is still there.
has_left() { [ "$(roles "$1")" = "roles " ] && k get persistentvolumeclaim "data-images-index-$1"; }
# Lets the operator run in slices, and kills it where half of the change is done.
kill_when() { # WHAT ORDINAL
    local deadline=$((SECONDS + 180)) slices=0
    # A new one waits for the lease of the one that was killed, so it has done nothing before it is stopped here.
    wait_for 60 stops
    until "$@" >/dev/null 2>&1; do
        slice
        slices=$((slices + 1))
        [ $SECONDS -lt $deadline ] || { echo "it was never seen that node $2 $1"; tell_about images; return 1; }
    done
    docker exec "$machine" pkill -KILL -f "$process"
    operators -o name | xargs kubectl --namespace "$system" delete --grace-period=0 --force >/dev/null 2>&1
    note "killed after $slices slices, when node $2 $1"
}
wait_for 60 stops
k patch registry images --type merge -p '{"spec":{"index":{"replicas":5}}}' >/dev/null
kill_when is_learner 3
kill_when is_learner 4
there() { [ "$(field images .status.index.ready)" = "$1/$1" ] && at_rest images; }
wait_for 300 there 5 || { tell_about images; exit 1; }
wait_for 60 stops
k patch registry images --type merge -p '{"spec":{"index":{"replicas":3}}}' >/dev/null
kill_when has_left 4
kill_when has_left 3
wait_for 300 there 3 || { tell_about images; exit 1; }
gone() { [ "$(k get persistentvolumeclaims -o name | wc -l)" = 3 ]; }
wait_for 60 gone
voters=$(field images '.status.index.members[?(@.role=="Voter")].name')
expect "voters" "$voters" "images-index-0 images-index-1 images-index-2"
