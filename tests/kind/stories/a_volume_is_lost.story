# The volume of an index node is deleted: the node is made again under a new id, in the place of the old one
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
id() { k get registry images -o json | jq -r '.status.index.members[] | select(.name == "images-index-1").id'; }
old=$(id)
k delete persistentvolumeclaim data-images-index-1 --wait=false >/dev/null
k delete pod images-index-1 --grace-period=0 --force 2>/dev/null
replaced() { [[ $(id) =~ ^[0-9]+$ ]] && [ "$(id)" != "$old" ] && at_rest images; }
wait_for 240 replaced || { tell_about images; exit 1; }
note "node 1 was $old and is $(id)"
expect "voters" "$(field images .status.index.ready)" 3/3
traffic_ends
