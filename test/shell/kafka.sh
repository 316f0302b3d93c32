#!/usr/bin/env bash
# bin/kafka keeps what it says at its top, in a folder of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. bin/lib/env.sh

unset KAFKA_BROKERS KAFKA_SASL_BROKERS KAFKA_PORT
KAFKA_DIR=$(mktemp -d)
export KAFKA_DIR
# Jars fetched before serve here too.
[[ ! -d .kafka/libs ]] || ln -s "$PWD/.kafka/libs" "$KAFKA_DIR/libs"
trap 'bin/kafka clean; rm -rf "$KAFKA_DIR"' EXIT

expect() {
  local what=$1
  shift
  "$@" || die "not so: $what"
  say "ok: $what"
}

fails() { ! "$@" 2>/dev/null; }

expect "an unknown command is refused" fails bin/kafka restart
expect "a port that is no number is refused" fails env KAFKA_PORT=ninety bin/kafka start
expect "status fails while it does not run" fails bin/kafka status
expect "stop succeeds while it does not run" bin/kafka stop

first=$(bin/kafka start)
brokers=$(kafka_address brokers "$first")
expect "start prints a broker on 127.0.0.1" test "${brokers%:*}" = 127.0.0.1
expect "status prints what start printed" test "$(bin/kafka status)" = "$first"
expect "a second start changes nothing" test "$(bin/kafka start)" = "$first"
expect "KAFKA_BROKERS is asked for an answer" env KAFKA_BROKERS="localhost:1,$brokers" bin/kafka start
expect "stop leaves the brokers of KAFKA_BROKERS alone" env KAFKA_BROKERS="$brokers" bin/kafka stop
expect "it still runs" bin/kafka status
expect "brokers that do not answer are an error" fails env KAFKA_BROKERS=127.0.0.1:1 bin/kafka status

if [[ -e $KAFKA_DIR/kafka.pid ]]; then
  kill -KILL "$(<"$KAFKA_DIR/kafka.pid")"
  expect "status fails after a crash" fails bin/kafka status
  echo $$ >"$KAFKA_DIR/kafka.pid"
  expect "stop ends no process but its own" bin/kafka stop
fi
expect "it starts again after a crash, at the same address" test "$(bin/kafka start)" = "$first"
bin/kafka stop
expect "stop stops it" fails bin/kafka status
