#!/usr/bin/env bash
# Holds a running platform to its OpenAPI document with schemathesis, which we did not write: every phase, every check, two
# creators who must not see each other's things.
#
# usage: deploy/check-api.sh [SECONDS]      how long fuzzing and stateful testing may go on (default 300)
# MCSP_BIN names the program (target/debug/mcsp). Its report is schemathesis's own.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-300}
program=$(realpath "${MCSP_BIN:-target/debug/mcsp}")
version=4.32.5
tools=${XDG_CACHE_HOME:-$HOME/.cache}/mcsp/schemathesis-$version
password='correct horse battery'
port=${PORT:-18090}
origin=http://127.0.0.1:$port

folder=$(mktemp -d)
node=
stop() {
    if [ -n "$node" ]; then kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap stop EXIT

if [ ! -x "$tools/bin/st" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet "schemathesis==$version"
fi

# Rates that no tester reaches: what they refuse is tested elsewhere.
MCSP__HTTP__LISTEN=127.0.0.1:$port MCSP__OBJECTS__ENDPOINT__LISTEN=127.0.0.1:0 MCSP__TELEMETRY__LOG=warn \
    MCSP__HTTP__ANONYMOUS_PER_MIN=10000000 MCSP__HTTP__SIGNED_IN_PER_MIN=10000000 \
    "$program" up --data "$folder/data" >"$folder/out" 2>&1 &
node=$!
for _ in $(seq 150); do
    curl --silent --fail --output /dev/null "$origin/readyz" && break
    sleep 0.2
done

users=
for name in ada grace; do
    curl --silent --fail --output /dev/null --json \
        "{\"email\":\"$name@example.org\",\"password\":\"$password\",\"display_name\":\"$name\",\"role\":\"creator\"}" \
        "$origin/api/v1/auth/register"
    users+="${users:+,}{\"name\":\"$name\",\"loginEndpointAuth\":{\"endpoint\":\"/api/v1/auth/login\",\"verb\":\"POST\",
        \"contentType\":\"application/json\",
        \"payloadRaw\":\"{\\\"email\\\":\\\"$name@example.org\\\",\\\"password\\\":\\\"$password\\\"}\",
        \"token\":{\"extractFrom\":\"body\",\"extractSelector\":\"/access_token\",\"sendIn\":\"header\",
                   \"sendName\":\"Authorization\",\"sendTemplate\":\"Bearer {token}\"}}}"
done
printf '{"auth":[%s]}' "$users" >"$folder/users.json"
cat >"$folder/schemathesis.toml" <<END
[auth.wfc]
path = "$folder/users.json"
peers = ["ada", "grace"]
END

"$program" openapi >"$folder/openapi.json"
cd "$folder"
"$tools/bin/st" --config-file "$folder/schemathesis.toml" run "$folder/openapi.json" --url "$origin" \
    --phases examples,coverage,fuzzing,stateful --checks all --max-time "$seconds" --continue-on-failure \
    --generation-database none --no-color
if ! kill -0 "$node" 2>/dev/null; then
    echo "the platform ended:" >&2
    tail -n 20 "$folder/out" >&2
    exit 1
fi
