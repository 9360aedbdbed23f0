# What was written wrongly is named, and mended by writing it right: keys to the bucket, a storage class, a size
told() { condition "$1" Degraded message | grep -qF "$2"; }
# Keys that are not those of the bucket: the server's own word for it, in the condition and in an event.
small_index | registry images registry.example.test
k create secret generic bucket --from-literal=accessKeyId=test --from-literal=secretAccessKey=wrong --dry-run=client -o yaml | k apply -f - >/dev/null
wait_for 180 told images SignatureDoesNotMatch || { tell_about images; exit 1; }
expect "the reason" "$(condition images Degraded reason)" StoreFails
note "wrong keys: $(condition images StorageReachable message)"
event() { k get events.events.k8s.io -o json | jq -e --arg reason "$1" --arg text "$2" 'any(.items[]; .type == "Warning" and .reason == $reason and (.note | contains($text)))' >/dev/null; }
wait_for 30 event StoreFails SignatureDoesNotMatch
k create secret generic bucket --from-literal=accessKeyId=test --from-literal=secretAccessKey=testtest --dry-run=client -o yaml | k apply -f - >/dev/null
began=$SECONDS
rests images 240
note "right keys: at rest after $((SECONDS - began)) s, and nobody restarted a pod"
# What is written into the Secret later reaches every pod, too. A label on it is no other key.
k label secret bucket team=a >/dev/null
k patch registry images --type merge -p '{"spec":{"settings":{"reclaim.grace_seconds":"7200"}}}' >/dev/null
rests images 240
keys() { k get pods -l app.kubernetes.io/name=roadstead -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null).metadata.annotations["roadstead.dev/keys"]' | sort -u; }
expect "sums of keys that pods have" "$(keys | wc -l)" 1
# Each thing that was made has an event of its own.
made() { k get events.events.k8s.io -o json | jq -r '.items[] | select(.reason == "Created" and .regarding.kind == "Registry").note' | sort; }
expect "events of things that were made" "$(made | sort -u | wc -l)" "$(made | wc -l)"
made | grep -qx 'Service images' && made | grep -qx 'StatefulSet images-index'
k delete registry images >/dev/null

# A storage class that there is not: no volume was made, so nothing is lost by asking again.
on_claim() { # NAME CLASS SIZE
    cat <<YAML | k apply -f - >/dev/null
apiVersion: roadstead.dev/v1alpha1
kind: Registry
metadata: { name: $1 }
spec:
  hostname: $1.example.test
  replicas: 1
  index: { replicas: 1 }
  storage: { claim: { size: $3, storageClassName: $2 } }
YAML
}
on_claim small standrad 1Gi
wait_for 120 told small "the StorageClass standrad, and there is none" || { tell_about small; exit 1; }
expect "the reason" "$(condition small Degraded reason)" StorageClassMissing
on_claim small standard 1Gi
rests small
expect "the class" "$(k get persistentvolumeclaim data-small-0 -o 'jsonpath={.spec.storageClassName}')" standard
# A size that the class does not give.
on_claim small standard 2Gi
wait_for 60 told small class_allows_expansion || { tell_about small; exit 1; }
told small "the storage class standard does not allow volumes to grow"
on_claim small standard 1Gi
rests small
# A volume that is there keeps its class.
on_claim small other 1Gi
wait_for 60 told small volumes_keep_their_class || { tell_about small; exit 1; }
on_claim small standard 1Gi
rests small
