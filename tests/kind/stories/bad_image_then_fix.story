# A revision whose image does not exist stops at the first pod; the next revision goes through without help
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
k patch registry images --type merge -p '{"spec":{"image":"roadstead.test/roadstead:missing"}}' >/dev/null
broken() { k get pods -l app.kubernetes.io/component=index -o json | jq -e '.items[].status.containerStatuses[0].state.waiting.reason | select(. == "ImagePullBackOff" or . == "ErrImagePull" or . == "ErrImageNeverPull")' >/dev/null; }
wait_for 120 broken
refused() { condition images Degraded message | grep -q '(one_pod_at_a_time)\|(all_caught_up)\|(quorum_kept_without)'; }
# What is refused counts once it has lasted; before that it is part of what goes on.
wait_for 200 refused || { tell_about images; exit 1; }
note "refused: $(condition images Degraded message)"
stopped=$(k get pods -l app.kubernetes.io/component=index -o json | jq '[.items[] | select(.spec.containers[0].image | endswith(":missing"))] | length')
expect "pods of the index with the bad image" "$stopped" 1
expect "the registry is ready all the same" "$(condition images Ready)" True
k patch registry images --type merge -p "{\"spec\":{\"image\":\"${image%:*}:2\"}}" >/dev/null
rests images 300
traffic_ends
