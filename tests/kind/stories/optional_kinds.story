# Kinds of others that come later: without them a registry serves and says what is missing, and it uses them once they are there
{ small_index; echo '  exposure: { service: { type: NodePort }, gateway: { parentRefs: [{ name: front }] } }'; } |
    sed 's/^  index/  pods: {}\n  index/' >"$work/spec"
k create secret generic bucket --from-literal=accessKeyId=test --from-literal=secretAccessKey=testtest >/dev/null
k apply -f - >/dev/null <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: Registry
metadata: { name: images }
spec:
  hostname: registry.example.test
  replicas: 1
  storage:
    s3: { bucket: registry, prefix: $prefix/$ns, endpoint: "http://s3.s3.svc:7070", region: us-east-1, pathStyle: true, credentials: { secretName: bucket } }
$(cat "$work/spec")
YAML
misses() { [ "$(condition images Ready)" = True ] && [ "$(condition images Degraded reason)" = KindMissing ]; }
wait_for 180 misses || { tell_about images; exit 1; }
note "it says: $(condition images Degraded message)"
kubectl apply -f "$here/manifests/optional-kinds.yaml" >/dev/null
trap 'kubectl delete -f "$here/manifests/optional-kinds.yaml" --wait=false >/dev/null' EXIT
made() { k get servicemonitor,httproute,backendtlspolicy images -o name; }
wait_for 150 made # it is looked for once a minute
expect "the host of the route" "$(k get httproute images -o 'jsonpath={.spec.hostnames[0]}')" registry.example.test
expect "whom the gateway trusts" "$(k get backendtlspolicy images -o 'jsonpath={.spec.validation.caCertificateRefs[0].name}')" images-ca
# What is no longer wanted goes.
k patch registry images --type json -p '[{"op":"remove","path":"/spec/exposure/gateway"}]' >/dev/null
gone() { [ -z "$(k get httproute,backendtlspolicy -o name)" ]; }
wait_for 60 gone
# cert-manager issues the certificate of clients; here its answer is written by hand.
k patch registry images --type merge -p '{"spec":{"tls":{"certManager":{"issuerRef":{"name":"letsencrypt","kind":"ClusterIssuer"}}}}}' >/dev/null
asked() { [ "$(k get certificate images-tls -o 'jsonpath={.spec.issuerRef.name}')" = letsencrypt ]; }
wait_for 60 asked
expect "names of the certificate" "$(k get certificate images-tls -o 'jsonpath={.spec.dnsNames[*]}')" registry.example.test
rests images
# An autoscaler scales the Registry, and the operator follows it.
k patch registry images --type merge -p '{"spec":{"autoscaling":{"minReplicas":2,"maxReplicas":4}}}' >/dev/null
scaler() { [ "$(k get horizontalpodautoscaler images -o 'jsonpath={.spec.scaleTargetRef.kind}')" = Registry ]; }
wait_for 60 scaler
k scale registry images --replicas=3 >/dev/null
three() { [ "$(k get deployment images -o 'jsonpath={.spec.replicas}')" = 3 ]; }
wait_for 60 three
# Another issues the certificate from now on.
k patch registry images --type json -p '[{"op":"remove","path":"/spec/tls/certManager"}]' >/dev/null
unasked() { [ -z "$(k get certificate -o name)" ]; }
wait_for 60 unasked
rests images
