#!/usr/bin/env bash
# The platform on all five engines, for whoever works on it: starts them with their data in FOLDER/engines and runs `mcsp up` on
# them, by TLS and with logins, until Ctrl-C. What was kept is there again the next time.
#
# up.sh MCSP FOLDER
set -euo pipefail
engines=$(dirname "$0")/engines.sh
mcsp=$1
mkdir -p "$2/engines"
data=$(realpath "$2")
# PostgreSQL's own user must reach its part of it.
chmod 711 "$data"
node=''

finish() {
    trap '' INT TERM HUP
    if [[ -n $node ]] && kill -s TERM "$node" 2>/dev/null; then
        wait "$node" || true
    fi
    "$engines" down "$data/engines"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

export ENGINES_S3_HOOK=mcsp
"$engines" fetch
"$engines" up "$data/engines" --owner $$
set -a
# shellcheck disable=SC1091 # it is written by engines.sh
. "$data/engines/mcsp.env"
set +a
"$mcsp" up --data "$data" &
node=$!
wait "$node"
