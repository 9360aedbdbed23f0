# Configuration and version roll through all pods while clients push and nodes pull; the leader goes last, no push fails
small_index | { cat; echo '  nodes: { trust: true }'; } | registry images registry.example.test
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
push_app app registry.example.test/team/app:1
traffic registry.example.test
roll() { # WHAT PATCH
    local began=$SECONDS last
    last=$(leader images)
    k patch registry images --type merge -p "$2" >/dev/null
    rests images 300
    note "$1 rolled in $((SECONDS - began)) s"
}
roll configuration '{"spec":{"settings":{"reclaim.grace_seconds":"7200"}}}'
grace() { k get pods -l app.kubernetes.io/component=index -o json | jq -r '.items[] | .spec.containers[0].env[] | select(.name == "ROADSTEAD_RECLAIM_GRACE_SECONDS").value' | sort -u; }
expect "the grace that all nodes have" "$(grace)" 7200
app app registry.example.test/team/app:1 3
roll version "{\"spec\":{\"image\":\"${image%:*}:2\"}}"
k rollout status deployment/app --timeout=90s
images=$(k get pods -l app.kubernetes.io/name=roadstead -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null).spec.containers[0].image' | sort -u)
expect "the version that all pods run" "$images" "${image%:*}:2"
traffic_ends
expect "pushes that failed" "$(figure failed)" 0
# The events say who was first: the one that led was asked to hand over before its pod went.
reasons=$(k get events.events.k8s.io -o json | jq -r '[.items[] | select(.regarding.kind == "Registry")] | .[].reason' | sort -u)
grep -qx LeadTransferred <<<"$reasons"
