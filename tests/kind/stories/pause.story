# A paused registry is looked at and not changed, and goes on from there
small_index | registry images registry.example.test
rests images
k patch registry images --type merge -p '{"spec":{"paused":true,"replicas":3}}' >/dev/null
paused() { [ "$(condition images Paused)" = True ] && [ "$(field images .status.observedGeneration)" = "$(field images .metadata.generation)" ]; }
wait_for 60 paused
k delete service images-metrics >/dev/null
k delete pod -l app.kubernetes.io/component=registry >/dev/null # makes the operator look once more
ready() { [ "$(field images .status.pods)" = 2/3 ]; }
wait_for 60 ready
expect "pods that are wanted" "$(k get deployment images -o 'jsonpath={.spec.replicas}')" 2
expect "services" "$(k get services -o name | wc -l)" 2
k patch registry images --type merge -p '{"spec":{"paused":false}}' >/dev/null
rests images
expect "pods that are wanted" "$(k get deployment images -o 'jsonpath={.spec.replicas}')" 3
expect "services" "$(k get services -o name | wc -l)" 3
