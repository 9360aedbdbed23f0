# helm install, kubectl apply, push from outside; then Pods on every node run the image by the registry's hostname, over TLS
small_index | { cat; echo '  nodes: { trust: true }'; } | registry images registry.example.test
began=$SECONDS
rests images
note "at rest after $((SECONDS - began)) s"
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
push_app app registry.example.test/team/app:1
began=$SECONDS
app app registry.example.test/team/app:1 3
k rollout status deployment/app --timeout=90s
note "three Pods run it after $((SECONDS - began)) s"
# kubelet pulled it, and its containerd knows it by the digest that was pushed.
digest=$(crane digest registry.example.test/team/app:1)
ids=$(k get pods -l app=app -o 'jsonpath={range .items[*]}{.status.containerStatuses[0].imageID}{"\n"}{end}' | sort -u)
expect "the image that Pods run" "$ids" "registry.example.test/team/app@$digest"
# With the registry's directory alone on the node, and nothing else changed there.
if [ -z "${KUBECONFIG_ONLY:-}" ]; then
    for node in $(nodes); do
        expect "directories on $node" "$(docker exec "$node" ls /etc/containerd/certs.d)" registry.example.test
    done
fi
# A report has all of it, and no secret. The program is the one that the image was built of.
"$program" report images --namespace "$ns" --output "$work/report.zip"
python3 "$stories/report.py" "$work/report.zip" <<NAMES
could-not-read.txt nothing
registry.json "name": "images"
secrets.json tls.key
objects/deployments.json "images"
objects/statefulsets.json "images-index"
nodes/daemonsets.json node-trust
nodes/configmaps.json BEGIN CERTIFICATE
pods/images-index-0/log.txt roadstead
pods/images-index-0/readyz.txt ready
pods/images-index-0/metrics.txt roadstead_
pods/roadstead-operator-*/metrics.txt roadstead_operator_
pods/trust-*/log.txt registry.example.test
NAMES
# Taken back, nodes forget it, and keep nothing.
k patch registry images --type merge -p '{"spec":{"nodes":{"trust":false}}}' >/dev/null
if [ -z "${KUBECONFIG_ONLY:-}" ]; then
    forgotten() { for node in $(nodes); do [ -z "$(docker exec "$node" ls /etc/containerd/certs.d)" ] || return 1; done; }
    wait_for 60 forgotten
fi
