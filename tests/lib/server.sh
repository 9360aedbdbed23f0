# Sourced by the scripts beside it: starts and stops servers on free ports, each with a directory of its own.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools="${XDG_CACHE_HOME:-$HOME/.cache}/roadstead/bin"
. "$root/tests/lib/build.sh"
build_registry
scratch=$(mktemp -d "${TMPDIR:-/tmp}/roadstead-test.XXXXXX")
pids=()

# Whatever was started ends with the script, by its process id.
end() {
    local status=$? pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
    exit "$status"
}
trap end EXIT

# Waits until a command succeeds: wait_for SECONDS COMMAND…
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "waited in vain for: $*" >&2; return 1; }
        sleep 0.1
    done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts a registry: start NAME [ARGUMENT…]. Sets host (address and port) and pid.
start() {
    local name=$1 out
    shift
    out="$scratch/$name.out"
    "$roadstead" serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --data "$scratch/$name" "$@" \
        >"$out" 2>"$scratch/$name.log" &
    pid=$!
    pids+=("$pid")
    wait_for 30 grep -q 'listening on' "$out" || { cat "$out" "$scratch/$name.log" >&2; return 1; }
    host=$(sed -n 's#^roadstead is listening on https\?://##p' "$out")
}

# A certificate for 127.0.0.1 and localhost, signed by a CA of its own: $scratch/{ca.pem,cert.pem,key.pem}.
certificate() {
    [ -e "$scratch/cert.pem" ] && return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=roadstead test CA" \
        -keyout "$scratch/ca.key" -out "$scratch/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
        -keyout "$scratch/key.pem" -out "$scratch/cert.csr" 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >"$scratch/cert.ext"
    openssl x509 -req -in "$scratch/cert.csr" -CA "$scratch/ca.pem" -CAkey "$scratch/ca.key" -CAcreateserial -days 2 \
        -extfile "$scratch/cert.ext" -out "$scratch/cert.pem" 2>/dev/null
}

# Starts an S3 server with an empty bucket, and sets s3 to the arguments that make a registry use it.
start_s3() {
    local port store="$scratch/s3-$1"
    port=$(free_port)
    mkdir -p "$store/data/registry" "$store/meta"
    ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testtest "$tools/versitygw" --port "127.0.0.1:$port" \
        posix --sidecar "$store/meta" "$store/data" >"$scratch/s3-$1.log" 2>&1 &
    pids+=("$!")
    wait_for 20 curl -s "http://127.0.0.1:$port/" || { cat "$scratch/s3-$1.log" >&2; return 1; }
    s3=(--set storage.kind=s3 --set storage.s3.bucket=registry --set "storage.s3.endpoint=http://127.0.0.1:$port"
        --set storage.s3.region=us-east-1 --set storage.s3.path_style=true
        --set storage.s3.access_key_id=test --set storage.s3.secret_access_key=testtest)
}
