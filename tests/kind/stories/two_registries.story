# Two Registries in one cluster do not see each other: neither what is in them, nor each other's nodes
small_index | registry one one.example.test
small_index | registry two two.example.test
rests one
rests two
outside one
push_app app one.example.test/team/app:1
one_proxy=$proxy
outside two
[ -z "$(crane catalog two.example.test)" ]
! crane digest two.example.test/team/app:1 2>/dev/null
[ "$(field one .status.index.cluster)" != "$(field two .status.index.cluster)" ]
# The authority of the one is nothing to the other.
ca=$work/one.crt
! crane catalog two.example.test 2>/dev/null
proxy=$one_proxy
crane catalog one.example.test | grep -qx team/app
# An index node of the one takes the certificate of its own registry's pods, and refuses that of the other's.
expect "members of one" "$(field one .status.index.ready)" 3/3
expect "members of two" "$(field two .status.index.ready)" 3/3
k port-forward pod/one-index-0 :5001 >"$work/forward" 2>&1 &
echo $! >>"$work/pids"
forwarding() { grep -q '^Forwarding from 127' "$work/forward"; }
wait_for 30 forwarding
port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")
for of in one two; do
    for file in ca.pem registry.pem registry-key.pem; do
        k get secret $of-registry-peers -o json | jq -r --arg file "$file" '.data[$file]' | base64 -d >"$work/$of-$file"
    done
done
call() { python3 "$stories/peer.py" "$port" "one-index-0.one-index.$ns.svc" "$work/one-ca.pem" "$work/$1-registry.pem" "$work/$1-registry-key.pem"; }
expect "with the certificate of the one" "$(call one)" taken
said=$(call two)
note "with the certificate of the other: $said"
[[ $said = "refused: "* ]]
