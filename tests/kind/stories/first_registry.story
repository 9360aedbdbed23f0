# The first Registry, by the very commands of the chart's notes and of docs/how-to/install.md: Ready, pushed to, and mended after a bad image
told() { sed -n '/^kubectl create namespace images$/,/^kubectl -n images wait /p'; }
"$tools/helm" get notes roadstead --namespace "$system" | told >"$work/notes"
told <"$root/docs/how-to/install.md" >"$work/install"
[ -s "$work/notes" ]
diff "$work/notes" "$work/install"
# As they stand there, but in this story's namespace, which is there already.
sed "1d; s/namespace: images\$/namespace: $ns/; s/-n images /-n $ns /" "$work/notes" >"$work/commands"
began=$SECONDS
bash -euo pipefail "$work/commands"
note "Ready after $((SECONDS - began)) s"
rests images
expect "pods" "$(k get pods -o name | wc -l)" 1
expect "claims" "$(k get persistentvolumeclaims -o name | wc -l)" 1
# The way to it that both show: a port that is forwarded. It ends with the pod that it leads to.
forward() {
    k port-forward service/images :443 >"$work/forward" 2>&1 &
    echo $! >>"$work/pids"
    forwarding() { grep -q '^Forwarding from 127' "$work/forward"; }
    wait_for 30 forwarding
    rm -f "$work/port"
    python3 "$stories/outside.py" "127.0.0.1:$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")" "$work/port" &
    echo $! >>"$work/pids"
    wait_for 10 test -s "$work/port"
    proxy=$(cat "$work/port")
    ca=$work/images.crt
    authorities images
}
app=registry.example.com/team/app
forward
push_app app $app:1
crane validate --remote $app:1
digest=$(crane digest $app:1)
k patch registry images --type merge -p '{"spec":{"image":"roadstead.test/roadstead:missing"}}' >/dev/null
broken() { k get pods -o json | jq -e '.items[].status.containerStatuses[0].state.waiting.reason | select(. == "ImagePullBackOff" or . == "ErrImagePull")' >/dev/null; }
wait_for 120 broken
not_ready() { [ "$(condition images Ready)" = False ]; }
wait_for 60 not_ready
note "with a bad image: $(condition images Ready message)"
k patch registry images --type merge -p "{\"spec\":{\"image\":\"${image%:*}:2\"}}" >/dev/null
began=$SECONDS
rests images 300
note "mended after $((SECONDS - began)) s"
expect "the image" "$(k get pods -o 'jsonpath={.items[*].spec.containers[0].image}')" "${image%:*}:2"
forward
expect "what was pushed" "$(crane digest $app:1)" "$digest"
crane validate --remote $app:1
push_app app $app:2
