# The operator is killed between the two halves of a change of membership, again and again: each change comes to its end
[ -z "${KUBECONFIG_ONLY:-}" ] || { note "needs the processes of a machine: not possible with KUBECONFIG_ONLY"; exit 0; }
small_index | registry images registry.example.test
rests images
operators() { kubectl --namespace "$system" get pods -l app.kubernetes.io/name=roadstead-operator --field-selector=status.phase=Running "$@"; }
operator() { # SIGNAL
    docker exec "$(operators -o 'jsonpath={.items[0].spec.nodeName}')" pkill "-$1" -f '^/usr/local/bin/roadstead-operator run'
}
go_on() { operator CONT || true; }
trap go_on EXIT
# What the index says itself while the operator stands still.
is() { # ORDINAL ROLE
    k exec images-index-0 -- roadstead index status --json |
        jq -e --arg name "images-index-$1." --arg role "$2" '.leader and ([.members[] | select(.name | startswith($name)).role] | . == [$role])' >/dev/null
}
is_learner() { is "$1" learner; }
# It is no member any more, and its volume is still there.
has_left() { k exec images-index-0 -- roadstead index status --json | is_gone "$1" && k get persistentvolumeclaim "data-images-index-$1"; }
is_gone() {
    jq -e --arg name "images-index-$1." '.leader and ([.members[] | select(.role == "voter" or .role == "learner") | select(.name | startswith($name))] == [])' >/dev/null
}
# Lets the operator run in slices that are too short for two steps, and kills it where half of the change is done.
kill_when() { # WHAT ORDINAL
    local deadline=$((SECONDS + 180)) slices=0
    until operator STOP && "$@" >/dev/null; do
        go_on
        slices=$((slices + 1))
        [ $SECONDS -lt $deadline ] || { echo "it was never seen that $*"; return 1; }
    done 2>/dev/null
    operator KILL
    operators -o name | xargs kubectl --namespace "$system" delete --grace-period=0 --force >/dev/null 2>&1
    note "killed after $slices slices, when node $2 $1"
}
operator STOP
k patch registry images --type merge -p '{"spec":{"index":{"replicas":5}}}' >/dev/null
kill_when is_learner 3
kill_when is_learner 4
there() { [ "$(field images .status.index.ready)" = "$1/$1" ] && at_rest images; }
wait_for 300 there 5 || { tell_about images; exit 1; }
operator STOP
k patch registry images --type merge -p '{"spec":{"index":{"replicas":3}}}' >/dev/null
kill_when has_left 4
kill_when has_left 3
wait_for 300 there 3 || { tell_about images; exit 1; }
gone() { [ "$(k get persistentvolumeclaims -o name | wc -l)" = 3 ]; }
wait_for 60 gone
voters=$(field images '.status.index.members[?(@.role=="Voter")].name')
expect "voters" "$voters" "images-index-0 images-index-1 images-index-2"
