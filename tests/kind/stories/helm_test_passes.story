# helm test pushes to a registry and pulls from it
small_index | registry images registry.example.test
rests images
chart --set test.registry=images --set test.namespace="$ns" --set test.hostname="images.$ns.svc"
"$tools/helm" test roadstead --namespace $system --timeout 3m
k logs roadstead-test
chart
