# Deleting a Registry and uninstalling the chart, in either order, leave nothing but volumes, the bucket, the kinds and the operator's lease
{ small_index; echo '  nodes: { trust: true }'; echo '  deletionProtection: true'; } | registry images registry.example.test
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
# Rights go before those who have them: what is refused in between is so on purpose.
uninstall() { echo "from $(date -u +%FT%T)" >>"$rights_taken"; "$tools/helm" uninstall roadstead --namespace "$system" --wait >/dev/null; }
back() { echo "until $(date -u +%FT%T)" >>"$rights_taken"; chart; }
# What comes after this story finds an operator.
trap back EXIT
said=$(k delete registry images 2>&1) && { echo "a protected Registry was deleted"; exit 1; }
grep -q deletionProtection <<<"$said"
k patch registry images --type merge -p '{"spec":{"deletionProtection":false}}' >/dev/null
uninstall
# Without an operator the registry goes on.
expect "the registry" "$(k get pods -l app.kubernetes.io/component=index -o name | wc -l)" 3
if [ -z "${KUBECONFIG_ONLY:-}" ]; then
    forgotten() { for node in $(nodes); do [ -z "$(docker exec "$node" ls /etc/containerd/certs.d)" ] || return 1; done; }
    wait_for 90 forgotten
    note "nodes have forgotten it"
fi
k delete registry images --timeout=60s >/dev/null
only_claims() { [ -z "$(k get all,secrets,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts -o name | grep -v 'configmap/kube-root-ca.crt\|serviceaccount/default\|secret/bucket')" ]; }
wait_for 120 only_claims || { k get all,secrets,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts; exit 1; }
expect "claims" "$(k get persistentvolumeclaims -o name | wc -l)" 3
nothing_left() {
    local left
    left=$(kubectl get clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,namespaces -o name |
        grep -i roadstead | grep -v "namespace/$system\|namespace/$ns" || true)
    expect "what is left in the cluster" "$left" ""
    # Of the namespace itself, which helm leaves, only what the operator wrote there.
    left=$(kubectl --namespace "$system" get all,secrets,configmaps,serviceaccounts,roles,rolebindings,leases -o name |
        grep -v 'configmap/kube-root-ca.crt\|serviceaccount/default' || true)
    expect "what is left in the operator's namespace" "$left" lease.coordination.k8s.io/roadstead-operator
    kubectl get crd {registries,registrybackups,registryusers,registryrobots,registrypolicies}.roadstead.dev >/dev/null
}
nothing_left
# All that is left of it, and nobody's by now: who comes next makes one.
kubectl --namespace "$system" delete lease roadstead-operator >/dev/null
# Installed again, a Registry of the same name goes on with the volumes that stayed.
back
{ small_index; echo '  nodes: { trust: true }'; } | registry images registry.example.test
rests images 240
wait_for 90 trusted
# The other order, that of docs/how-to/install.md: the Registry goes while the operator runs, then what keeps its data, then the chart.
k delete registry images --timeout=60s >/dev/null
wait_for 120 only_claims || { k get all,secrets,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts; exit 1; }
expect "claims" "$(k get persistentvolumeclaims -o name | wc -l)" 3
if [ -z "${KUBECONFIG_ONLY:-}" ]; then wait_for 90 forgotten; fi
told=$(sed -n 's/^kubectl -n images delete persistentvolumeclaims/delete persistentvolumeclaims/p' "$root/docs/how-to/install.md")
# shellcheck disable=SC2086
k $told >/dev/null
expect "claims" "$(k get persistentvolumeclaims -o name | wc -l)" 0
uninstall
nothing_left
