# An operator whose registries are as they should be makes fewer than 6 writes a minute
small_index | registry images registry.example.test
rests images
writes() { # as the API server counts them, without leases of others
    local pod
    pod=$(kubectl --namespace $system get pods -l app.kubernetes.io/name=roadstead-operator -o 'jsonpath={.items[0].metadata.name}')
    kubectl get --raw "/api/v1/namespaces/$system/pods/$pod:8080/proxy/metrics" |
        awk '/^roadstead_operator_api_writes_total/ { sum += $2 } END { print sum + 0 }'
}
before=$(writes)
began=$SECONDS
minute_over() { [ $((SECONDS - began)) -ge 60 ]; }
wait_for 90 minute_over
now=$(writes)
note "$((now - before)) writes in $((SECONDS - began)) s"
at_most "writes in a minute" $(((now - before) * 60 / (SECONDS - began))) 5
