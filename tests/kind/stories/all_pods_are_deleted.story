# Every pod is deleted at once, so that all addresses change: the registry comes back by itself, with everything
small_index | registry images registry.example.test
rests images
outside images
traffic registry.example.test
goes_on() { goes_on_from "$1"; }
wait_for 60 goes_on 0
addresses() { k get pods -o 'jsonpath={range .items[*]}{.status.podIP}{"\n"}{end}' | sort; }
old=$(addresses)
k delete pods --all --grace-period=0 --force 2>/dev/null
began=$SECONDS
before=$(pushed)
wait_for 180 goes_on "$before"
note "pushing goes on after $((SECONDS - began)) s"
rests images
expect "addresses that stayed" "$(comm -12 <(echo "$old") <(addresses) | wc -l)" 0
traffic_ends
