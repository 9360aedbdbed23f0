# The pod that leads is killed under load: what was acknowledged stays, and pushing goes on within seconds
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
for round in 1 2; do
    old=$(leader images)
    before=$(pushed)
    k delete pod "$old" --grace-period=0 --force 2>/dev/null
    wait_for 60 goes_on "$before"
    another() { [ -n "$(leader images)" ] && [ "$(leader images)" != "$old" ]; }
    wait_for 60 another
    rests images
    note "round $round: $old was killed, $(leader images) leads"
done
traffic_ends
at_most "seconds without an acknowledged push" "$(figure longest)" 15
