# A new release of the operator reaches Registries without an image of their own one after the other, while clients push; no push fails
small_index | registry one one.example.test
small_index | registry two two.example.test
rests one
rests two
outside one
traffic one.example.test
wait_for 60 goes_on_from 0
# They go before the release does: a feature level that was put in force has no way back.
back() { k delete registries --all --timeout=60s >/dev/null; chart; }
trap back EXIT
chart --set-string image.tag=2
# In the operator's first minute both wait until it is known who is at it; then one of them waits for the other.
waits_for() { [[ $(condition "$1" Progressing message) == *"the Registry $ns/$2 runs it"* ]]; }
one_waits() { waits_for one two || waits_for two one; }
wait_for 120 one_waits
if waits_for one two; then first=two second=one; else first=one second=two; fi
expect "the reason of the one that waits" "$(condition $second Progressing reason)" WaitsForTurn
note "$second: $(condition $second Progressing message)"
expect "the image of the one that waits" "$(k get statefulset $second-index -o 'jsonpath={.spec.template.spec.containers[0].image}')" "$image"
has_new() { # NAME: all of its pods
    local images
    images=$(k get pods -l roadstead.dev/registry="$1" -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null).spec.containers[0].image' | sort -u)
    [ "$images" = "${image%:*}:2" ] && at_rest "$1"
}
wait_for 300 has_new one || { tell_about one; exit 1; }
wait_for 300 has_new two || { tell_about two; exit 1; }
times() { k get pods -l roadstead.dev/registry="$1" -o json | jq -r '.items[].metadata.creationTimestamp' | sort; }
last=$(times $first | tail -1) next=$(times $second | head -1)
note "the last pod of $first is of $last, the first new one of $second of $next"
[[ ! $next < $last ]]
traffic_ends
expect "pushes that failed" "$(figure failed)" 0
