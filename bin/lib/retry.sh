# shellcheck shell=bash
# A few tests that failed run once more, alone; a machine that is not ours alone fails one of a thousand now and then.
#
#   retried_mix_test ARGUMENTS...    as mix test
#   retried_cargo_test ARGUMENTS...  as cargo test
#
# Both write the tests that passed only then to the file $unsteady, a line each. More failures than RETRY_LIMIT (3), and
# a run that ended in another way, stay as they are; but the one crash of librdkafka's that is known, see "What is not in
# our hands" in guides/guarantees.md, where the kernel tells of it, is told there too and has all run again.

unsteady=${unsteady:-/dev/null}

# ran LOG COMMAND...
ran() {
  local log=$1
  shift
  "$@" 2>&1 | tee "$log"
}

# once_more NAMES COMMAND...
once_more() {
  local names=$1 count
  shift
  count=$(grep -c . <<<"$names" || true)
  ((count > 0 && count <= ${RETRY_LIMIT:-3})) || return 1
  say $'\n'"-- once more, alone:" "$names"
  "$@" || return
  echo "$names" >>"$unsteady"
}

# In rd_kafka_cgrp_handle_LeaveGroup: what a broker that is no broker any more has at rkb_rk.
known_crashes() { dmesg 2>/dev/null | grep -c 'rdk:main.* segfault at b48 ' || true; }

retried_mix_test() {
  local log status=0 names crashes
  log=$(mktemp)
  crashes=$(known_crashes)
  ran "$log" mix test "$@" || status=$?
  if ((status == 139 && $(known_crashes) > crashes)); then
    say $'\n'"-- once more, all of it: librdkafka crashed in a LeaveGroup"
    echo "all tests, as librdkafka crashed in a LeaveGroup" >>"$unsteady"
    status=0
    ran "$log" mix test "$@" || status=$?
  fi
  names=$(sed -nE 's/^ +[0-9]+\) ((test|property|doctest) .*)/\1/p' "$log")
  # Otherwise more went wrong than these tests.
  if ((status != 0)) && grep -qE "^([0-9]+ [a-z]+, )*$(grep -c . <<<"$names") failures?(, [0-9]+ (excluded|skipped))*$" "$log"; then
    status=0
    once_more "$names" mix test --failed "$@" || status=$?
  fi
  rm -f "$log"
  return "$status"
}

retried_cargo_test() {
  local log status=0 names failed
  log=$(mktemp)
  ran "$log" cargo test --no-fail-fast "$@" || status=$?
  names=$(sed -nE 's/^---- ([A-Za-z0-9_:]+) stdout ----$/\1/p' "$log")
  failed=$(sed -nE 's/^test result: FAILED\. [0-9]+ passed; ([0-9]+) failed;.*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
  if ((status != 0)) && [[ $failed == "$(grep -c . <<<"$names")" ]] && ! grep -q 'signal: ' "$log"; then
    status=0
    # shellcheck disable=SC2086
    once_more "$names" cargo test "$@" -- --exact $names || status=$?
  fi
  rm -f "$log"
  return "$status"
}
