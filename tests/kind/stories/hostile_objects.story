# Objects that ask for more than their author may have are refused, each with a reason, and nothing is made of them
refused_by_api() { # WHAT TEXT
    local said
    said=$(registry bad bad.example.test 2>&1 </dev/stdin) && { echo "$1 was accepted"; return 1; }
    grep -q "$2" <<<"$said" || { echo "$1: $said"; return 1; }
    note "$1: refused by the API server"
}
refused_by_operator() { # WHAT REASON
    registry bad bad.example.test
    said() { [ "$(condition bad Ready reason)" = "$2" ]; }
    wait_for 30 said "$1" "$2" || { echo "$1"; k get registry bad -o yaml; return 1; }
    note "$1: $(condition bad Ready message)"
    expect "pods of $1" "$(k get pods -o name | wc -l)" 0
    k delete registry bad >/dev/null
}
refused_by_api "an even index" "1, 3 or 5" <<<'  index: { replicas: 2 }'
refused_by_api "a field that is none" "unknown field" <<<'  pods: { hostNetwork: true }'
k create secret generic other --type=example.com/other --from-literal=token=x >/dev/null
kubectl --namespace "$ns" apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Secret
metadata: { name: robot, annotations: { kubernetes.io/service-account.name: default } }
type: kubernetes.io/service-account-token
YAML
refused_by_operator "a foreign Secret" ForeignSecret <<<'  tls: { secretName: robot }'
refused_by_operator "a Secret that is not there" SecretMissing <<<'  tls: { secretName: missing }'
refused_by_operator "a privileged pod" ForbiddenPods <<<'  pods: { containerSecurityContext: { privileged: true } }'
refused_by_operator "a pod of root" ForbiddenPods <<<'  index: { pods: { securityContext: { runAsUser: 0 } } }'
refused_by_operator "a setting of the operator's" InvalidSettings <<<'  settings: { server.role: all }'
refused_by_operator "a setting that is none" InvalidSettings <<<'  settings: { reclaim.gracious: "1" }'
for address in 169.254.169.254 localhost:7070 metadata.google.internal 2852039166; do
    k apply -f - >/dev/null <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: Registry
metadata: { name: bad }
spec:
  hostname: bad.example.test
  storage: { s3: { bucket: registry, endpoint: "http://$address", credentials: { secretName: bucket } } }
YAML
    forbidden() { [ "$(condition bad Ready reason)" = ForbiddenEndpoint ]; }
    wait_for 30 forbidden || { k get registry bad -o yaml; exit 1; }
    note "$address: refused"
    k delete registry bad >/dev/null
done
