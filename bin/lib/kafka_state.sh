# shellcheck shell=bash disable=SC2034,SC2154 # what bin/kafka and its other parts set and use
# For bin/kafka: what is remembered of a cluster in its folder (dir), and what follows from it.
#
#   load_state, save_state    where (java or docker), nodes (how many) and ports, by LISTENER_NODE
#   choose_nodes              from KAFKA_NODES
#   choose_ports              those of before where they are free, else others
#   addresses LISTENER        host:port,... of all nodes
#   node_dir N                where a node's configuration, data, log and pid file are
#   write_config N ADDRESS-TO-BIND DATA-FOLDER CERTIFICATES-FOLDER
#   make_certificates         once: for listeners and clients, in certificates
#   answers HOST PORT         true when what listens there speaks Kafka

where='' nodes=''
declare -A ports=()

# What clients use, what clients use who may not do everything, what a proxy forwards to, what such a proxy has for its
# clients, what nodes use among themselves; and those with TLS, see dev/server.properties.
listeners=(plaintext sasl proxied proxy controller ssl sasl_ssl mutual expired elsewhere)

certificates=$dir/certificates

load_state() {
  local key value
  [[ -r $dir/state ]] || return 0
  while IFS='=' read -r key value; do
    case $key in
      where) where=$value ;;
      nodes) nodes=$value ;;
      *) ports[$key]=$value ;;
    esac
  done <"$dir/state"
}

save_state() {
  local key
  printf '%s\n' "where=$where" "nodes=$nodes" >"$dir/state"
  for key in "${!ports[@]}"; do echo "$key=${ports[$key]}"; done >>"$dir/state"
}

choose_nodes() {
  local wanted=${KAFKA_NODES:-${nodes:-1}}
  [[ $wanted == [13] ]] || die "bin/kafka: KAFKA_NODES must be 1 or 3, got: $wanted"
  [[ -z $nodes || $nodes == "$wanted" ]] ||
    die "bin/kafka: KAFKA_NODES is $wanted, but what is in $dir has $nodes: use another KAFKA_DIR, or bin/kafka clean."
  nodes=$wanted
}

addresses() {
  local n all=()
  for ((n = 1; n <= nodes; n++)); do all+=("127.0.0.1:${ports[$1_$n]}"); done
  (IFS=, && echo "${all[*]}")
}

node_dir() { echo "$dir/node-$1"; }

# An ApiVersions request: version 0, correlation id 1, no client id.
answers() {
  # shellcheck disable=SC2016
  timeout 3 bash -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    printf "\0\0\0\012\0\022\0\0\0\0\0\001\377\377" >&3
    [[ $(head -c 8 <&3 | od -An -tx1 -j4 | tr -d " \n") == 00000001 ]]
  ' answers "$1" "$2" 2>/dev/null
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range from which the system gives ports to clients.
free_port() {
  local candidate
  for _ in {1..100}; do
    candidate=$((20000 + RANDOM % 12000))
    case " ${ports[*]} " in *" $candidate "*) continue ;; esac
    if ! port_taken "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "bin/kafka: no free port found between 20000 and 32000."
}

choose_ports() {
  local n listener port
  if [[ -n ${KAFKA_PORT:-} ]]; then
    if ! [[ $KAFKA_PORT =~ ^[1-9][0-9]{0,4}$ ]] || ((KAFKA_PORT > 65535)); then
      die "bin/kafka: KAFKA_PORT must be a port number, got: $KAFKA_PORT"
    fi
    ! port_taken "$KAFKA_PORT" || die "bin/kafka: port $KAFKA_PORT (KAFKA_PORT) is in use."
    for port in "${!ports[@]}"; do
      if [[ ${ports[$port]} == "$KAFKA_PORT" ]]; then unset "ports[$port]"; fi
    done
    ports[plaintext_1]=$KAFKA_PORT
  fi
  for ((n = 1; n <= nodes; n++)); do
    for listener in "${listeners[@]}"; do
      port=${ports[${listener}_$n]:-}
      if [[ -z $port ]] || port_taken "$port"; then ports[${listener}_$n]=$(free_port); fi
    done
  done
}

make_certificates() {
  [[ -e $certificates/made ]] && return
  command -v elixir >/dev/null || bin/setup
  rm -rf "$certificates"
  elixir dev/certificates.exs "$certificates" >&2 || die "bin/kafka: certificates could not be made (see above)."
  touch "$certificates/made"
}

write_config() {
  local n=$1 text i listener voters=()
  text=$(<dev/server.properties)
  if ((nodes > 1)); then text+=$'\n'$(<dev/cluster.properties); fi
  for ((i = 1; i <= nodes; i++)); do voters+=("$i@localhost:${ports[controller_$i]}"); done
  text=${text//@VOTERS@/"$(IFS=, && echo "${voters[*]}")"}
  text=${text//@NODE@/"$n"}
  text=${text//@BIND@/"$2"}
  text=${text//@DATA@/"$3"}
  text=${text//@CERTIFICATES@/"$4"}
  for listener in "${listeners[@]}"; do text=${text//@${listener^^}_PORT@/"${ports[${listener}_$n]}"}; done
  mkdir -p "$(node_dir "$n")/config"
  printf '%s\n' "$text" >"$(node_dir "$n")/config/server.properties"
}
