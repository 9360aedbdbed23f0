# containerd: its own resolver and content store, in a daemon of its own.

crane append --insecure -f "$scratch/layer.tar" -t "$host/ctr/image:1" >/dev/null 2>&1
mkdir -p "$scratch/containerd"
cat >"$scratch/containerd/config.toml" <<END
version = 2
root = "$scratch/containerd/root"
state = "$scratch/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$scratch/containerd/socket"
[ttrpc]
  address = "$scratch/containerd/ttrpc"
END
containerd --config "$scratch/containerd/config.toml" >"$scratch/containerd/log" 2>&1 &
pids+=("$!")
ctr=(ctr --address "$scratch/containerd/socket")
if wait_for 20 "${ctr[@]}" version; then
    check "fetches an image" "${ctr[@]}" content fetch --plain-http --platform linux/amd64 "$host/ctr/image:1"
    check "has the manifest under its digest" \
        grep -q "$(crane digest --insecure "$host/ctr/image:1")" <("${ctr[@]}" content ls)
    check "has the blobs whole" "${ctr[@]}" content get "$(crane manifest --insecure "$host/ctr/image:1" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["layers"][0]["digest"])')"
else
    check "starts" tail -5 "$scratch/containerd/log"
    failed=$((failed + 1))
fi
