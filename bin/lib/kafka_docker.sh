# shellcheck shell=bash disable=SC2034,SC2154 # what bin/kafka and its other parts set and use
# For bin/kafka: one node in Docker, by dev/compose.yml.

compose() {
  KAFKA_PROJECT="off_broadway_rust_kafka_$(cksum <<<"$dir" | cut -d ' ' -f 1)" KAFKA_CONFIG=$(node_dir 1)/config \
    KAFKA_PORT=${ports[plaintext_1]} KAFKA_SASL_PORT=${ports[sasl_1]} KAFKA_PROXIED_PORT=${ports[proxied_1]} \
    KAFKA_SSL_PORT=${ports[ssl_1]:-0} KAFKA_SASL_SSL_PORT=${ports[sasl_ssl_1]:-0} KAFKA_MUTUAL_PORT=${ports[mutual_1]:-0} \
    KAFKA_EXPIRED_PORT=${ports[expired_1]:-0} KAFKA_ELSEWHERE_PORT=${ports[elsewhere_1]:-0} KAFKA_CERTIFICATES=$certificates \
    timeout 300 docker compose --file dev/compose.yml "$@"
}

docker_start() {
  where=docker
  write_config 1 0.0.0.0 /var/lib/kafka/data /mnt/shared/certificates
  chmod -R a+rX "$(node_dir 1)/config" "$certificates"
  save_state
  compose up --detach >&2
}

docker_running() { [[ -n $(compose ps --quiet --status running kafka 2>/dev/null) ]]; }
