#!/usr/bin/env bash
# Runs one phase of `make` and says how many seconds it took: `deploy/phase.sh NAME COMMAND…`. Where MCSP_PHASES names a
# file, a line `NAME SECONDS` is added to it, from which `.ci/run` makes its table.
set -uo pipefail

name=$1
shift
printf '\n== %s: %s\n' "$name" "$*"
started=$SECONDS
"$@"
status=$?
seconds=$((SECONDS - started))
printf '== %s: %d s\n' "$name" "$seconds"
if [[ -n "${MCSP_PHASES:-}" ]]; then
    printf '%s %d\n' "$name" "$seconds" >>"$MCSP_PHASES"
fi
exit "$status"
