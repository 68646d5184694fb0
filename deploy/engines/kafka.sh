# shellcheck shell=bash disable=SC2154 # `here`, `cache` and `base` are set by engines.sh
# Apache Kafka: jars from Maven Central, one KRaft node. A plain listener, one with SASL, one with SASL under TLS.

kafka_programs() { printf 'java'; }
kafka_ports() { printf '%d %d %d %d' $((base + 0)) $((base + 1)) $((base + 2)) $((base + 3)); }
kafka_signal() { printf 'TERM'; }
kafka_jars=$cache/kafka-$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<.*/\1/p}' "$here/kafka/pom.xml")

kafka_fetch() {
    # The pom is copied last: with it the folder is whole, and a changed pom fetches anew.
    cmp --quiet "$here/kafka/pom.xml" "$kafka_jars/pom.xml" && return 0
    rm -rf "$kafka_jars"
    mkdir -p "$kafka_jars"
    mvn --batch-mode --quiet --file "$here/kafka/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$kafka_jars" </dev/null || { complain "Maven could not fetch Kafka's jars"; return 1; }
    cp "$here/kafka/pom.xml" "$kafka_jars/"
}

kafka_prepare() {
    local dir=$1 folder=$1/kafka id mechanism
    make_login "$dir" kafka mcsp
    sed "s#@DIR@#$folder#g; s#@SECRETS@#$dir/secrets#g; s#@PASSWORD@#$(password_of "$dir" kafka)#g; s#@PLAIN@#$((base + 0))#g
        s#@SASL@#$((base + 1))#g; s#@TLS@#$((base + 2))#g; s#@CONTROLLER@#$((base + 3))#g" \
        "$here/kafka/server.properties" >"$folder/server.properties"
    [[ ! -f $folder/data/meta.properties ]] || return 0
    # Any 16 bytes in URL-safe base64 are a cluster's id. The password travels in a file: arguments can be read by all.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c 1-22)
    {
        printf '"%s"\n' "${kafka_jvm[@]}" kafka.tools.StorageTool format --standalone -t "$id" -c "$folder/server.properties"
        for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
            printf -- '--add-scram\n"%s=[name=mcsp,password=%s]"\n' "$mechanism" "$(password_of "$dir" kafka)"
        done
    } >"$folder/format.args"
    # It prints what it has stored, the verifiers of the password too: that is not for a log.
    java "@$folder/format.args" >/dev/null 2>"$dir/kafka.log"
    rm "$folder/format.args"
}

kafka_jvm=(-cp "$kafka_jars/*" -Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true)

kafka_start() { launch "$1" kafka java "${kafka_jvm[@]}" kafka.Kafka server.properties; }

# The broker opens its listeners last, when it serves.
kafka_ready() { port_answers $((base + 0)) && port_answers $((base + 2)); }

kafka_env() {
    printf 'MCSP_KAFKA=127.0.0.1:%d\nMCSP_KAFKA_SASL=127.0.0.1:%d\n' $((base + 0)) $((base + 1))
    printf 'MCSP_KAFKA_TLS=127.0.0.1:%d\nMCSP_KAFKA_LOGIN=%s\n' $((base + 2)) "$1/secrets/kafka.json"
}
