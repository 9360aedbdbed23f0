# A Pod pulls with its own identity: the kubelet brings a token of its ServiceAccount, no secret lies in the namespace, and no other Pod may
[ -z "${KUBECONFIG_ONLY:-}" ] || { note "needs a machine whose kubelet is configured: not possible with KUBECONFIG_ONLY"; exit 0; }
small_index | { cat; echo '  nodes: { trust: true }'; } | anonymous=Nothing registry images registry.example.test
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
host=registry.example.test
offered() { k get secret images-first-administrator -o 'jsonpath={.data.token}' 2>/dev/null | base64 -d >"$work/first" && [ -s "$work/first" ]; }
wait_for 60 offered
from_outside $host user first alice --token "$(cat "$work/first")" <<<"the administrator's" >/dev/null
export ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's"
from_outside $host robot create ci --allow 'team/**=push' >"$work/ci" 2>/dev/null
# The cluster is believed, by the keys that it signs with.
kubectl get --raw /openid/v1/jwks >"$work/keys"
cat >"$work/kube.yaml" <<YAML
description: this cluster
issuer: $(kubectl get --raw /.well-known/openid-configuration | jq -r .issuer)
audiences: [$host]
rules:
- claims: { kubernetes.io/namespace: $ns, kubernetes.io/serviceaccount/name: puller }
  groups: [apps]
YAML
from_outside $host issuer apply kube "$work/kube.yaml" --keys "$work/keys" >/dev/null
echo 'rules: [{ subjects: ["group:apps"], repositories: ["team/**"], role: pull }]' >"$work/policy"
from_outside $host policy apply apps "$work/policy" >/dev/null
unset ROADSTEAD_USER ROADSTEAD_PASSWORD
crane auth login $host -u ci -p "$(cat "$work/ci")" 2>/dev/null
push_app app $host/team/app:1
crane auth logout $host 2>/dev/null
k create serviceaccount puller >/dev/null
by() { # SERVICEACCOUNT AUDIENCE: the status of a pull with its token
    curl --silent --output /dev/null --write-out '%{http_code}' --proxy "http://127.0.0.1:$proxy" --cacert "$ca" \
        --header "Authorization: Bearer $(k create token "$1" --audience "$2")" "https://$host/v2/team/app/manifests/1"
}
expect "a pull with its token" "$(by puller $host)" 200
expect "with another's" "$(by default $host)" 401
expect "with one for somebody else" "$(by puller https://other.example.test)" 401

# One kubelet is told of the program that passes tokens on.
machine=$name-worker
flags=/var/lib/kubelet/kubeadm-flags.env
restarted() {
    docker exec "$machine" systemctl restart kubelet
    wait_for 60 docker exec "$machine" curl -sf -o /dev/null http://127.0.0.1:10248/healthz
    kubectl wait --for=condition=Ready "node/$machine" --timeout=60s >/dev/null
}
back() {
    docker exec "$machine" sh -c "cp $flags.before $flags && rm -rf /opt/roadstead $flags.before"
    restarted
    kubectl delete clusterrole,clusterrolebinding "$ns-tokens" --ignore-not-found >/dev/null
}
trap back EXIT
docker exec "$machine" sh -c "cp $flags $flags.before && mkdir -p /opt/roadstead/bin"
docker cp -q "${program%-operator}" "$machine:/opt/roadstead/bin/roadstead"
docker exec -i "$machine" tee /opt/roadstead/providers.yaml >/dev/null <<YAML
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: roadstead
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [credential-provider]
    matchImages: [$host]
    defaultCacheDuration: 0s
    tokenAttributes:
      serviceAccountTokenAudience: $host
      cacheType: Token
      requireServiceAccount: true
YAML
docker exec "$machine" sed -i 's|"$| --image-credential-provider-config=/opt/roadstead/providers.yaml --image-credential-provider-bin-dir=/opt/roadstead/bin"|' $flags
# A node may ask for tokens for this audience.
kubectl create -f - >/dev/null <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: $ns-tokens }
rules:
  - { apiGroups: [""], resources: ["$host"], verbs: [request-serviceaccounts-token-audience] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: $ns-tokens }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: $ns-tokens }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:nodes }]
YAML
restarted
pod() { # NAME SERVICEACCOUNT
    cat <<YAML | k apply -f - >/dev/null
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  serviceAccountName: $2
  nodeSelector: { kubernetes.io/hostname: $machine }
  securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: RuntimeDefault } }
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: $host/team/app:1
      imagePullPolicy: Always
      args: [wait]
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
YAML
}
pod mine puller
began=$SECONDS
k wait --for=condition=Ready pod/mine --timeout=90s >/dev/null || { k describe pod mine | tail -20; exit 1; }
note "a Pod of puller runs after $((SECONDS - began)) s, with no secret"
pod others default
refused() { k get pod others -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}' | grep -qE 'ErrImagePull|ImagePullBackOff'; }
wait_for 60 refused
# Believed no more, the cluster vouches for nobody.
export ROADSTEAD_USER=alice ROADSTEAD_PASSWORD="the administrator's"
from_outside $host issuer delete kube >/dev/null
k delete pod mine --wait >/dev/null
pod mine puller
gone() { k get pod mine -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}' | grep -qE 'ErrImagePull|ImagePullBackOff'; }
wait_for 60 gone
