# The operator is killed between the two halves of a change of membership, again and again: each change comes to its end
small_index | registry images registry.example.test
rests images
kill_operator() { kubectl --namespace $system delete pod -l app.kubernetes.io/name=roadstead-operator --grace-period=0 --force >/dev/null 2>&1; }
for size in 5 3; do
    k patch registry images --type merge -p "{\"spec\":{\"index\":{\"replicas\":$size}}}" >/dev/null
    for kill in 1 2; do
        changed() { k get events.events.k8s.io -o json | jq -e --argjson n "$kill" '[.items[] | select(.reason == "NodeJoins" or .reason == "NodeRemoved")] | length >= $n' >/dev/null; }
        wait_for 60 changed || true
        kill_operator
    done
    there() { [ "$(field images .status.index.ready)" = "$size/$size" ] && at_rest images; }
    wait_for 300 there || { tell_about images; exit 1; }
    note "$size nodes although the operator was killed twice"
done
expect "voters" "$(field images .status.index.ready)" 3/3
gone() { [ "$(k get persistentvolumeclaims -o name | wc -l)" = 3 ]; }
wait_for 60 gone
