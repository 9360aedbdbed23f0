# The bucket does not answer for a while: what is in the index is served, pushes wait or fail without harm, and go on by themselves
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
kubectl --namespace s3 scale deployment/s3 --replicas=0 >/dev/null
not_ready() { [ "$(condition images Ready)" = False ]; }
wait_for 120 not_ready
note "without the bucket: $(condition images Ready reason), quorum $(condition images QuorumAvailable)"
unreachable() { [ "$(condition images StorageReachable)" = False ]; }
wait_for 60 unreachable
note "the condition says: $(condition images StorageReachable message)"
expect "the quorum" "$(condition images QuorumAvailable)" True
kubectl --namespace s3 scale deployment/s3 --replicas=1 >/dev/null
kubectl --namespace s3 rollout status deployment/s3 --timeout=120s
rests images
expect "the storage" "$(condition images StorageReachable)" True
wait_for 60 goes_on "$(pushed)"
traffic_ends
