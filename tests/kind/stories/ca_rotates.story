# Both authorities are renewed under load, in steps that each pod confirms: no push fails, and the old ones are trusted no more
small_index | { cat; echo '  nodes: { trust: true }'; } | registry images registry.example.test
rests images
trusted() { [ "$(condition images NodesTrust)" = True ]; }
wait_for 90 trusted
outside images
stage() { k get secret "images-$1-ca" -o 'jsonpath={.data.authority\.json}' | base64 -d | jq -r .stage; }
name_of() { k get secret "images-$1-ca" -o 'jsonpath={.data.authority\.json}' | base64 -d | jq -r .current.name; }
peers=$(name_of peers) clients=$(name_of clients)
# Clients outside trust both from the moment that the new one is published.
traffic registry.example.test
k annotate registry images roadstead.dev/rotate=now >/dev/null
began=$SECONDS
trusting() { [ "$(stage clients)" = Trusting ]; }
wait_for 30 trusting
authorities images
traffic_ends
traffic registry.example.test --name team/traffic2
renewed() { [ "$(stage peers)" = Stable ] && [ "$(stage clients)" = Stable ] && [ "$(name_of peers)" != "$peers" ] && [ "$(name_of clients)" != "$clients" ]; }
wait_for 600 renewed || { tell_about images; stage peers; stage clients; exit 1; }
note "renewed in $((SECONDS - began)) s"
kill -TERM $traffic; wait $traffic
figures=$(tail -1 "$work/traffic")
python3 "$stories/traffic.py" check --proxy "$proxy" --host registry.example.test --ca "$ca" --log "$work/pushed" --name team/traffic2
expect "pushes that failed" "$(figure failed)" 0
restarts=$(k get pods -l app.kubernetes.io/name=roadstead -o json | jq '[.items[].status.containerStatuses[0].restartCount] | add')
expect "restarts" "$restarts" 0
rests images
