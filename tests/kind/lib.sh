# Sourced by the scripts beside it: where things are, and what they share. It does nothing but define and read.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$here/versions.sh"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/roadstead/kind"
bin="$cache/bin"
dir="${CARGO_TARGET_DIR:-$root/target}/kind"
name=roadstead

say() { echo "kind: $*" >&2; }
fail() { say "$*"; exit 1; }
# Not a failure: callers report what they wanted to run as skipped, with this line as the reason.
skip() { say "skipped: $*"; exit 77; }

# Begins a part that takes a while; `done_in` tells how long it took.
began=$SECONDS
begin() { began=$SECONDS; say "$*…"; }
done_in() { say "$*: $((SECONDS - began)) s"; }

# Waits until a command succeeds: wait_for SECONDS COMMAND…
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { say "waited in vain for: $*"; return 1; }
        sleep 0.2
    done
}

# One at a time: two that start an engine or assemble an image would be in each other's way. The lock ends with the script;
# what outlives the script must be started with 9>&-.
lock() {
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock --nonblock 9 || { say "waiting for another that is at it"; flock 9; }
}

packages() { # PROGRAM:PACKAGE…
    local pair missing=()
    for pair in "$@"; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || skip "not root, and these are missing: ${missing[*]}"
    command -v apt-get >/dev/null || skip "no apt-get, and these are missing: ${missing[*]}"
    begin "installing ${missing[*]}"
    mkdir -p "$cache"
    # The lock of another apt is waited for: an unattended upgrade runs on many a fresh machine.
    {
        apt-get -o DPkg::Lock::Timeout=300 update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
    } >"$cache/apt.log" 2>&1 || { tail -20 "$cache/apt.log" >&2; fail "apt-get could not install ${missing[*]}"; }
    done_in "installed ${missing[*]}"
}

# What `up` wrote about the cluster in DIR: its name, engine and KUBECONFIG.
cluster_environment() {
    [ -e "$dir/env" ] || fail "there is no cluster in $dir: run tests/kind/up"
    # shellcheck source=/dev/null
    . "$dir/env"
    name=$KIND_CLUSTER_NAME
}

nodes() { docker ps --all --filter "label=io.x-k8s.kind.cluster=$name" --format '{{.Names}}' | sort; }
