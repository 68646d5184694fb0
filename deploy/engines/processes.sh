# shellcheck shell=bash
# Processes, ports and waiting. An engine's processes are found by where they stand: its programs, working in its folder.
# So there is no pid file that could name somebody else's process. `return` names its status everywhere: within a trap a
# bare one gives the status from before it.

say() { printf 'engines: %s\n' "$*"; }

complain() { printf 'engines: %s\n' "$*" >&2; }

# pids_of DIR ENGINE: those of its programs (`<engine>_programs`) whose working folder is DIR/ENGINE or below.
pids_of() {
    local link pid links
    mapfile -t links < <(find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$1/$2" -o -lname "$1/$2/*" -o -lname "$1/$2 (deleted)" \) 2>/dev/null)
    for link in "${links[@]}"; do
        pid=${link#/proc/} pid=${pid%/cwd}
        if [[ " $("$2_programs") " == *" $(cat "/proc/$pid/comm" 2>/dev/null) "* ]]; then
            printf '%s\n' "$pid"
        fi
    done
}

# first_of PID…: those whose parent is none of them; a signal to end goes to these, which end their children.
first_of() {
    local pid parent
    for pid in "$@"; do
        parent=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status" 2>/dev/null) || continue
        [[ " $* " == *" $parent "* ]] || printf '%s\n' "$pid"
    done
}

# is_gone DIR ENGINE: no process, and no port that still answers: a killed process's last threads hold its sockets a moment.
is_gone() {
    local port
    [[ -z "$(pids_of "$1" "$2")" ]] || return 1
    for port in $("$2_ports"); do
        ! port_answers "$port" || return 1
    done
}

# await SECONDS COMMAND…: tries it every tenth of a second until it succeeds or the time is over.
await() {
    local until_s=$((SECONDS + $1))
    shift
    until "$@"; do
        [[ $SECONDS -le $until_s ]] || return 1
        sleep 0.1
    done
}

# halt DIR ENGINE SIGNAL SECONDS: sends the signal, waits until all is gone, and kills what is still there then.
halt() {
    local pids
    mapfile -t pids < <(pids_of "$1" "$2")
    [[ ${#pids[@]} -gt 0 ]] || return 0
    if [[ $3 != KILL ]]; then
        mapfile -t pids < <(first_of "${pids[@]}")
    fi
    kill -s "$3" "${pids[@]}" 2>/dev/null || true
    await "$4" is_gone "$1" "$2" && return 0
    mapfile -t pids < <(pids_of "$1" "$2")
    [[ ${#pids[@]} -eq 0 ]] || kill -s KILL "${pids[@]}" 2>/dev/null || true
    await 10 is_gone "$1" "$2" || { complain "$2 does not end: processes $(pids_of "$1" "$2" | tr '\n' ' ')"; return 1; }
}

# launch DIR ENGINE COMMAND…: in its folder, in a session of its own, so that no terminal's Ctrl-C reaches it; log in
# DIR/ENGINE.log, its id in `launched`.
launch() {
    local folder=$1/$2 log=$1/$2.log
    shift 2
    (cd "$folder" && exec setsid "$@" >>"$log" 2>&1 </dev/null) &
    launched+=($!)
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports: prints the first of 32 neighbouring ports that are free. They lie below those that the system gives out itself
# (from 32768), so that an engine that is down finds its own again.
free_ports() {
    local first offset tries=50
    while ((tries-- > 0)); do
        first=$((20000 + (SRANDOM % 350) * 32))
        for ((offset = 0; offset < 32; offset++)); do
            ! port_answers $((first + offset)) || continue 2
        done
        printf '%d\n' "$first"
        return 0
    done
    complain "no 32 neighbouring ports are free between 20000 and 31200"
    return 1
}
