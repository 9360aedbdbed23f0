# Sourced by `run`, before the story: what stories share. A story has a namespace of its own, $ns, and a directory, $work.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
stories=$here/stories
image=roadstead.test/roadstead:1
# The operator's program, as it is in the image.
program=${CARGO_TARGET_DIR:-$root/target}/$([ "${PROFILE:-dev}" = dev ] && echo debug || echo "$PROFILE")/roadstead-operator
tools="${XDG_CACHE_HOME:-$HOME/.cache}/roadstead/bin"
# Nobody owned it before: a registry refuses a bucket, or a prefix, that belongs to another.
prefix=$(date +%s)-$$
system=roadstead-system
nodes_ns=roadstead-nodes

note() { echo "    $*"; }
k() { kubectl --namespace "$ns" "$@"; }

# Installs the chart, or changes what it was installed with: FLAG…
chart() {
    "$tools/helm" upgrade --install roadstead "$root/charts/roadstead" --namespace $system --create-namespace \
        --set-string image.repository="${image%:*}" --set-string image.tag="${image##*:}" --set nodes.enabled=true --set 'nodes.hostnames={.example.test}' \
        --wait --timeout 3m "$@" >/dev/null
}

# A Registry; what is read from stdin is put under `spec`, so begin each line with two spaces. $anonymous is what everyone may do.
registry() { # NAME HOST
    k create secret generic bucket --from-literal=accessKeyId=test --from-literal=secretAccessKey=testtest \
        --dry-run=client -o yaml | k apply -f - >/dev/null
    cat >"$work/$1.yaml" <<YAML
apiVersion: roadstead.dev/v1alpha1
kind: Registry
metadata:
  name: $1
spec:
  hostname: $2
  access: { anonymous: ${anonymous:-Delete} }
  exposure: { service: { type: NodePort } }
  storage:
    s3:
      bucket: registry
      prefix: $prefix/$ns-$1
      endpoint: http://s3.s3.svc:7070
      region: us-east-1
      pathStyle: true
      credentials: { secretName: bucket }
$(cat)
YAML
    k apply -f "$work/$1.yaml" >/dev/null
}
small_index() { echo '  index: { volume: { size: 1Gi } }'; }

# Of a Registry: a field by JSONPath, and the status, reason or message of a condition.
field() { k get registry "$1" -o "jsonpath={$2}"; }
condition() { field "$1" ".status.conditions[?(@.type=='$2')].${3:-status}"; }
# Everything is as the spec says, and the status is about this spec.
at_rest() { # NAME; in one reading, since what it says changes from moment to moment
    k get registry "$1" -o json | jq -e '
        def is(kind; what): any(.status.conditions[]?; .type == kind and .status == what);
        is("Ready"; "True") and is("Progressing"; "False") and is("Degraded"; "False")
            and .status.observedGeneration == .metadata.generation' >/dev/null
}
rests() { # NAME [SECONDS]
    wait_for "${2:-180}" at_rest "$1" || { tell_about "$1"; return 1; }
}
tell_about() {
    k get registry "$1" -o json | jq -c '.status.conditions[] | [.type, .status, .reason, .message]'
    k get pods -o wide
    kubectl --namespace $system logs deployment/roadstead-operator --tail=15
}
leader() { field "$1" .status.index.leader; }

# The way from outside to a Registry: sets $proxy, a port on loopback, and $ca, a file.
outside() { # NAME
    local port addresses
    port=$(k get service "$1" -o 'jsonpath={.spec.ports[0].nodePort}')
    addresses=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}' | sed "s/\$/:$port/" | paste -sd,)
    python3 "$stories/outside.py" "$addresses" "$work/$1.port" &
    echo $! >>"$work/pids"
    wait_for 10 test -s "$work/$1.port"
    proxy=$(cat "$work/$1.port")
    ca=$work/$1.crt
    authorities "$1"
}
authorities() { k get configmap "$1-ca" -o 'jsonpath={.data.ca\.crt}' >"$work/$1.crt"; }
crane() { DOCKER_CONFIG=$work/docker HTTPS_PROXY=http://127.0.0.1:$proxy SSL_CERT_FILE=$ca "$tools/crane" "$@"; }
# The registry's own program, as a user of HOST; ROADSTEAD_PASSWORD or ROADSTEAD_TOKEN says how.
from_outside() { # HOST VERB…
    local host=$1
    shift
    HTTPS_PROXY=http://127.0.0.1:$proxy "${program%-operator}" "$@" --url "https://$host" --ca "$ca"
}

# Clients that push until `traffic_ends`, which checks all that was acknowledged, and leaves the figures in $figures.
traffic() { # HOST [FLAG…]
    host=$1
    shift
    python3 "$stories/traffic.py" push --proxy "$proxy" --host "$host" --ca "$ca" --log "$work/pushed" "$@" >"$work/traffic" 2>&1 &
    traffic=$!
    echo $traffic >>"$work/pids"
    wait_for 60 test -s "$work/pushed"
}
traffic_ends() {
    kill -TERM $traffic
    wait $traffic
    figures=$(tail -1 "$work/traffic")
    note "pushed: $figures"
    python3 "$stories/traffic.py" check --proxy "$proxy" --host "$host" --ca "$ca" --log "$work/pushed"
}
figure() { jq -r ".$1" <<<"$figures"; }
pushed() { grep -c digest "$work/pushed"; }
# More was acknowledged than the number that is given.
goes_on_from() { [ "$(pushed)" -gt $(($1 + 20)) ]; }

# An image pushed as HOST/NAME:TAG, that a Pod can run.
push_app() { # NAME HOST/…
    crane push "$("$here/probe/image")" "$2"
}
# A Deployment whose Pods run an image, with a Pod on every node that may have one.
app() { # NAME IMAGE REPLICAS
    cat <<YAML | k apply -f - >/dev/null
apiVersion: apps/v1
kind: Deployment
metadata: { name: $1 }
spec:
  replicas: $3
  selector: { matchLabels: { app: $1 } }
  template:
    metadata: { labels: { app: $1 } }
    spec:
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: RuntimeDefault } }
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: $1 } } }
      containers:
        - name: app
          image: $2
          imagePullPolicy: Always
          args: [wait]
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
YAML
}

expect() { # WHAT ACTUAL EXPECTED
    [ "$2" = "$3" ] || { echo "$1: $2, and not $3"; return 1; }
}
at_most() { # WHAT ACTUAL LIMIT
    awk "BEGIN { exit !($2 <= $3) }" || { echo "$1: $2, and at most $3 was allowed"; return 1; }
}
