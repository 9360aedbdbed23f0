# Every rule of the schema, with an object that the API server accepts and one that it refuses with the rule's own sentence
base='{"apiVersion":"roadstead.dev/v1alpha1","kind":"Registry","metadata":{"name":"a"},"spec":{"hostname":"a.example.test","paused":true,"storage":{"s3":{"bucket":"bucket"}}}}'
claim='{"replicas":1,"index":{"replicas":1},"storage":{"s3":null,"claim":{"size":"1Gi"}}}'
checked=0
merged() { jq -c --argjson change "$1" '. * $change | del(..|nulls)' <<<"${2:-$base}"; }
create() { k create --dry-run=server -f - <<<"$1" 2>&1; }
say_yes() { # CHANGE
    create "$(merged "$1")" >/dev/null || { echo "refused: $1"; create "$(merged "$1")"; return 1; }
}
say_no() { # CHANGE SENTENCE
    local said
    said=$(create "$(merged "$1")") && { echo "accepted: $1"; return 1; }
    grep -qF "$2" <<<"$said" || { echo "$1: $said"; return 1; }
    checked=$((checked + 1))
    echo "$said" >>"$work/said"
}
spec() { jq -c '{spec: .}' <<<"$1"; }
with_claim() { jq -c --argjson claim "$claim" '{spec: ($claim * .)}' <<<"$1"; }

say_yes '{"metadata":{"name":"a123456789012345678901234567890123456789"}}'
say_no '{"metadata":{"name":"a1234567890123456789012345678901234567890"}}' "the name may have at most 40 characters"
say_no '{"metadata":{"name":"a.b"}}' "the name must begin with a letter and have no dots"
say_no '{"metadata":{"name":"a-index"}}' "the name may not end in -index or -metrics"
say_no '{"metadata":{"name":"a-metrics"}}' "the name may not end in -index or -metrics"
say_yes "$(with_claim '{}')"
say_no "$(with_claim '{"replicas":2}')" "set replicas to 1"
say_no "$(with_claim '{"index":{"replicas":3}}')" "set index.replicas to 1"
say_no "$(with_claim '{"autoscaling":{"maxReplicas":3}}')" "leave autoscaling out"
say_yes "$(spec '{"bootstrap":{"archive":{}}}')"
say_no "$(with_claim '{"bootstrap":{"archive":{}}}')" "a registry on storage.claim cannot begin from a backup"
say_yes "$(spec '{"autoscaling":{"minReplicas":2,"maxReplicas":2}}')"
say_no "$(spec '{"autoscaling":{"minReplicas":3,"maxReplicas":2}}')" "minReplicas is larger than maxReplicas"
say_yes "$(spec '{"bootstrap":{"backup":"before"}}')"
say_no "$(spec '{"bootstrap":{"backup":"before","archive":{}}}')" "give either bootstrap.backup or bootstrap.archive"
say_no "$(spec '{"bootstrap":{}}')" "give either bootstrap.backup or bootstrap.archive"
say_yes "$(spec '{"exposure":{"service":{"type":"NodePort","nodePort":31234}}}')"
say_no "$(spec '{"exposure":{"service":{"nodePort":31234}}}')" "nodePort needs the type NodePort"
for size in 1 3 5; do say_yes "$(spec "{\"index\":{\"replicas\":$size}}")"; done
for size in 0 2 4 7; do say_no "$(spec "{\"index\":{\"replicas\":$size}}")" "an index has 1, 3 or 5 nodes"; done
for size in 1Mi 10Gi 1e10 '1.5Gi'; do say_yes "$(spec "{\"index\":{\"volume\":{\"size\":\"$size\"}}}")"; done
for size in 0 -1 10GiB much ''; do say_no "$(spec "{\"index\":{\"volume\":{\"size\":\"$size\"}}}")" "spec.index.volume.size"; done
say_no "$(spec '{"storage":{"claim":{}}}')" "give either storage.s3 or storage.claim"
say_no "$(spec '{"storage":{"s3":null}}')" "give either storage.s3 or storage.claim"
say_yes "$(spec '{"tls":{"secretName":"mine"}}')"
say_no "$(spec '{"tls":{"secretName":"mine","certManager":{"issuerRef":{"name":"i"}}}}')" "give either tls.secretName or tls.certManager"
for host in a a.b-c.d 1.example; do say_yes "$(spec "{\"hostname\":\"$host\"}")"; done
for host in A a_b a..b -a a:5000 'a/b'; do say_no "$(spec "{\"hostname\":\"$host\"}")" spec.hostname; done
say_no "$(spec '{"storage":{"s3":{"endpoint":"ftp://a"}}}')" spec.storage.s3.endpoint
say_no "$(spec '{"nodes":{"certsDirectory":"/etc"}}')" spec.nodes.certsDirectory

# What may change, and what may not.
kind=registry
k create -f - >/dev/null <<<"$(merged "$(spec '{"storage":{"s3":{"prefix":"p"}},"index":{"volume":{"size":"2Gi","storageClassName":"standard"}}}')")"
may() { k patch $kind a --type merge --dry-run=server -p "$(spec "$1")" >/dev/null; }
may_not() { # CHANGE SENTENCE
    local said
    said=$(k patch $kind a --type merge --dry-run=server -p "$(spec "$1")" 2>&1) && { echo "accepted: $1"; return 1; }
    grep -qF "$2" <<<"$said" || { echo "$1: $said"; return 1; }
    checked=$((checked + 1))
    echo "$said" >>"$work/said"
}
may '{"hostname":"b.example.test"}'
k patch registry a --type merge -p '{"spec":{"nodes":{"trust":true}}}' >/dev/null
may_not '{"hostname":"b.example.test"}' "turn nodes.trust off before changing it"
may_not '{"nodes":{"certsDirectory":"/other/certs.d"}}' "turn nodes.trust off before changing certsDirectory"
may '{"nodes":{"trust":false,"certsDirectory":"/other/certs.d"}}'
may '{"index":{"volume":{"size":"3Gi"}}}'
may '{"index":{"volume":{"size":"1Gi"}}}'
may '{"index":{"volume":{"storageClassName":"other"}}}'
may '{"storage":{"s3":{"endpoint":"https://other.example.test"}}}'
may_not '{"storage":{"s3":{"bucket":"other"}}}' "the bucket cannot be changed"
may_not '{"storage":{"s3":{"prefix":"other"}}}' "the prefix cannot be changed"
may_not '{"bootstrap":{"archive":{}}}' "it cannot be added or removed later"
may_not "$claim" "the kind of storage cannot be changed"
may '{"index":{"replicas":5}}'
k create -f - >/dev/null <<<"$(merged '{"metadata":{"name":"b"},"spec":{"bootstrap":{"backup":"x"}}}')"
said=$(k patch registry b --type merge --dry-run=server -p '{"spec":{"bootstrap":{"backup":"y"}}}' 2>&1) && { echo "bootstrap was changed"; exit 1; }
grep -qF "it cannot be changed later" <<<"$said"
echo "$said" >>"$work/said"
checked=$((checked + 1))

base='{"apiVersion":"roadstead.dev/v1alpha1","kind":"RegistryBackup","metadata":{"name":"a"},"spec":{"registry":"none"}}'
say_yes '{"spec":{"schedule":"*/5 3 * * 1-5"}}'
say_no '{"spec":{"schedule":"daily"}}' spec.schedule
say_no '{"metadata":{"name":"a.b"}}' "the name may have no dots"
say_no '{"metadata":{"name":"a123456789012345678901234567890123456789012345678901"}}' "the name may have at most 51 characters"
say_no '{"spec":{"retention":{"count":-1}}}' spec.retention.count
k create -f - >/dev/null <<<"$base"
kind=registrybackup
may_not '{"registry":"other"}' "a backup belongs to one registry"
may_not '{"schedule":"0 3 * * *"}' "one backup does not become a schedule"
# Every sentence of the schema was seen here.
kubectl get crd registries.roadstead.dev registrybackups.roadstead.dev -o json |
    jq -r '.. | .["x-kubernetes-validations"]? // empty | .[].message' | sort -u >"$work/sentences"
while read -r sentence; do
    grep -qF -- "$sentence" "$work/said" || { echo "no object was refused with: $sentence"; exit 1; }
done <"$work/sentences"
note "$checked refusals, each with its sentence"
