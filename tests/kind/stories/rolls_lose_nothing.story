# Configuration and version roll through all pods while clients push and nodes pull; the leader goes last, no push fails
small_index | { cat; echo '  nodes: { trust: true }'; } | registry images registry.example.test
rests images
# A roll that goes well is no trouble.
degraded_since() { condition images Degraded lastTransitionTime; }
since=$(degraded_since)
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
push_app app registry.example.test/team/app:1
traffic registry.example.test
# Nodes pull all the time: the pods of the app are made again and again, and each asks the registry for its image.
pulls() {
    while [ ! -e "$work/enough" ]; do
        k delete pods -l app=app >/dev/null
        k rollout status deployment/app --timeout=90s >/dev/null
        echo round >>"$work/rounds"
    done
}
app app registry.example.test/team/app:1 3
k rollout status deployment/app --timeout=90s >/dev/null
pulls &
pulls=$!
echo $pulls >>"$work/pids"
roll() { # WHAT PATCH
    local began=$SECONDS last order
    last=$(leader images)
    k patch registry images --type merge -p "$2" >/dev/null
    rests images 300
    # In the order in which they were made anew.
    order=$(k get pods -l app.kubernetes.io/component=index --sort-by=.metadata.creationTimestamp -o 'jsonpath={.items[*].metadata.name}')
    expect "the last of $order" "${order##* }" "$last"
    note "$1 rolled in $((SECONDS - began)) s: $order, and $last led"
}
roll configuration '{"spec":{"settings":{"reclaim.grace_seconds":"7200"}}}'
grace() { k get pods -l app.kubernetes.io/component=index -o json | jq -r '.items[] | .spec.containers[0].env[] | select(.name == "ROADSTEAD_RECLAIM_GRACE_SECONDS").value' | sort -u; }
expect "the grace that all nodes have" "$(grace)" 7200
level=$(field images .status.index.featureLevel)
roll version "{\"spec\":{\"image\":\"${image%:*}:2\"}}"
# The new version knows one level more, and that is in force when all have it.
expect "the feature level" "$(field images .status.index.featureLevel)" $((level + 1))
touch "$work/enough"
wait $pulls
images=$(k get pods -l app.kubernetes.io/name=roadstead -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null).spec.containers[0].image' | sort -u)
expect "the version that all pods run" "$images" "${image%:*}:2"
traffic_ends
expect "pushes that failed" "$(figure failed)" 0
failures=$(k get events -o json | jq -r '.items[] | select(.reason == "Failed" or .reason == "BackOff") | select(.involvedObject.name | startswith("app-")).message')
expect "pulls that failed" "$failures" ""
pulled=$(k get events -o json | jq '[.items[] | select(.reason == "Pulled" and (.involvedObject.name | startswith("app-")))] | length')
note "nodes pulled $pulled times, in $(wc -l <"$work/rounds") rounds"
[ "$pulled" -ge 12 ]
expect "since when it is not degraded" "$(condition images Degraded) $(degraded_since)" "False $since"
warnings=$(k get events.events.k8s.io -o json | jq -r '.items[] | select(.regarding.kind == "Registry" and .type == "Warning").note')
expect "warnings about the registry" "$warnings" ""
# The events say who was first: the one that led was asked to hand over before its pod went.
reasons=$(k get events.events.k8s.io -o json | jq -r '[.items[] | select(.regarding.kind == "Registry")] | .[].reason' | sort -u)
grep -qx LeadTransferred <<<"$reasons"
