# An operator for one namespace alone, with no right beyond it: it builds a Registry there, and neither sees nor touches those of others
# The operator for all namespaces would do this one's work: it rests meanwhile.
one=$ns-operator other=$ns-other
runs() { # REPLICAS
    kubectl --namespace "$system" scale deployment/roadstead-operator --replicas="$1" >/dev/null
    kubectl --namespace "$system" rollout status deployment/roadstead-operator --timeout=120s >/dev/null
}
back() {
    "$tools/helm" uninstall one --namespace "$one" --wait >/dev/null 2>&1 || true
    kubectl delete namespace "$one" "$other" --ignore-not-found --timeout=120s >/dev/null || true
    runs 1
}
trap back EXIT
runs 0
away() { [ -z "$(kubectl --namespace "$system" get pods -l app.kubernetes.io/name=roadstead-operator -o name)" ]; }
wait_for 60 away
kubectl create namespace "$other" >/dev/null
"$tools/helm" install one "$root/charts/roadstead" --namespace "$one" --create-namespace --wait --timeout 3m \
    --set-string image.repository="${image%:*}" --set-string image.tag="${image##*:}" \
    --set crds.enabled=false --set rbac.clusterReads=false --set "watchNamespaces={$ns}" >/dev/null
operator=$(kubectl --namespace "$one" get deployments -o 'jsonpath={.items[*].metadata.name}')
mine=$ns
ns=$other
small_index | registry images other.example.test
ns=$mine
small_index | registry images registry.example.test
rests images
outside images
push_app app registry.example.test/team/app:1
k patch registry images --type merge -p '{"spec":{"replicas":3}}' >/dev/null
three() { [ "$(field images .status.pods)" = 3/3 ] && at_rest images; }
wait_for 120 three || { tell_about images; exit 1; }
# Of the other one it has not even noticed that it is there.
expect "what it says of another's Registry" "$(kubectl --namespace "$other" get registry images -o 'jsonpath={.status}')" ""
expect "what it made there" "$(kubectl --namespace "$other" get all,networkpolicies,persistentvolumeclaims -o name)" ""
logs=$(kubectl --namespace "$one" logs "deployment/$operator")
! grep -F "$other" <<<"$logs"
account=$(kubectl --namespace "$one" get deployment "$operator" -o 'jsonpath={.spec.template.spec.serviceAccountName}')
may() { kubectl auth can-i "$@" --as="system:serviceaccount:$one:$account" 2>/dev/null || true; }
expect "reading Secrets here" "$(may get secrets --namespace "$ns")" yes
for where in "--namespace=$other" "--namespace=$system" --all-namespaces; do
    for what in registries.roadstead.dev secrets pods; do
        expect "listing $what with $where" "$(may list "$what" "$where")" no
    done
done
for what in nodes persistentvolumes storageclasses namespaces; do expect "listing $what" "$(may list "$what")" no; done
# Its Registry goes while it is there; then nothing of it is left in the cluster.
k delete registry images --timeout=60s >/dev/null
"$tools/helm" uninstall one --namespace "$one" --wait >/dev/null
left=$(kubectl get clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings -o name | grep -F -- "-$one" || true)
expect "what is left in the cluster" "$left" ""
