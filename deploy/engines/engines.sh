#!/usr/bin/env bash
# The real engines on loopback: fetches, starts, stops, kills and restarts them. All that a run keeps lies in one folder.
#
# engines.sh fetch [ENGINE…]                 gets what is missing: Debian packages, jars, wheels, binaries (kept in the cache)
# engines.sh up DIR [--owner PID] [ENGINE…]  starts them side by side and writes DIR/env; with an owner they end when it ends
# engines.sh down DIR                        stops all; their data stays
# engines.sh kill DIR ENGINE                 kills it, as a crash does
# engines.sh restart DIR ENGINE              stops it if it runs, starts it on the same data and ports
#
# ENGINE is kafka, redis, postgres, s3 or temporal; none named means all. `up` and `fetch` say by name which they could not
# get, go on with the others, and fail. In DIR: env (addresses and file names, for `set -a; . DIR/env`), mcsp.env (what leads `mcsp` there), secrets/ (mode 700),
# <engine>/ and <engine>.log. The cache is ${XDG_CACHE_HOME:-~/.cache}/mcsp/engines.
set -euo pipefail
umask 077
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mcsp/engines
readonly here cache all_engines=(kafka redis postgres s3 temporal)
readonly ready_seconds_max=120 stop_seconds_max=10 fetch_seconds_max=1800

# The first of the run's ports; each engine adds to it. What was started: jobs side by side, and programs that stay.
base=0 jobs=() launched=() undo=:

# shellcheck source=deploy/engines/processes.sh
. "$here/processes.sh"
# shellcheck source=deploy/engines/secrets.sh
. "$here/secrets.sh"
# shellcheck source=deploy/engines/kafka.sh
. "$here/kafka.sh"
# shellcheck source=deploy/engines/redis.sh
. "$here/redis.sh"
# shellcheck source=deploy/engines/postgres.sh
. "$here/postgres.sh"
# shellcheck source=deploy/engines/s3.sh
. "$here/s3.sh"
# shellcheck source=deploy/engines/temporal.sh
. "$here/temporal.sh"

usage() {
    sed -n '4,8s/^# //p' "$0" >&2
    exit 2
}

check_engines() {
    local engine
    for engine in "$@"; do
        [[ " ${all_engines[*]} " == *" $engine "* ]] || { complain "$engine is no engine: ${all_engines[*]}"; exit 2; }
    done
}

# for_each FUNCTION ENGINE…: runs it for all side by side, says which failed, and puts their names into `failed`.
for_each() {
    local function=$1 index
    shift
    jobs=() failed=()
    # Each in a process group of its own, so that an interrupt can end it with all that it has started.
    set -m
    for engine in "$@"; do
        "$function" "$engine" &
        jobs+=($!)
    done
    set +m
    for index in "${!jobs[@]}"; do
        wait "${jobs[index]}" || failed+=("${@:index+1:1}")
    done
    jobs=()
}

interrupted() {
    trap '' INT TERM HUP
    local job
    for job in "${jobs[@]}"; do
        kill -s TERM -- "-$job" 2>/dev/null || true
    done
    wait
    $undo
    exit 130
}

fetch() {
    check_engines "$@"
    [[ $# -gt 0 ]] || set -- "${all_engines[@]}"
    mkdir -p "$cache"
    # All packages at once; where that fails, one by one, so that one that is missing costs its own engine alone.
    if ! "$here/../setup-debian.sh" "${@/#/--engine=}"; then
        for engine in "$@"; do
            "$here/../setup-debian.sh" "--engine=$engine" >/dev/null || complain "$engine: its Debian packages could not be installed"
        done
    fi
    for_each fetch_one "$@"
    [[ ${#failed[@]} -eq 0 ]] || { complain "could not be fetched: ${failed[*]}"; return 1; }
}

# Two runs at once fetch once: the second waits for the first.
fetch_one() {
    local started=$SECONDS
    exec 9>"$cache/$1.lock"
    flock --timeout "$fetch_seconds_max" 9 || { complain "$1: somebody else has been fetching it for $fetch_seconds_max s"; exit 1; }
    "$1_fetch"
    [[ $SECONDS -le $((started + 1)) ]] || say "$1 is fetched, $((SECONDS - started)) s"
}

# open_folder DIR: makes it what it must be and reads its ports.
open_folder() {
    # Others may pass through, so that PostgreSQL's own user reaches its folder, but read nothing.
    mkdir -p "$1/secrets"
    chmod 711 "$1"
    dir=$(realpath "$1")
    [[ $dir =~ ^[A-Za-z0-9_./-]+$ ]] || { complain "$dir: the folder's name must be of letters, digits, _ . / and -"; exit 2; }
    if [[ -s $dir/ports ]]; then
        base=$(<"$dir/ports")
    else
        base=$(free_ports)
        printf '%d\n' "$base" >"$dir/ports"
    fi
}

up() {
    local owner='' engine
    [[ $# -ge 1 ]] || usage
    local folder=$1
    shift
    if [[ ${1:-} == --owner ]]; then
        owner=$2
        shift 2
    fi
    check_engines "$@"
    [[ $# -gt 0 ]] || set -- "${all_engines[@]}"
    open_folder "$folder"
    undo="down $dir"
    make_certificates "$dir"
    [[ -z $owner ]] || watch_owner "$owner"
    for_each start_one "$@"
    {
        printf 'MCSP_ENGINES=%s\nMCSP_CA=%s\n' "$dir" "$dir/secrets/ca.pem"
        printf 'MCSP_CLIENT_CERTIFICATE=%s\nMCSP_CLIENT_KEY=%s\n' "$dir/secrets/client.pem" "$dir/secrets/client.key"
        for engine in "$@"; do
            [[ " ${failed[*]} " == *" $engine "* ]] || "${engine}_env" "$dir"
        done
    } >"$dir/env"
    write_settings >"$dir/mcsp.env"
    [[ ${#failed[@]} -eq 0 ]] || { complain "not up: ${failed[*]}"; return 1; }
}

# Prints what leads `mcsp` to the engines that are up, by TLS and with their logins. Log and ledger change together.
write_settings() {
    (
        # shellcheck disable=SC1091 # it was just written
        . "$dir/env"
        printf 'MCSP__TLS__AUTHORITY=%s\n' "$MCSP_CA"
        if [[ -n ${MCSP_KAFKA_TLS:-} && -n ${MCSP_REDIS_TLS:-} ]]; then
            printf 'MCSP__LOG__URL=kafka://%s\nMCSP__LOG__LOGIN=%s\nMCSP__LOG__TLS=on\n' "$MCSP_KAFKA_TLS" "$MCSP_KAFKA_LOGIN"
            printf 'MCSP__LEDGER__URL=redis://%s\nMCSP__LEDGER__LOGIN=%s\nMCSP__LEDGER__TLS=on\n' "${MCSP_REDIS_TLS#*//}" "$MCSP_REDIS_LOGIN"
            # They are new, or thrown away: nobody else has worked on them.
            printf 'MCSP__LEDGER__ON_EMPTY=begin\n'
        fi
        if [[ -n ${MCSP_S3_TLS:-} ]]; then
            local secure=${MCSP_S3_TLS#*//} open=${MCSP_S3%/*}
            printf 'MCSP__OBJECTS__URL=s3://%s\nMCSP__OBJECTS__LOGIN=%s\nMCSP__OBJECTS__TLS=on\n' "${secure%%/*}" "$MCSP_S3_LOGIN"
            # A browser does not believe an authority of yesterday.
            printf 'MCSP__OBJECTS__PUBLIC_URL=%s\nMCSP__OBJECTS__ENDPOINT__LISTEN=127.0.0.1:%d\n' "$open" $((base + 30))
        fi
        if [[ -n ${MCSP_POSTGRES:-} ]]; then
            printf 'MCSP__CATALOG__URL=%s\nMCSP__CATALOG__LOGIN=%s\nMCSP__CATALOG__TLS=on\n' "$MCSP_POSTGRES" "$MCSP_POSTGRES_LOGIN"
        fi
        if [[ -n ${MCSP_TEMPORAL_TLS:-} ]]; then
            printf 'MCSP__SAGAS__URL=temporal://%s/%s\n' "$MCSP_TEMPORAL_TLS" "$MCSP_TEMPORAL_NAMESPACE"
            printf 'MCSP__SAGAS__LOGIN=%s\nMCSP__SAGAS__TLS=on\n' "$MCSP_TEMPORAL_LOGIN"
        fi
    )
}

# start_one ENGINE: prepares and starts it where it does not run, and waits until it serves.
start_one() {
    local engine=$1 started=${EPOCHREALTIME/./}
    mkdir -p "$dir/$engine"
    if ! is_gone "$dir" "$engine" && "${engine}_ready" "$dir"; then
        say "$engine runs already"
        return 0
    fi
    for port in $("${engine}_ports"); do
        ! port_answers "$port" || { complain "$engine: port $port is taken by another process"; return 1; }
    done
    # In a subshell, which gives the fetch's lock back.
    (fetch_one "$engine")
    "${engine}_prepare" "$dir"
    launched=()
    "${engine}_start" "$dir"
    if ! await "$ready_seconds_max" serves_or_died "$engine" || ! "${engine}_ready" "$dir"; then
        complain "$engine does not serve; the end of $dir/$engine.log:"
        tail -n 20 "$dir/$engine.log" >&2 || true
        halt "$dir" "$engine" KILL "$stop_seconds_max"
        return 1
    fi
    say "$engine serves after $(((${EPOCHREALTIME/./} - started) / 1000)) ms"
}

# Also succeeds when one of its programs has ended: there is nothing to wait for then.
serves_or_died() {
    local pid
    ! "${1}_ready" "$dir" || return 0
    for pid in "${launched[@]}"; do
        kill -0 "$pid" 2>/dev/null || return 0
    done
    return 1
}

down() {
    dir=$(realpath "$1")
    base=$(cat "$dir/ports" 2>/dev/null || printf 0)
    for_each stop_one "${all_engines[@]}"
    stop_watch
    [[ ${#failed[@]} -eq 0 ]]
}

stop_one() {
    local files
    halt "$dir" "$1" "$("$1_signal")" "$stop_seconds_max"
    if [[ $(type -t "$1_leftovers") == function ]]; then
        mapfile -t files < <("$1_leftovers")
        rm -f "${files[@]}"
    fi
}

# watch_owner PID: leaves a process behind that stops all when the owner is gone, however it went.
watch_programs() { printf 'bash tail'; }
watch_ports() { :; }
watch_owner() {
    mkdir -p "$dir/watch"
    launch "$dir" watch bash "$here/engines.sh" watch "$dir" "$1"
}
stop_watch() { halt "$dir" watch KILL "$stop_seconds_max"; }

watch() {
    tail --pid="$2" --follow /dev/null || true
    cd /
    down "$1"
}

engine_of_run() {
    [[ $# -eq 2 ]] || usage
    check_engines "$2"
    [[ -s $1/ports ]] || { complain "$1 is no folder of engines: it has no file 'ports'"; exit 2; }
    open_folder "$1"
}

[[ $# -ge 1 ]] || usage
command=$1
shift
trap interrupted INT TERM HUP
case $command in
    fetch) fetch "$@" ;;
    up) up "$@" ;;
    down) [[ $# -eq 1 ]] || usage; down "$1" ;;
    kill) engine_of_run "$@"; halt "$dir" "$2" KILL "$stop_seconds_max" ;;
    restart) engine_of_run "$@"; stop_one "$2"; start_one "$2" ;;
    watch) watch "$@" ;;
    *) usage ;;
esac
