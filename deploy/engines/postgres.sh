# shellcheck shell=bash disable=SC2154 # `here`, `cache` and `base` are set by engines.sh
# PostgreSQL from Debian: one cluster, passwords by SCRAM, one port with and without TLS. The user `mcsp` may make databases
# and nothing more; the database `mcsp` is his. It refuses to run as root: there it runs as Debian's user postgres.

postgres_programs() { printf 'postgres'; }
postgres_ports() { printf '%d' $((base + 6)); }
# Smart shutdown (TERM) waits for clients, fast shutdown (INT) does not.
postgres_signal() { printf 'INT'; }
postgres_bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort --version-sort | tail -n 1)
if [[ $EUID -eq 0 ]]; then
    postgres_user=postgres
    as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/nonexistent)
else
    postgres_user=$(id -un)
    as_postgres=(env)
fi

postgres_fetch() { [[ -x $postgres_bin/postgres ]] || { complain "PostgreSQL is not in /usr/lib/postgresql"; return 1; }; }

postgres_prepare() {
    local dir=$1 folder=$1/postgres
    make_login "$dir" postgres mcsp
    chown "$postgres_user" "$folder"
    if ! "${as_postgres[@]}" test -w "$folder"; then
        complain "the user $postgres_user, as whom PostgreSQL runs, cannot enter $folder: choose a folder outside of root's home"
        return 1
    fi
    # Its name is bounded by the system (107 bytes), and readiness is asked for by it.
    [[ ${#folder} -le 80 ]] || { complain "$folder is too long a name for PostgreSQL's socket"; return 1; }
    install --mode=600 --owner="$postgres_user" "$dir"/secrets/server.{pem,key} "$dir/secrets/ca.pem" "$folder"
    if [[ ! -f $folder/data/PG_VERSION ]]; then
        (cd "$folder" && "${as_postgres[@]}" "$postgres_bin/initdb" --pgdata="$folder/data" --username="$postgres_user" --auth-local=peer \
            --auth-host=scram-sha-256 --no-sync --encoding=UTF8 --locale=C.UTF-8) >"$dir/postgres.log" 2>&1
    fi
    {
        printf '%s\n' "listen_addresses = '127.0.0.1'" "port = $((base + 6))" "unix_socket_directories = '$folder'" \
            "shared_buffers = 32MB" "max_connections = 100" "dynamic_shared_memory_type = mmap" "ssl = on" \
            "ssl_cert_file = '$folder/server.pem'" "ssl_key_file = '$folder/server.key'" "ssl_ca_file = '$folder/ca.pem'"
    } >"$folder/data/postgresql.conf"
    chown "$postgres_user" "$folder/data/postgresql.conf"
}

postgres_start() { launch "$1" postgres "${as_postgres[@]}" "$postgres_bin/postgres" -D "$1/postgres/data"; }

postgres_ready() { "$postgres_bin/pg_isready" --quiet --host="$1/postgres" --port=$((base + 6)) && postgres_make_user "$1"; }

# Makes user and database where they are missing; the password goes by the input, never by an argument.
postgres_make_user() {
    local psql=("${as_postgres[@]}" "$postgres_bin/psql" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1
        --host="$1/postgres" --port=$((base + 6)) --dbname=postgres)
    [[ "$(cd / && "${psql[@]}" <<<"SELECT 1 FROM pg_database WHERE datname = 'mcsp'" 2>/dev/null)" != 1 ]] || return 0
    (cd / && "${psql[@]}") >>"$1/postgres.log" 2>&1 <<SQL
DO \$\$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mcsp') THEN
        CREATE ROLE mcsp LOGIN CREATEDB PASSWORD '$(password_of "$1" postgres)';
    END IF;
END \$\$;
CREATE DATABASE mcsp OWNER mcsp;
SQL
}

postgres_env() {
    printf 'MCSP_POSTGRES=postgres://mcsp@127.0.0.1:%d/mcsp\n' $((base + 6))
    printf 'MCSP_POSTGRES_LOGIN=%s\n' "$1/secrets/postgres.json"
}
