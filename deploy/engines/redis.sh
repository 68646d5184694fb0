# shellcheck shell=bash disable=SC2154 # `here`, `cache` and `base` are set by engines.sh
# Redis from Debian: every write in its append-only file, a plain port and one with TLS, a password on both.

redis_programs() { printf 'redis-server'; }
redis_ports() { printf '%d %d' $((base + 4)) $((base + 5)); }
redis_signal() { printf 'TERM'; }

redis_fetch() { command -v redis-server redis-cli >/dev/null || { complain "redis-server is not there"; return 1; }; }

redis_prepare() {
    local dir=$1 folder=$1/redis hash user
    make_login "$dir" redis mcsp
    hash=$(password_of "$dir" redis | tr -d '\n' | sha256sum | cut -d ' ' -f 1)
    {
        printf '%s\n' "bind 127.0.0.1" "port $((base + 4))" "tls-port $((base + 5))" "dir $folder" 'save ""' \
            "appendonly yes" "appendfsync everysec" "tls-cert-file $dir/secrets/server.pem" \
            "tls-key-file $dir/secrets/server.key" "tls-ca-cert-file $dir/secrets/ca.pem" "tls-auth-clients optional"
        # The default user as well, for clients that send a password alone.
        for user in mcsp default; do
            printf 'user %s on #%s ~* &* +@all\n' "$user" "$hash"
        done
    } >"$folder/redis.conf"
}

redis_start() { launch "$1" redis redis-server redis.conf; }

redis_ready() {
    [[ "$(REDISCLI_AUTH=$(password_of "$1" redis) redis-cli -p $((base + 4)) --user mcsp ping 2>/dev/null)" == PONG ]]
}

redis_env() {
    printf 'MCSP_REDIS=redis://127.0.0.1:%d\nMCSP_REDIS_TLS=rediss://127.0.0.1:%d\n' $((base + 4)) $((base + 5))
    printf 'MCSP_REDIS_LOGIN=%s\n' "$1/secrets/redis.json"
}
