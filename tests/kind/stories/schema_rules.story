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
ldap() { jq -c '{spec: {access: {ldap: ({url: "ldaps://a", userBase: "b"} * .)}}}' <<<"$1"; }
say_yes "$(ldap '{}')"
say_yes "$(ldap '{"url":"ldap://a:389","startTls":true,"bindDn":"c","bindPassword":{"secretName":"s"}}')"
say_no "$(ldap '{"url":"ldap://a"}')" "passwords go to the directory"
say_no "$(ldap '{"bindDn":"c"}')" "give both bindDn and bindPassword"
say_no "$(ldap '{"bindPassword":{"secretName":"s"}}')" "give both bindDn and bindPassword"
for url in https://a 'ldaps://a/b' 'ldaps://u@a'; do say_no "$(ldap "{\"url\":\"$url\"}")" spec.access.ldap.url; done
say_yes "$(spec '{"access":{"kubernetes":{"rbac":true}}}')"
say_no "$(spec '{"access":{"kubernetes":{"audience":""}}}')" spec.access.kubernetes.audience

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
# What gives access.
name_of() { printf '{"metadata":{"name":"%s"}}' "$(printf 'a%.0s' $(seq "$1"))"; }
base='{"apiVersion":"roadstead.dev/v1alpha1","kind":"RegistryUser","metadata":{"name":"a"},"spec":{"registry":"none","passwordSecret":{"name":"s"}}}'
say_yes "$(name_of 64)"
say_no "$(name_of 65)" "the name of an account has at most 64 characters"
say_yes "$(jq -c '. * {spec: {username: "alice"}}' <<<"$(name_of 65)")"
for name in a a.b a-b a_b a__b a--b 7; do say_yes "$(spec "{\"username\":\"$name\"}")"; done
for name in A a. .a a/b a@b 'a b' ''; do say_no "$(spec "{\"username\":\"$name\"}")" spec.username; done
say_no "$(spec '{"passwordSecret":{"name":"S"}}')" spec.passwordSecret.name
say_no "$(spec '{"groups":["dev","dev"]}')" Duplicate
say_no "$(spec '{"groups":["Dev"]}')" 'spec.groups[0]'
k create -f - >/dev/null <<<"$base"
kind=registryuser
may '{"groups":["dev"],"administrator":true,"disabled":true,"passwordSecret":{"name":"other","key":"k"}}'
may_not '{"registry":"other"}' "a user belongs to one registry"
may_not '{"username":"b"}' "an account cannot be renamed: make another RegistryUser"

base='{"apiVersion":"roadstead.dev/v1alpha1","kind":"RegistryRobot","metadata":{"name":"a"},"spec":{"registry":"none"}}'
say_yes "$(name_of 63)"
say_no "$(name_of 64)" "the name may have at most 63 characters"
say_yes "$(spec '{"grants":[{"repositories":"team/**","role":"create"},{"repositories":"b","verbs":["pull","overwrite"]}]}')"
say_no "$(spec '{"grants":[{"repositories":"a"}]}')" "a grant has either a role or verbs"
say_no "$(spec '{"grants":[{"repositories":"a","role":"pull","verbs":["pull"]}]}')" "a grant has either a role or verbs"
say_no "$(spec '{"grants":[{"repositories":"a","role":"own"}]}')" 'spec.grants[0].role'
for time in 10m 600s 24h 1h30m 8760h; do say_yes "$(spec "{\"pullSecret\":{\"rotate\":\"$time\"}}")"; done
for time in 9m 599s 8761h; do say_no "$(spec "{\"pullSecret\":{\"rotate\":\"$time\"}}")" "rotate is at least 10m and at most 8760h"; done
for time in 1d '' 24 -1h; do say_no "$(spec "{\"pullSecret\":{\"rotate\":\"$time\"}}")" spec.pullSecret.rotate; done
say_no "$(spec '{"pullSecret":{"namespaces":["a","a"]}}')" Duplicate
say_no "$(spec '{"pullSecret":{"namespaces":["a.b"]}}')" 'spec.pullSecret.namespaces[0]'
k create -f - >/dev/null <<<"$base"
kind=registryrobot
may '{"disabled":true,"grants":[{"repositories":"a","role":"pull"}],"pullSecret":{"namespaces":["a","b"]}}'
may_not '{"registry":"other"}' "a robot belongs to one registry"
may_not '{"robotName":"b"}' "an account cannot be renamed: make another RegistryRobot"

base='{"apiVersion":"roadstead.dev/v1alpha1","kind":"RegistryPolicy","metadata":{"name":"a"},"spec":{"registry":"none"}}'
say_yes "$(name_of 64)"
say_no "$(name_of 65)" "the name may have at most 64 characters"
rule() { jq -c '{spec: {rules: [{subjects: ["everyone"], repositories: ["a"]} * .]}}' <<<"$1"; }
for said in '{"role":"push"}' '{"allow":["pull"]}' '{"deny":["delete","admin"]}'; do say_yes "$(rule "$said")"; done
for said in '{}' '{"role":"push","allow":["pull"]}' '{"allow":["pull"],"deny":["push"]}'; do say_no "$(rule "$said")" "a rule has exactly one of role, allow and deny"; done
say_no "$(rule '{"role":"push","subjects":[]}')" 'spec.rules[0].subjects'
say_no "$(rule '{"allow":["own"]}')" 'spec.rules[0].allow[0]'
say_yes "$(spec '{"description":"d","writeOnce":[{"repositories":["releases/**"],"tags":["v*"]}]}')"
say_no "$(spec '{"writeOnce":[{"repositories":["releases/**"],"tags":[]}]}')" 'spec.writeOnce[0].tags'
k create -f - >/dev/null <<<"$base"
kind=registrypolicy
may '{"description":"other"}'
may_not '{"registry":"other"}' "a policy belongs to one registry"
# Every sentence of the schema was seen here.
kubectl get crd {registries,registrybackups,registryusers,registryrobots,registrypolicies}.roadstead.dev -o json |
    jq -r '.. | .["x-kubernetes-validations"]? // empty | .[].message' | sort -u >"$work/sentences"
while read -r sentence; do
    grep -qF -- "$sentence" "$work/said" || { echo "no object was refused with: $sentence"; exit 1; }
done <"$work/sentences"
note "$checked refusals, each with its sentence"
