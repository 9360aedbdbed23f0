# A machine is lost and its Node deleted: the index node that was there is made again elsewhere without help, and nothing is lost
[ -z "${KUBECONFIG_ONLY:-}" ] || { note "needs a machine to kill: not possible with KUBECONFIG_ONLY"; exit 0; }
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
on_it() { k get pods -l app.kubernetes.io/component=index -o json | jq -r --arg machine "$machine" '.items[] | select(.spec.nodeName == $machine).metadata.name'; }
# One with a single index node: a majority stays.
for machine in "$name-worker2" "$name-worker" ""; do
    [ -n "$machine" ] || { k get pods -o wide; echo "no machine has one index node"; exit 1; }
    lost=$(on_it)
    [ "$(wc -w <<<"$lost")" != 1 ] || break
done
id() { k get registry images -o json | jq -r --arg name "$lost" '.status.index.members[] | select(.name == $name).id'; }
old=$(id)
before=$(pushed)
# kubelet registers a machine that comes back, and `up` tells it its network.
back() {
    docker start "$machine" >/dev/null
    there() { kubectl get node "$machine"; }
    wait_for 120 there
    "$here/up" --dir "$dir" >/dev/null
}
trap back EXIT
docker kill "$machine" >/dev/null
kubectl delete node "$machine" >/dev/null
note "$machine is lost, with $lost"
wait_for 120 goes_on "$before"
replaced() { [[ $(id) =~ ^[0-9]+$ ]] && [ "$(id)" != "$old" ] && [ "$(field images .status.index.ready)" = 3/3 ]; }
began=$SECONDS
wait_for 300 replaced || { tell_about images; exit 1; }
note "$lost was member $old and is $(id), elsewhere, after $((SECONDS - began)) s"
[ -z "$(on_it)" ]
traffic_ends
