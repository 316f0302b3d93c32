# shellcheck shell=bash
# Sourced from the project's root by the scripts in bin/ and by .ci/run.
#
#   choose_dependencies      Hex where there is one, else the stand-ins in offline/, loudly (MIX_EXS=offline/mix.exs);
#                            a MIX_EXS that is set already is kept
#   using_stand_ins          true when the stand-ins were chosen
#   docker_engine            true when a Docker engine with Compose answers
#   kafka_address KEY TEXT   the value of one KEY=VALUE line that bin/kafka printed
#   kafka_export TEXT        what bin/kafka printed to the variables that tests read: KAFKA_BROKERS, KAFKA_SASL_BROKERS,
#                            KAFKA_SSL_BROKERS, ..., KAFKA_CERTIFICATES
#   kafka_given              the same lines again, from these variables
#   kafka_forget             unsets them

say() { printf '%s\n' "$*" >&2; }
die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# A login shell has it; a script, a service or a container may not.
if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

# Elixir warns, and mangles names, on a file system it believes to be latin1.
case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in
  *[Uu][Tt][Ff]*8*) ;;
  *) export LC_ALL=C.UTF-8 ELIXIR_ERL_OPTIONS="${ELIXIR_ERL_OPTIONS:-} +fnu" ;;
esac

using_stand_ins() { [[ ${MIX_EXS:-} == offline/mix.exs ]]; }

# Leaves its reason in hex_problem when Hex cannot be used. Never asks, always ends.
hex_answers() {
  local output
  hex_problem=
  if ! timeout 20 mix local.hex --force --if-missing </dev/null >/dev/null 2>&1; then
    hex_problem="Hex is not installed and cannot be reached"
    return 1
  fi
  if [[ -z ${MIX_REBAR3:-} ]] && command -v rebar3 >/dev/null; then
    MIX_REBAR3=$(command -v rebar3)
    export MIX_REBAR3
  elif [[ -z ${MIX_REBAR3:-} ]]; then
    timeout 20 mix local.rebar rebar3 --force --if-missing </dev/null >/dev/null 2>&1 || true
  fi
  if ! output=$(timeout 60 mix deps.get </dev/null 2>&1); then
    hex_problem="mix deps.get did not succeed within 60 s: $(tail -n 3 <<<"$output" | tr -s '\n ' ' ')"
    return 1
  fi
}

choose_dependencies() {
  local hex_problem=
  if [[ -z ${MIX_EXS:-} ]] && ! hex_answers; then export MIX_EXS=offline/mix.exs; fi
  if using_stand_ins; then
    say "*** NOT the real Broadway, but the stand-ins in offline/ (${hex_problem:-MIX_EXS=$MIX_EXS}). They have only the part of Broadway, GenStage, NimbleOptions, telemetry and RustlerPrecompiled used here: do not measure or deploy on them. ***"
  fi
}

docker_engine() {
  command -v docker >/dev/null &&
    timeout 5 docker info >/dev/null 2>&1 &&
    timeout 5 docker compose version >/dev/null 2>&1
}

kafka_address() { sed -n "s/^$1=//p" <<<"$2"; }

kafka_keys=({,sasl_,ssl_,sasl_ssl_,mutual_,expired_,elsewhere_}brokers certificates)

kafka_export() {
  local key value
  for key in "${kafka_keys[@]}"; do
    value=$(kafka_address "$key" "$1")
    export "KAFKA_${key^^}=$value"
  done
}

kafka_given() {
  local key variable
  for key in "${kafka_keys[@]}"; do
    variable=KAFKA_${key^^}
    echo "$key=${!variable:-}"
  done
}

kafka_forget() {
  local key
  for key in "${kafka_keys[@]}"; do unset "KAFKA_${key^^}"; done
}
