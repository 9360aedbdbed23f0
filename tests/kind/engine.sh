# Sourced: the Docker daemon that the nodes run in. One that answers is used as it is; else root starts one of its own, with
# its data in the cache, and `engine_stop` puts the machine back to what it was.
# shellcheck shell=bash

engine="$cache/engine"
# Sockets have short names and end with the boot. The number keeps two caches on one machine apart.
run="/run/roadstead-kind-$(printf %s "$cache" | cksum | cut -d' ' -f1)"
socket="unix://$run/docker.sock"

engine_answers() { timeout 30 docker info >/dev/null 2>&1; }
engine_is_ours() { [ "${DOCKER_HOST:-}" = "$socket" ]; }
# The process of a pid file, if that lives and was called with what we call it with: a number is soon another's, and one that
# ended and that nobody took note of has no command line any more.
living() { # PID-FILE ARGUMENT
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && grep -qsF "$2" "/proc/$pid/cmdline" && echo "$pid"
}
engine_pid() { living "$run/docker.pid" "$engine/daemon.json"; }

# Chooses the engine and sets DOCKER_HOST accordingly.
engine_up() {
    if command -v docker >/dev/null && engine_answers; then return; fi
    [ "$(id -u)" = 0 ] || skip "no Docker daemon answers, and starting one needs root"
    packages dockerd:docker.io docker:docker.io iptables:iptables
    # Where systemd runs, installing the package has started it.
    if [ -d /run/systemd/system ] && wait_for 20 engine_answers; then return; fi
    export DOCKER_HOST=$socket
    if [ -n "$(engine_pid)" ] && engine_answers; then return; fi
    engine_start
}

engine_start() {
    local runtime='' fresh=''
    begin "starting a Docker daemon"
    mkdir -p "$engine"
    if [ ! -e "$run/before" ]; then
        fresh=1
        mkdir -p "$run"
        host_state >"$run/before.new"
        mv "$run/before.new" "$run/before"
    fi
    # Each program in a node that watches files takes some of these: 128, which is usual, are too few for three clusters.
    [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 1024 ] || echo 1024 >/proc/sys/fs/inotify/max_user_instances || true
    # `--privileged` asks for every capability. Where this machine lacks one, runc needs a word with it first.
    if ! has_sys_resource; then
        cp "$here/runc-without-sys-resource" "$engine/runc"
        runtime='"runtimes": {"mended": {"path": "'$engine/runc'"}}, "default-runtime": "mended",'
    fi
    # A file of its own, so that what an administrator wrote for another daemon stays out of it.
    cat >"$engine/daemon.json" <<JSON
{
    $runtime
    "data-root": "$engine/data",
    "exec-root": "$run/exec",
    "pidfile": "$run/docker.pid",
    "hosts": ["$socket"],
    "bridge": "none",
    "log-level": "warn",
    "live-restore": false
}
JSON
    # The daemon itself believes every number that is taken.
    [ -n "$(engine_pid)" ] || rm -f "$run/docker.pid"
    [ -n "$(living "$run/exec/containerd/containerd.pid" containerd.toml)" ] || rm -f "$run/exec/containerd/containerd.pid"
    setsid dockerd --config-file "$engine/daemon.json" >"$engine/log" 2>&1 9>&- </dev/null &
    wait_for 120 engine_answers || { tail -20 "$engine/log" >&2; fail "the Docker daemon did not come up"; }
    # What an earlier boot left: its nodes are dead, whatever the daemon made of them at its start.
    if [ -n "$fresh" ]; then docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null; fi
    done_in "a Docker daemon of our own runs"
}

has_sys_resource() { # bit 24 of what this process may have at most
    local bounding
    bounding=$(sed -n 's/^CapBnd:\t//p' /proc/self/status)
    (((0x$bounding >> 24) & 1))
}

# What the daemon, the kubelets and the nodes' systemd change on the machine itself, as lines that can be read back.
host_state() {
    local key
    for key in fs/inotify/max_user_instances net/ipv4/ip_forward net/bridge/bridge-nf-call-ip{,6}tables kernel/panic{,_on_oops} \
        vm/{overcommit_memory,panic_on_oom} kernel/keys/root_max{keys,bytes} fs/file-max fs/nr_open fs/protected_{fifos,regular,symlinks,hardlinks} \
        net/ipv6/conf/{all,default}/forwarding $(cd /proc/sys && echo net/ipv6/conf/*/forwarding); do
        [ -e "/proc/sys/$key" ] && echo "sysctl $key $(cat "/proc/sys/$key")"
    done
    iptables -S FORWARD 2>/dev/null | sed -n 's/^-P FORWARD /forward - /p'
    links | sed 's/^/link /; s/$/ -/'
    # What the daemon makes for itself, and /lib/modules because a node mounts it.
    for key in /lib/modules /opt/containerd /run/docker /run/containerd; do [ -e "$key" ] || echo "made $key -"; done
}

# What is named as the daemon names its bridges and the ends of its containers' cables.
links() { ip -brief link 2>/dev/null | grep -oE '^(veth[0-9a-f]{7}|br-[0-9a-f]{12})' || true; }

# Stops the daemon that `engine_start` started and takes away what it made, but its data.
engine_stop() {
    local pid kind key value rule table mount link
    if pid=$(engine_pid); then
        kill "$pid"
        for _ in $(seq 300); do [ -n "$(engine_pid)" ] || break; sleep 0.1; done
        if [ -n "$(engine_pid)" ]; then say "the Docker daemon does not end: it is killed"; kill -9 "$pid"; fi
    fi
    awk '{ print $5 }' /proc/self/mountinfo | { grep -F -e "$run/" -e "$engine/" || true; } | sort -r |
        while read -r mount; do umount --lazy "$mount" || true; done
    for table in nat filter; do
        # Rules first, then the chains that they lead to.
        while read -r rule; do
            # shellcheck disable=SC2086
            eval "iptables -w -t $table $rule" || true
        done < <(iptables -w -t "$table" -S 2>/dev/null | grep -E '^-A .*DOCKER' | sed 's/^-A/-D/')
        while read -r rule; do iptables -w -t "$table" -F "$rule" && iptables -w -t "$table" -X "$rule"; done \
            < <(iptables -w -t "$table" -S 2>/dev/null | sed -n 's/^-N \(DOCKER.*\)/\1/p')
    done
    while read -r kind key value; do
        case $kind in
            sysctl) [ ! -e "/proc/sys/$key" ] || echo "$value" >"/proc/sys/$key" || true ;;
            forward) iptables -w -P FORWARD "$value" || true ;;
            made) find "$key" -depth -type d -empty -delete 2>/dev/null || true ;;
        esac
    done < <(cat "$run/before" 2>/dev/null)
    # A daemon that was killed may have left some.
    for link in $(links); do grep -qx "link $link -" "$run/before" || ip link delete "$link" 2>/dev/null || true; done
    # The control groups of the nodes; only empty ones can be removed, so nothing that lives is touched.
    find /sys/fs/cgroup -depth -type d \( -path '*/docker' -o -path '*/docker/*' \) -exec rmdir {} + 2>/dev/null || true
    rm -rf "$run"
}
