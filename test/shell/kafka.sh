#!/usr/bin/env bash
# bin/kafka keeps what it says at its top, in folders of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. bin/lib/env.sh

kafka_forget
unset KAFKA_PORT KAFKA_NODES
folder=$(mktemp -d)
one=$folder/one three=$folder/three
export KAFKA_DIR=$one
trap 'KAFKA_DIR=$one bin/kafka clean; KAFKA_DIR=$three bin/kafka clean; rm -rf "$folder"' EXIT

expect() {
  local what=$1
  shift
  "$@" || die "not so: $what"
  say "ok: $what"
}

fails() { ! "$@" >/dev/null 2>&1; }
pid() { cat "$KAFKA_DIR/node-$1/kafka.pid"; }
# S sleeps, T is stopped, Z has ended.
state() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true; }
# A killed process gives its memory back before it is gone.
ended() {
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    [[ $(state "$1") =~ ^Z?$ ]] && return
    sleep 0.1
  done
  return 1
}

expect "an unknown command is refused" fails bin/kafka restart
expect "a port that is no number is refused" fails env KAFKA_PORT=ninety bin/kafka start
expect "two nodes are refused" fails env KAFKA_NODES=2 bin/kafka start
expect "status fails while it does not run" fails bin/kafka status
expect "stop succeeds while it does not run" bin/kafka stop

first=$(bin/kafka start)
brokers=$(kafka_address brokers "$first")
expect "start prints a broker on 127.0.0.1" test "${brokers%:*}" = 127.0.0.1
certificates=$(kafka_address certificates "$first")
expect "start prints where certificates are" test -r "$certificates/ca.pem"
for listener in sasl ssl sasl_ssl mutual expired elsewhere; do
  address=$(kafka_address "${listener}_brokers" "$first")
  expect "start prints an address of $listener" test "${address%:*}" = 127.0.0.1
done
made=$(<"$certificates/client.key")
expect "status prints what start printed" test "$(bin/kafka status)" = "$first"
expect "a second start changes nothing" test "$(bin/kafka start)" = "$first"
expect "KAFKA_BROKERS is asked for an answer" env KAFKA_BROKERS="localhost:1,$brokers" bin/kafka start
expect "stop leaves the brokers of KAFKA_BROKERS alone" env KAFKA_BROKERS="$brokers" bin/kafka stop
expect "it still runs" bin/kafka status
expect "brokers that do not answer are an error" fails env KAFKA_BROKERS=127.0.0.1:1 bin/kafka status
expect "one node does not become three" fails env KAFKA_NODES=3 bin/kafka start
expect "one node is not killed" fails bin/kafka kill 1

if [[ -e $KAFKA_DIR/node-1/kafka.pid ]]; then
  kill -KILL "$(pid 1)"
  expect "status fails after a crash" fails bin/kafka status
  echo $$ >"$KAFKA_DIR/node-1/kafka.pid"
  expect "stop ends no process but its own" bin/kafka stop
fi
expect "it starts again after a crash, at the same address" test "$(bin/kafka start)" = "$first"
bin/kafka stop
expect "stop stops it" fails bin/kafka status
expect "certificates stay" test "$(<"$certificates/client.key")" = "$made"
bin/kafka clean

export KAFKA_DIR=$three
first=$(KAFKA_NODES=3 bin/kafka start)
brokers=$(kafka_address brokers "$first")
expect "three nodes have three addresses" test "$(tr ',' '\n' <<<"$brokers" | sort -u | wc -l)" = 3
expect "that there are three is remembered" test "$(bin/kafka start)" = "$first"
expect "a fourth is refused" fails bin/kafka kill 4
expect "a command of one node asks for its number" fails bin/kafka kill

killed=$(pid 2)
bin/kafka kill 2
expect "a killed node is gone" ended "$killed"
expect "status fails without it" fails bin/kafka status
expect "the others live on" test "$(state "$(pid 1)")$(state "$(pid 3)")" = SS
echo $$ >"$KAFKA_DIR/node-2/kafka.pid"
expect "kill ends no process but its own" bin/kafka kill 2
expect "pause stops no process but its own" fails bin/kafka pause 2
expect "a killed node starts again" bin/kafka start 2
expect "at the same address" test "$(bin/kafka status)" = "$first"

bin/kafka pause 3
expect "a paused node is stopped by a signal" test "$(state "$(pid 3)")" = T
expect "status fails beside a paused node" fails bin/kafka status
bin/kafka resume 3
expect "a resumed node goes on" test "$(state "$(pid 3)")" != T

bin/kafka pause 1
bin/kafka stop 3
expect "start makes all of it whole" test "$(bin/kafka start)" = "$first"
expect "Kafka's tools run on it" bin/kafka tool TopicCommand --list
all="$(pid 1) $(pid 2) $(pid 3)"
bin/kafka pause 2
bin/kafka clean
for process in $all; do expect "clean ends process $process" ended "$process"; done
