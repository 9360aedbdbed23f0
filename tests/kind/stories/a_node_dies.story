# A machine dies: the registry goes on; declared out of service, its index node is made again elsewhere
[ -z "${KUBECONFIG_ONLY:-}" ] || { note "needs a machine to kill: not possible with KUBECONFIG_ONLY"; exit 0; }
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
machine=$name-worker2
on_it() { k get pods -l app.kubernetes.io/component=index -o json | jq -r --arg machine "$machine" '.items[] | select(.spec.nodeName == $machine).metadata.name'; }
lost=$(on_it | head -1)
[ -n "$lost" ] || { machine=$name-worker; lost=$(on_it | head -1); }
note "$machine dies, with $lost"
id() { k get registry images -o json | jq -r --arg name "$lost" '.status.index.members[] | select(.name == $name).id'; }
old=$(id)
before=$(pushed)
docker kill "$machine" >/dev/null
# It may come back with another address: `up` tells all of them.
back() {
    docker start "$machine" >/dev/null
    kubectl wait --for=condition=Ready "node/$machine" --timeout=120s >/dev/null
    kubectl taint nodes "$machine" node.kubernetes.io/out-of-service- >/dev/null 2>&1 || true
    "$here/up" --dir "$dir" >/dev/null
}
trap back EXIT
if [ "$(on_it | wc -l)" = 1 ]; then
    wait_for 120 goes_on "$before"
    kubectl wait --for=condition=Ready=Unknown "node/$machine" --timeout=120s >/dev/null
    kubectl taint nodes "$machine" node.kubernetes.io/out-of-service=nodeshutdown:NoExecute >/dev/null
    # By its id: while the operator itself is away, the status says what was.
    replaced() { [[ $(id) =~ ^[0-9]+$ ]] && [ "$(id)" != "$old" ] && [ "$(field images .status.index.ready)" = 3/3 ] && [ -z "$(on_it)" ]; }
    wait_for 300 replaced || { tell_about images; exit 1; }
    note "$lost was made again elsewhere"
else
    kubectl wait --for=condition=Ready=Unknown "node/$machine" --timeout=120s >/dev/null
    note "a majority was on it: nothing can be done but wait"
    back
    rests images 300
fi
traffic_ends
