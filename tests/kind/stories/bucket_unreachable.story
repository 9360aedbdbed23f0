# The bucket does not answer for a while: what is in the index is served, pushes wait or fail without harm, and go on by themselves
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
app=registry.example.test/team/app
push_app app $app:1
digest=$(crane digest $app:1)
crane manifest $app:1 >"$work/manifest"
layer=$(jq -r '.layers | max_by(.size).digest' "$work/manifest")
# Which pods are ready, and since when.
ready_since() {
    k get pods -l app.kubernetes.io/name=roadstead -o json |
        jq -r '.items[] | "\(.metadata.uid) \(.status.conditions[] | select(.type == "Ready") | .status + " " + .lastTransitionTime)"' | sort
}
since=$(ready_since)
expect "pods" "$(grep -c ' True ' <<<"$since")" 5
back() { kubectl --namespace s3 scale deployment/s3 --replicas=1 >/dev/null; }
trap back EXIT
kubectl --namespace s3 scale deployment/s3 --replicas=0 >/dev/null
unreachable() { [ "$(condition images StorageReachable)" = False ]; }
wait_for 120 unreachable
note "the condition says: $(condition images StorageReachable message)"
# A blob that is in the bucket alone: an answer, and one that says to come again; never a connection that is refused or breaks.
blob() {
    curl --silent --show-error --max-time 60 --proxy "http://127.0.0.1:$proxy" --cacert "$ca" --output /dev/null --dump-header "$work/head" \
        --write-out '%{http_code}\n' "https://registry.example.test/v2/team/app/blobs/$layer"
}
reads=0
until_unready=$((SECONDS + 30)) # a probe every 2 s: long enough for one that fails to take a pod away
while [ $SECONDS -lt $until_unready ]; do
    expect "the tag" "$(crane digest $app:1)" "$digest"
    crane manifest "$app@$digest" | cmp - "$work/manifest"
    expect "the answer to a pull of a blob" "$(blob)" 503
    grep -qi '^retry-after: [0-9]' "$work/head" || { cat "$work/head"; exit 1; }
    reads=$((reads + 1))
done
note "without the bucket: $reads reads of a tag, its manifest and a blob, $(condition images Ready reason)"
expect "the registry" "$(condition images Ready)" True
expect "the quorum" "$(condition images QuorumAvailable)" True
expect "pods that are ready, and since when" "$(ready_since)" "$since"
# A drain takes one voter and not the next: the new one does not count as ready before it has seen the bucket.
evict() {
    printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"%s"}}' "$1" "$ns" |
        kubectl create --raw "/api/v1/namespaces/$ns/pods/$1/eviction" -f - 2>&1
}
evict images-index-0 >/dev/null
missing() { [ "$(k get statefulset images-index -o 'jsonpath={.status.readyReplicas}')" = 2 ]; }
wait_for 60 missing
said=$(evict images-index-1) && { echo "a second voter was evicted: $said"; exit 1; }
grep -q 'disruption budget' <<<"$said"
expect "the tag with two voters" "$(crane digest $app:1)" "$digest"
back
reachable() { [ "$(condition images StorageReachable)" = True ] && at_rest images; }
wait_for 180 reachable || { tell_about images; exit 1; }
expect "the answer to a pull of a blob" "$(blob)" 200
wait_for 60 goes_on "$(pushed)"
traffic_ends
