# Sourced by each client's file. The runner gives: HOST and TLS_HOST (address:port of a registry over HTTP and of one
# over TLS), CERT, KEY and CA (files: the certificate of the second, its key, and the authority of both), IMAGES (a directory of OCI layouts), TOOLS (the
# directory of the programs), PID (the process of the first registry).

set -uo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/roadstead-client.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Clients keep their credentials, caches and settings out of the user's home.
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache XDG_DATA_HOME=$work/data PATH=$TOOLS:$PATH
client=$(basename "$0")
passed=0 failed=0

# Runs a command, and says whether what it stands for is so: check WORDS COMMAND…
check() {
    local words=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$client: NOT SO: $words"
        echo "  $*"
        printf '%s\n' "$(tail -15 "$work/said")" | sed 's/^/  | /'
    fi
}

# The same for what must not succeed.
refused() {
    local words=$1
    shift
    check "$words" not "$@"
}
not() { ! "$@"; }

# Succeeds if the output of a command is exactly these bytes: prints EXPECTED COMMAND…
prints() {
    local expected=$1 actual
    shift
    actual=$("$@") || return 1
    [ "$actual" = "$expected" ] || { echo "expected: $expected"; echo "but was:  $actual"; return 1; }
}

# The digest of the only image of a layout.
digest_of() { jq -r '.manifests[0].digest' "$1/index.json"; }

# Succeeds if every blob of a layout is in another one, byte for byte.
same_blobs() {
    local blob
    for blob in "$1"/blobs/*/*; do
        cmp "$blob" "$2/blobs/${blob#"$1"/blobs/}" || return 1
    done
}

# What the registry answers: the bytes of a manifest or blob, and the status of a request.
fetch() { curl -sf -H 'Accept: */*' "http://$HOST/v2/$1"; }
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }

# Succeeds if what the registry answers is the file: served PATH FILE
served() { fetch "$1" | cmp - "$2"; }

# Says how many were so; every file ends with it.
done_checking() {
    echo "$client: $passed passed, $failed failed"
    [ "$failed" = 0 ]
}
