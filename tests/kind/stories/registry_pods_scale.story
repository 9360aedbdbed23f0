# The pods that serve clients go from 2 to 5 to 1 by kubectl scale under load, and no push that was acknowledged is lost
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
for size in 5 1 2; do
    before=$(pushed)
    k scale registry images --replicas="$size" >/dev/null
    there() { [ "$(field images .status.pods)" = "$size/$size" ] && at_rest images; }
    wait_for 180 there || { tell_about images; exit 1; }
    wait_for 60 goes_on "$before"
    note "$size pods serve"
done
traffic_ends
expect "pushes that failed" "$(figure failed)" 0
