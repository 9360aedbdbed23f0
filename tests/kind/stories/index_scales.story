# The index goes from 1 to 3 to 5 to 3 nodes while clients push; every member that leaves takes its volume with it
{ echo '  index: { replicas: 1, volume: { size: 1Gi } }'; } | registry images registry.example.test
rests images
outside images
traffic registry.example.test
for size in 3 5 3; do
    began=$SECONDS
    k patch registry images --type merge -p "{\"spec\":{\"index\":{\"replicas\":$size}}}" >/dev/null
    there() { [ "$(field images .status.index.ready)" = "$size/$size" ] && at_rest images; }
    wait_for 240 there || { tell_about images; exit 1; }
    voters=$(k get registry images -o json | jq '[.status.index.members[] | select(.role == "Voter")] | length')
    expect voters "$voters" "$size"
    note "$size nodes after $((SECONDS - began)) s"
done
gone() { [ "$(k get persistentvolumeclaims -o name | wc -l)" = 3 ]; }
wait_for 60 gone
traffic_ends
expect "pods of the index" "$(k get pods -l app.kubernetes.io/component=index -o name | wc -l)" 3
