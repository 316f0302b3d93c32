# shellcheck shell=bash
# Runs named parts one after another, whatever becomes of each, and sums them up in a line a part.
#
#   record NAME STATUS SECONDS   notes a part that ran
#   summary                      prints the lines; false when a part failed, or when there was none

parts=()
failed_parts=0

record() {
  local word=PASS
  if (($2 != 0)); then
    word=FAIL
    failed_parts=$((failed_parts + 1))
  fi
  parts+=("$(printf '%s %5d s  %s' "$word" "$3" "$1")")
}

summary() {
  printf '\n'
  printf '%s\n' "${parts[@]}"
  ((${#parts[@]} > 0 && failed_parts == 0))
}
