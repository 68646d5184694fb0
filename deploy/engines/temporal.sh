# shellcheck shell=bash disable=SC2154 # `here`, `cache` and `base` are set by engines.sh
# Temporal's development server, built by Go. It knows neither TLS nor logins; beside its plain port stands HAProxy with TLS,
# which lets in whoever shows the API key (`authorization: Bearer …`) or a certificate of our authority, as Temporal's own
# cloud does.

temporal_programs() { printf 'temporal haproxy'; }
temporal_ports() { printf '%d %d' $((base + 20)) $((base + 21)); }
temporal_signal() { printf 'TERM'; }
# The newest that `go install` takes: later ones carry a replace directive.
temporal_version=1.5.1
temporal_home=$cache/temporal-$temporal_version

temporal_fetch() {
    command -v haproxy >/dev/null || { complain "haproxy is not there"; return 1; }
    [[ ! -x $temporal_home/temporal ]] || return 0
    local go
    go=$(command -v go || printf '/usr/local/go/bin/go')
    # From 1.21 on Go fetches the toolchain that a module asks for (1.25); Debian 12 has 1.19.
    if [[ "$("$go" version 2>/dev/null)" != *" go1."* || "$("$go" env GOVERSION | cut -d . -f 2)" -lt 21 ]]; then
        complain "Temporal's server is built by Go 1.21 or newer (Debian 12 has 1.19): install it from https://go.dev/dl into /usr/local/go"
        return 1
    fi
    say "builds Temporal's server, which takes minutes, once"
    local work=$temporal_home.new status=0
    mkdir -p "$work"
    # Its own caches, thrown away afterwards: they take 4 GB.
    GOBIN=$work GOMODCACHE=$work/modules GOCACHE=$work/build GOFLAGS='-trimpath -buildvcs=false -modcacherw' CGO_ENABLED=0 \
        "$go" install -ldflags '-s -w' "github.com/temporalio/cli/cmd/temporal@v$temporal_version" </dev/null || status=$?
    [[ $status -eq 0 ]] || { complain "Go could not build Temporal's server"; return 1; }
    rm -rf "$work/modules" "$work/build" "$temporal_home"
    mv "$work" "$temporal_home"
}

temporal_prepare() {
    local dir=$1 folder=$1/temporal
    make_login "$dir" temporal mcsp
    printf 'Bearer %s\n' "$(password_of "$dir" temporal)" >"$folder/keys"
    cat >"$folder/haproxy.cfg" <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend tls
    bind 127.0.0.1:$((base + 21)) ssl crt $dir/secrets/server-both.pem alpn h2 ca-file $dir/secrets/ca.pem verify optional
    acl has_key req.hdr(authorization) -m str -f $folder/keys
    http-request deny deny_status 401 unless { ssl_c_used } or has_key
    default_backend plain
backend plain
    server temporal 127.0.0.1:$((base + 20)) proto h2
CFG
}

temporal_start() {
    launch "$1" temporal env HOME="$1/temporal" "$temporal_home/temporal" server start-dev --headless --ip 127.0.0.1 --port $((base + 20)) \
        --db-filename "$1/temporal/temporal.db" --namespace mcsp --log-level error --dynamic-config-value system.enableNexus=false
    launch "$1" temporal haproxy -db -f haproxy.cfg
}

temporal_ready() {
    # An id is taken once for as long as the namespace remembers it: 30 days, where a new one remembers one.
    port_answers $((base + 20)) && port_answers $((base + 21)) &&
        HOME=$1/temporal "$temporal_home/temporal" operator namespace update --namespace mcsp --retention 720h \
            --address "127.0.0.1:$((base + 20))" >/dev/null 2>&1
}

temporal_env() {
    printf 'MCSP_TEMPORAL=127.0.0.1:%d\nMCSP_TEMPORAL_TLS=127.0.0.1:%d\n' $((base + 20)) $((base + 21))
    printf 'MCSP_TEMPORAL_LOGIN=%s\nMCSP_TEMPORAL_NAMESPACE=mcsp\n' "$1/secrets/temporal.json"
    # For tests that kill a server of their own.
    printf 'MCSP_TEMPORAL_SERVER=%s\n' "$temporal_home/temporal"
}
