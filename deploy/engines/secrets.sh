# shellcheck shell=bash
# Passwords and certificates of one run of the engines, in DIR/secrets, readable by their owner alone.

# Prints 48 hexadecimal characters, 192 bits of the system's randomness: they need no escape in any engine's configuration.
random_password() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# make_login DIR ENGINE USER: writes {"user": …, "password": …} once.
make_login() {
    local file=$1/secrets/$2.json
    [[ -f $file ]] || printf '{"user":"%s","password":"%s"}\n' "$3" "$(random_password)" >"$file"
}

# password_of DIR ENGINE
password_of() { sed -E 's/.*"password":"([^"]*)".*/\1/' "$1/secrets/$2.json"; }

# make_certificates DIR: a throw-away authority, whose key is not kept, a server's certificate for loopback and a client's.
# They hold for 30 days; a folder that lives longer gets new ones.
make_certificates() {
    local folder=$1/secrets
    # Written last, so that with it all are there. Some servers want key and certificate in one file.
    local both=$folder/server-both.pem
    if [[ -f $both ]] && openssl x509 -in "$both" -noout -checkend 86400 >/dev/null; then
        return 0
    fi
    local make=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30)
    # shellcheck disable=SC2054 # the commas belong to the extensions
    local signed=(-CA "$folder/ca.pem" -CAkey "$folder/ca.key" -addext basicConstraints=critical,CA:FALSE
        -addext keyUsage=critical,digitalSignature)
    {
        "${make[@]}" -keyout "$folder/ca.key" -out "$folder/ca.pem" -subj "/CN=MCSP engines, throw-away authority" \
            -addext keyUsage=critical,keyCertSign
        "${make[@]}" -keyout "$folder/server.key" -out "$folder/server.pem" -subj /CN=localhost "${signed[@]}" \
            -addext extendedKeyUsage=serverAuth -addext subjectAltName=DNS:localhost,IP:127.0.0.1
        "${make[@]}" -keyout "$folder/client.key" -out "$folder/client.pem" -subj /CN=mcsp "${signed[@]}" \
            -addext extendedKeyUsage=clientAuth
    } 2>"$1/openssl.log"
    rm "$folder/ca.key"
    cat "$folder/server.pem" "$folder/server.key" >"$both"
}
