# shellcheck shell=bash disable=SC2034,SC2154 # what bin/kafka and its other parts set and use
# For bin/kafka: nodes as processes on Java, with the jars from Maven Central.
#
#   java_start                 starts every node that does not run
#   java_stop NODE...          ends them, all at once
#   java_signal SIGNAL N       sends it to node N, and to nothing else
#   java_running N, java_paused N
#   java_class CLASS ARGUMENTS...   runs a program of Kafka's that ends

stop_seconds=30
libs=$root/.kafka/libs

java_config() { echo "$(node_dir "$1")/config/server.properties"; }

java_pid() { cat "$(node_dir "$1")/kafka.pid" 2>/dev/null; }

# The number in a pid file may belong to another process by now.
java_running() {
  local pid
  pid=$(java_pid "$1") || return 1
  [[ -n $pid ]] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -F "kafka.Kafka $(java_config "$1")" >/dev/null
}

java_gone() { ! java_running "$1"; }

java_paused() { java_running "$1" && grep -q '^State:[[:space:]]*T' "/proc/$(java_pid "$1")/status" 2>/dev/null; }

java_signal() { java_running "$2" && kill "-$1" "$(java_pid "$2")" 2>/dev/null; }

fetch_jars() {
  cmp -s dev/pom.xml "$libs/pom.xml" && return
  say "bin/kafka: fetching Apache Kafka (45 MB, once)"
  rm -rf "$libs"
  timeout 300 mvn --quiet --batch-mode -Dstyle.color=never --file dev/pom.xml dependency:copy-dependencies \
    "-DoutputDirectory=$libs" </dev/null >&2 ||
    die "bin/kafka: Maven could not fetch Kafka's jars (see above). Maven Central or a mirror set in Maven's settings.xml must be reachable; or set KAFKA_BROKERS to brokers of your own."
  cp dev/pom.xml "$libs/pom.xml"
}

# What ends soon is done before a better compiler or collector pays.
java_class() {
  timeout 60 java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$libs/*" \
    -Dlog4j2.configurationFile="$root/dev/log4j2.properties" -Dkafka.log.level=WARN "$@"
}

# Alice's SCRAM passwords cost nothing here; see set_up_alice of bin/kafka.
java_format() {
  local folder login='[name=alice,password=alice-secret]'
  folder=$(node_dir "$1")
  [[ ! -e $folder/data/meta.properties ]] || return 0
  java_class kafka.tools.StorageTool format --cluster-id off-broadway-rust-kafka --config "$(java_config "$1")" \
    --add-scram "SCRAM-SHA-256=$login" --add-scram "SCRAM-SHA-512=$login" >"$folder/format.log" 2>&1 || return
  touch "$dir"/scram-{256,512}-java
}

java_format_all() {
  local n formatting=()
  for ((n = 1; n <= nodes; n++)); do
    java_format "$n" &
    formatting+=($!)
  done
  for ((n = 1; n <= nodes; n++)); do
    wait "${formatting[n - 1]}" ||
      die "bin/kafka: the data folder could not be formatted: $(head -n 3 "$(node_dir "$n")/format.log")"
  done
}

java_start() {
  local n
  where=java
  bin/setup --java
  fetch_jars
  for ((n = 1; n <= nodes; n++)); do
    java_running "$n" || write_config "$n" 127.0.0.1 "$(node_dir "$n")/data" "$certificates"
  done
  save_state
  java_format_all
  for ((n = 1; n <= nodes; n++)); do java_run "$n"; done
}

# In a session of its own: Ctrl-C in the terminal must not end it.
java_run() {
  local folder
  ! java_running "$1" || return 0
  folder=$(node_dir "$1")
  java_session "$1" </dev/null >"$folder/kafka.log" 2>&1 &
  echo $! >"$folder/kafka.pid"
  within 5 java_running "$1" || true
}

# Three nodes start in half the time without the better compiler.
java_session() {
  local options=(-Xmx512m)
  if ((nodes > 1)); then options=(-Xmx384m -XX:TieredStopAtLevel=1); fi
  exec setsid java -Xms128m "${options[@]}" -Djava.awt.headless=true -cp "$libs/*" \
    -Dlog4j2.configurationFile="$root/dev/log4j2.properties" kafka.Kafka "$(java_config "$1")"
}

# A paused process hears nothing else before it goes on.
java_stop() {
  local n
  for n in "$@"; do
    if java_signal TERM "$n"; then java_signal CONT "$n" || true; fi
  done
  for n in "$@"; do
    if ! within "$stop_seconds" java_gone "$n"; then
      say "bin/kafka: process $(java_pid "$n") did not end within $stop_seconds s: killing it"
      java_kill "$n"
    fi
    rm -f "$(node_dir "$n")/kafka.pid"
  done
}

java_kill() {
  java_signal KILL "$1" || true
  within 5 java_gone "$1" || die "bin/kafka: process $(java_pid "$1") cannot be ended."
}
