# What a Registry asks for no longer goes: the way in, the autoscaler, budgets, network policies, whom to trust
small_index | registry images registry.example.test
rests images
change() { k patch registry images --type merge -p "{\"spec\":$1}" >/dev/null; }
there() { # KIND NAME…
    local kind=$1
    shift
    expect "$kind" "$(k get "$kind" -o 'jsonpath={.items[*].metadata.name}')" "$*"
}
comes() { wait_for 60 there "$@" || { there "$@"; tell_about images; return 1; }; }
there networkpolicies images images-index
there poddisruptionbudgets images images-index
change '{"exposure":{"ingress":{"className":"none"}},"autoscaling":{"minReplicas":2,"maxReplicas":3}}'
comes ingresses images
comes horizontalpodautoscalers images
change '{"exposure":{"ingress":null},"autoscaling":null,"networkPolicy":{"enabled":false},"replicas":1}'
comes ingresses
comes horizontalpodautoscalers
comes networkpolicies
comes poddisruptionbudgets images-index
# A certificate of one's own that comes without its authority, as one of Let's Encrypt does: whom to trust is not ours to say.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=registry.example.test \
    -addext subjectAltName=DNS:registry.example.test -keyout "$work/key" -out "$work/certificate" 2>/dev/null
k create secret tls mine --cert "$work/certificate" --key "$work/key" >/dev/null
change '{"tls":{"secretName":"mine"}}'
comes configmaps kube-root-ca.crt
rests images
