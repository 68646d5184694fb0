#!/usr/bin/env bash
# Runs the suites that stand on real engines: fetches the engines, builds, starts them on an empty folder, runs, stops them.
# With all five, a film is uploaded, published and played on them as well.
# Prints the seconds of each suite. Fails by name for an engine that it could not get, for a suite that failed, and for one
# in which no test ran.
#
# test.sh [ENGINE…]        TEST_SCOPE='--package mcsp-distributed' builds that instead of the workspace
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

readonly engines=deploy/engines/engines.sh
readonly fetch_seconds_max=2400 build_seconds_max=3600 up_seconds_max=300 suite_seconds_max=900
scope=${TEST_SCOPE:---workspace}
# PostgreSQL's own user must reach its part of it: not below a home.
work=$(mktemp --directory /tmp/mcsp-engines.XXXXXX)
child='' rows=() failures=()

say() { printf 'engines: %s\n' "$*"; }

finish() {
    trap '' INT TERM HUP
    # `timeout` hands the signal on to all that it runs.
    [[ -z $child ]] || { kill -s TERM "$child" 2>/dev/null && wait "$child"; }
    "$engines" down "$work"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# bounded SECONDS COMMAND…: beside this shell, so that a signal to it is heard at once.
bounded() {
    timeout --kill-after=30 "$@" </dev/null &
    child=$!
    local status=0
    wait "$child" || status=$?
    child=''
    return "$status"
}

# Writes one line a test binary: its package's folder, its target's name, its path.
build() {
    # shellcheck disable=SC2086 # the scope is several words
    bounded "$build_seconds_max" cargo test $scope --no-run --message-format=json-render-diagnostics >"$work/build.json" || return 1
    jq --raw-output --arg root "$PWD/" 'select(.reason == "compiler-artifact" and .profile.test and .executable != null)
        | [(.manifest_path | ltrimstr($root) | rtrimstr("/Cargo.toml")), .target.name, .executable] | @tsv' \
        "$work/build.json" >"$work/tests"
}

# suite ENGINE PACKAGE TARGET [ARGUMENT…]: runs a package's test binaries, or the one named TARGET, with the arguments.
suite() {
    local engine=$1 package=$2 target=$3 started=$SECONDS status=0 passed folder name binary
    shift 3
    local log=$work/$engine.suite.log
    : >"$log"
    while IFS=$'\t' read -r folder name binary <&3; do
        [[ $folder == "$package" && ($target == all || $name == "$target") ]] || continue
        bounded "$suite_seconds_max" env --chdir="$folder" CARGO_MANIFEST_DIR="$PWD/$folder" "$binary" "$@" >>"$log" 2>&1 || status=$?
    done 3<"$work/tests"
    passed=$(grep -oE '[0-9]+ passed' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    local result=ok
    if [[ $status -ne 0 ]]; then
        result=FAILED
        [[ $status -ne 124 ]] || result="FAILED: longer than $suite_seconds_max s"
    elif [[ $passed -eq 0 ]]; then
        result='FAILED: no test ran'
    fi
    rows+=("$(printf '%-9s %-22s %6d %8d  %s' "$engine" "$package" "$passed" $((SECONDS - started)) "$result")")
    [[ -z ${MCSP_PHASES:-} ]] || printf '%s %d\n' "$engine" $((SECONDS - started)) >>"$MCSP_PHASES"
    say "${rows[-1]}"
    if [[ $result != ok ]]; then
        failures+=("$engine: $package")
        cat "$log"
        [[ ! -f $work/$engine.log ]] || { say "the end of $engine's log:"; tail -n 30 "$work/$engine.log"; }
    fi
}

# Some suites take what is in the files of secrets from the environment, which this user alone can read.
export_logins() {
    if [[ -n ${MCSP_POSTGRES_LOGIN:-} ]]; then
        MCSP_POSTGRES_PASSWORD=$(jq --raw-output .password "$MCSP_POSTGRES_LOGIN")
        export MCSP_POSTGRES_PASSWORD
    fi
    if [[ -n ${MCSP_S3_LOGIN:-} ]]; then
        MCSP_S3_ACCESS_KEY=$(jq --raw-output .user "$MCSP_S3_LOGIN")
        MCSP_S3_SECRET_KEY=$(jq --raw-output .password "$MCSP_S3_LOGIN")
        export MCSP_S3_ACCESS_KEY MCSP_S3_SECRET_KEY
    fi
}

suites_of() {
    case $1 in
        postgres)
            suite postgres control-plane/catalog all
            suite postgres control-plane/services all
            ;;
        *) suite "$1" pipeline/distributed it "$1::" ;;
    esac
}

# Upload, published, played in Chromium: `mcsp up` on all five, by TLS and with logins, on empty ones of their own.
story() {
    local started=$SECONDS result=ok log=$work/story.log target
    target=$(realpath "${CARGO_TARGET_DIR:-target}")
    "$engines" down "$work"
    if ENGINES_S3_HOOK=mcsp bounded "$up_seconds_max" "$engines" up "$work/story" --owner $$ >"$log" 2>&1 &&
        bounded "$suite_seconds_max" bash -c 'set -a; . "$1/mcsp.env"; set +a; MCSP_BIN=$2 exec node --test control-plane/web/tests/platform.test.mjs' \
            story "$work/story" "$target/debug/mcsp" >>"$log" 2>&1; then
        :
    else
        result=FAILED
        failures+=("story")
        cat "$log"
    fi
    "$engines" down "$work/story"
    local passed
    passed=$(grep -c '^ok ' "$log")
    rows+=("$(printf '%-9s %-22s %6d %8d  %s' all control-plane/web "$passed" $((SECONDS - started)) "$result")")
    [[ -z ${MCSP_PHASES:-} ]] || printf 'story %d\n' $((SECONDS - started)) >>"$MCSP_PHASES"
}

wanted=("$@")
[[ $# -gt 0 ]] || wanted=(kafka redis postgres s3 temporal)

started=$SECONDS
bounded "$fetch_seconds_max" "$engines" fetch "${wanted[@]}" || say "not all engines could be fetched"
fetched=$((SECONDS - started)) started=$SECONDS
build || { say "the tests do not build"; exit 1; }
built=$((SECONDS - started)) started=$SECONDS
bounded "$up_seconds_max" "$engines" up "$work" --owner $$ "${wanted[@]}"
say "fetched in $fetched s, built in $built s, up in $((SECONDS - started)) s"

set -a
# shellcheck disable=SC1091 # it is written by engines.sh
[[ ! -f $work/env ]] || . "$work/env"
set +a
MCSP_ENGINES_MUST=$(IFS=,; printf '%s' "${wanted[*]}")
export MCSP_ENGINES_MUST
export_logins
for engine in "${wanted[@]}"; do
    address=MCSP_${engine^^}
    if [[ -z ${!address:-} ]]; then
        failures+=("$engine: the engine could not be had")
        rows+=("$(printf '%-9s %-22s %6d %8d  %s' "$engine" - 0 0 'FAILED: the engine could not be had')")
        continue
    fi
    suites_of "$engine"
done
if [[ ${#wanted[@]} -eq 5 ]]; then
    story
fi

printf '\n%-9s %-22s %6s %8s  %s\n' engine suite tests seconds result
printf '%s\n' "${rows[@]}"
if [[ ${#failures[@]} -gt 0 ]]; then
    printf 'failed: %s\n' "${failures[@]}"
    exit 1
fi
