#!/usr/bin/env bash
# The platform from end to end on one machine: starts it on an empty folder, makes an account, uploads a film by the API,
# waits until it is published, tells its timeline and where to watch it. WATCH=1 leaves it running until Ctrl-C.
#
# deploy/demo.sh MCSP FILM FOLDER ADDRESS
set -euo pipefail

mcsp=$1 film=$2 folder=$3 address=$4
readonly email=creator@example.org
export MCSP_PASSWORD=${MCSP_PASSWORD:-mcsp-demo-2026}
export MCSP__HTTP__LISTEN=$address

rm -rf "$folder"
mkdir -p "$folder"
export XDG_CONFIG_HOME=$folder/client

"$mcsp" up --data "$folder/data" >"$folder/up.out" 2>"$folder/up.log" &
node=$!
stop() { kill -TERM "$node" 2>/dev/null && wait "$node" || true; }
trap stop EXIT

for _ in $(seq 150); do
    grep -q '^health' "$folder/up.out" && break
    kill -0 "$node" 2>/dev/null || { tail -5 "$folder/up.log"; exit 1; }
    sleep 0.2
done
cat "$folder/up.out"

"$mcsp" login --server "http://$address" --email "$email" --register
"$mcsp" upload "$film" --visibility public --wait | tee "$folder/upload.txt"
content=$(cut -d' ' -f1 "$folder/upload.txt" | head -1)
printf '\nIts way, step by step:\n\n'
"$mcsp" content show "$content"
"$mcsp" content show "$content" --json >"$folder/timeline.json"

printf '\nSign in at http://%s/ as %s with the password %s, then open\n\n    http://%s/watch?content=%s\n\n' \
    "$address" "$email" "$MCSP_PASSWORD" "$address" "$content"
if [[ ${WATCH:-0} == 1 ]]; then
    printf 'The platform runs until Ctrl-C.\n'
    wait "$node"
else
    printf 'To start the platform again:\n\n    MCSP__HTTP__LISTEN=%s %s up --data %s/data\n' "$address" "$mcsp" "$folder"
fi
