# Volumes grow, of the index and of a Registry on a claim: claims ask for more, no pod is touched, the StatefulSet says the new size, and new nodes get it
class=$ns
away() { kubectl delete storageclass "$class" --ignore-not-found >/dev/null; }
trap away EXIT
cat <<YAML | kubectl apply -f - >/dev/null
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: $class }
provisioner: $(kubectl get storageclass standard -o 'jsonpath={.provisioner}')
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
YAML
echo "  index: { volume: { size: 1Gi, storageClassName: $class } }" | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
pods() { k get pods -l app.kubernetes.io/name=roadstead -o json | jq -r '.items[] | "\(.metadata.uid) \(.status.containerStatuses[0].restartCount)"' | sort; }
sizes() { k get persistentvolumeclaims -o json | jq -r '[.items[].spec.resources.requests.storage] | join(" ")'; }
template() { k get statefulset "${1:-images-index}" -o 'jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}'; }
before=$(pods) set=$(k get statefulset images-index -o 'jsonpath={.metadata.uid}')
expect "sizes" "$(sizes), $(template)" "1Gi 1Gi 1Gi, 1Gi"
k patch registry images --type merge -p '{"spec":{"index":{"volume":{"size":"2Gi"}}}}' >/dev/null
asked() { [ "$(sizes)" = "2Gi 2Gi 2Gi" ]; }
wait_for 60 asked
# This cluster's provisioner makes nothing larger: what a resizer would do is done here.
resize() {
    local claim volume
    for claim in $(k get persistentvolumeclaims -o 'jsonpath={.items[*].metadata.name}'); do
        volume=$(k get persistentvolumeclaim "$claim" -o 'jsonpath={.spec.volumeName}')
        kubectl patch persistentvolume "$volume" --type merge -p '{"spec":{"capacity":{"storage":"2Gi"}}}' >/dev/null
        k patch persistentvolumeclaim "$claim" --subresource=status --type merge -p '{"status":{"capacity":{"storage":"2Gi"}}}' >/dev/null
    done
}
resize
grown() { [ "$(template)" = 2Gi ] && at_rest images; }
wait_for 120 grown || { tell_about images; exit 1; }
[ "$(k get statefulset images-index -o 'jsonpath={.metadata.uid}')" != "$set" ]
expect "pods, and how often they were started" "$(pods)" "$before"
wait_for 60 goes_on "$(pushed)"
traffic_ends
expect "pushes that failed" "$(figure failed)" 0
k patch registry images --type merge -p '{"spec":{"index":{"replicas":5}}}' >/dev/null
more() { [ "$(field images .status.index.ready)" = 5/5 ] && at_rest images; }
wait_for 240 more || { tell_about images; exit 1; }
expect "sizes" "$(sizes)" "2Gi 2Gi 2Gi 2Gi 2Gi"
capacities=$(k get persistentvolumeclaims -o json | jq -r '[.items[].status.capacity.storage] | unique | join(" ")')
expect "what the claims have" "$capacities" 2Gi

k delete registry images >/dev/null
alone() { [ -z "$(k get pods -o name)" ]; }
wait_for 120 alone
k delete persistentvolumeclaims --all >/dev/null
cat <<YAML | k apply -f - >/dev/null
apiVersion: roadstead.dev/v1alpha1
kind: Registry
metadata: { name: small }
spec:
  hostname: small.example.test
  replicas: 1
  index: { replicas: 1 }
  storage: { claim: { size: 1Gi, storageClassName: $class } }
YAML
rests small
before=$(pods)
expect "sizes" "$(sizes), $(template small)" "1Gi, 1Gi"
k patch registry small --type merge -p '{"spec":{"storage":{"claim":{"size":"2Gi"}}}}' >/dev/null
asked() { [ "$(sizes)" = 2Gi ]; }
wait_for 60 asked
resize
grown() { [ "$(template small)" = 2Gi ] && at_rest small; }
wait_for 120 grown || { tell_about small; exit 1; }
expect "pods, and how often they were started" "$(pods)" "$before"
# The other way it is told why not.
kubectl patch storageclass "$class" --type merge -p '{"allowVolumeExpansion":false}' >/dev/null
k patch registry small --type merge -p '{"spec":{"storage":{"claim":{"size":"3Gi"}}}}' >/dev/null
refused() { condition small Degraded message | grep -qF class_allows_expansion; }
wait_for 60 refused || { tell_about small; exit 1; }
