defmodule OffBroadwayRustKafka.Native do
  @moduledoc false
  # The boundary to Rust: stubs and types only, so that every call into the NIF is seen in one place.

  config = Mix.Project.config()
  version = config[:version]

  # A version that ends in -dev always builds from source; this asks for it on a release.
  build = if System.get_env("OFF_BROADWAY_RUST_KAFKA_BUILD") in ["1", "true"], do: true
  options = if build, do: [force_build: true], else: []

  use RustlerPrecompiled,
      [
        otp_app: :off_broadway_rust_kafka,
        crate: "off_broadway_rust_kafka_nif",
        path: "native/nif",
        # One build of librdkafka for every MIX_ENV.
        target_dir: System.get_env("CARGO_TARGET_DIR") || Path.expand("target"),
        base_url: "#{config[:source_url]}/releases/download/v#{version}",
        version: version,
        targets: ~w(
          aarch64-apple-darwin
          aarch64-unknown-linux-gnu
          aarch64-unknown-linux-musl
          x86_64-apple-darwin
          x86_64-unknown-linux-gnu
          x86_64-unknown-linux-musl
        )
      ] ++ options

  @type consumer :: reference()
  @type cluster :: reference()
  @type client :: reference()
  @type slot :: non_neg_integer()
  @type epoch :: non_neg_integer()
  @type offset :: non_neg_integer()
  @type properties :: [{name :: String.t(), value :: String.t()}]
  @type policy :: :earliest | :latest | {:timestamp, non_neg_integer()}

  @type error ::
          {code :: atom(), message :: String.t(), retryable? :: boolean(), fatal? :: boolean(),
           topic :: String.t() | nil, partition :: non_neg_integer() | nil}

  @type config :: %{
          properties: properties(),
          topics: [{String.t(), policy()}],
          lanes: pos_integer(),
          commit_interval: non_neg_integer(),
          drain_timeout: non_neg_integer(),
          max_in_flight: pos_integer(),
          chunk_size: pos_integer() | nil,
          headers: boolean(),
          unacked_timeout: pos_integer() | nil
        }

  @type headers :: [{String.t(), binary() | nil}]

  @type record :: OffBroadwayRustKafka.Record.in_chunk()

  @type run :: {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), [record()]}

  @type chunk ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(),
           first :: offset(), last :: offset(), count :: pos_integer(), [record()]}

  @type stalled ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), offset(),
           in_flight :: pos_integer(), age_ms :: non_neg_integer()}

  @type redelivered ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), offset(),
           count :: pos_integer()}

  @type event ::
          {:assigned, [{String.t(), non_neg_integer(), slot(), epoch(), offset()}]}
          | {:revoked, [{String.t(), non_neg_integer(), slot(), epoch(), unacked :: integer()}],
             drain_ms :: non_neg_integer()}
          | {:lost, [{String.t(), non_neg_integer(), slot(), epoch(), unacked :: integer()}]}
          | {:committed, [{String.t(), non_neg_integer(), offset()}],
             latency_us :: non_neg_integer()}
          | {:commit_failed, error(), [{String.t(), non_neg_integer(), offset()}]}
          | {:stalled, [stalled()]}
          | {:redelivered, [redelivered()]}
          | {:reset, String.t(), non_neg_integer(), from :: integer(), to :: offset()}
          | {:error, error()}
          | {:log, level :: 0..7, facility :: String.t(), message :: String.t()}
          | {:closed, :ok | {:error, error()}}

  @spec check(properties()) ::
          :ok | {:error, {property :: String.t(), :unknown | :invalid, message :: String.t()}}
  def check(_properties), do: not_loaded()

  @spec start(config()) :: {:ok, consumer()} | {:error, error()}
  def start(_config), do: not_loaded()

  @spec attach(consumer(), lane :: non_neg_integer()) :: :ok | {:error, error()}
  def attach(_consumer, _lane), do: not_loaded()

  @spec redeliver(consumer(), slot()) :: :ok | {:error, error()}
  def redeliver(_consumer, _slot), do: not_loaded()

  # Chunks where the configuration has a chunk_size; demand and count are of messages.
  @spec pull(consumer(), lane :: non_neg_integer(), demand :: pos_integer()) ::
          {:more | :armed, count :: non_neg_integer(), [run()] | [chunk()]}
  def pull(_consumer, _lane, _demand), do: not_loaded()

  # For few records, on a normal scheduler: what would make it long is left to `pull/3`.
  @spec pull_short(consumer(), lane :: non_neg_integer(), demand :: pos_integer()) ::
          {:more | :armed, count :: non_neg_integer(), [run()] | [chunk()]}
  def pull_short(_consumer, _lane, _demand), do: not_loaded()

  @spec ack(consumer(), [{slot(), epoch(), offset()}]) :: :ok
  def ack(_consumer, _acks), do: not_loaded()

  # All that was delivered from the first offset of each to its last.
  @spec ack_ranges(consumer(), [{slot(), epoch(), first :: offset(), last :: offset()}]) :: :ok
  def ack_ranges(_consumer, _acks), do: not_loaded()

  @spec slot(consumer(), topic :: String.t(), partition :: integer()) :: slot() | nil
  def slot(_consumer, _topic, _partition), do: not_loaded()

  @spec progress(consumer()) :: [OffBroadwayRustKafka.progress()]
  def progress(_consumer), do: not_loaded()

  @spec close(consumer(), timeout_ms :: non_neg_integer()) :: :ok
  def close(_consumer, _timeout_ms), do: not_loaded()

  ## For tests: librdkafka's in-process cluster, and a client to produce to and ask any cluster.

  @spec mock_start(brokers :: pos_integer()) :: {:ok, cluster(), bootstrap :: String.t()}
  def mock_start(_brokers), do: not_loaded()

  @spec mock_stop(cluster()) :: :ok
  def mock_stop(_cluster), do: not_loaded()

  @spec mock_topic(cluster(), name :: String.t(), partitions :: pos_integer()) ::
          :ok | {:error, error()}
  def mock_topic(_cluster, _name, _partitions), do: not_loaded()

  @spec mock_broker(cluster(), id :: integer(), :up | :down | {:rtt, non_neg_integer()}) ::
          :ok | {:error, error()}
  def mock_broker(_cluster, _id, _state), do: not_loaded()

  @spec mock_topic_error(cluster(), topic :: String.t(), code :: integer()) :: :ok
  def mock_topic_error(_cluster, _topic, _code), do: not_loaded()

  @spec mock_request_errors(cluster(), api_key :: integer(), codes :: [integer()]) ::
          :ok | {:error, error()}
  def mock_request_errors(_cluster, _api_key, _codes), do: not_loaded()

  @spec mock_error_codes() :: [{name :: String.t(), code :: integer()}]
  def mock_error_codes, do: not_loaded()

  @spec client_start(properties()) :: {:ok, client()} | {:error, error()}
  def client_start(_properties), do: not_loaded()

  @spec client_stop(client()) :: :ok
  def client_stop(_client), do: not_loaded()

  @spec client_create_topic(
          client(),
          name :: String.t(),
          partitions :: pos_integer(),
          replication :: pos_integer(),
          settings :: [{String.t(), String.t()}],
          timeout_ms :: non_neg_integer()
        ) :: :ok | {:error, error()}
  def client_create_topic(_client, _name, _partitions, _replication, _settings, _timeout_ms),
    do: not_loaded()

  @spec client_delete_topic(client(), name :: String.t(), timeout_ms :: non_neg_integer()) ::
          :ok | {:error, error()}
  def client_delete_topic(_client, _name, _timeout_ms), do: not_loaded()

  @spec client_add_partitions(
          client(),
          name :: String.t(),
          new_total :: pos_integer(),
          timeout_ms :: non_neg_integer()
        ) :: :ok | {:error, error()}
  def client_add_partitions(_client, _name, _new_total, _timeout_ms), do: not_loaded()

  @spec client_delete_records(
          client(),
          topic :: String.t(),
          partition :: non_neg_integer(),
          below :: offset(),
          timeout_ms :: non_neg_integer()
        ) :: :ok | {:error, error()}
  def client_delete_records(_client, _topic, _partition, _below, _timeout_ms), do: not_loaded()

  @spec client_transaction(
          client(),
          :begin | :commit | :abort,
          timeout_ms :: non_neg_integer()
        ) :: :ok | {:error, error()}
  def client_transaction(_client, _step, _timeout_ms), do: not_loaded()

  @spec client_produce(
          client(),
          topic :: String.t(),
          [
            {partition :: integer(), key :: binary() | nil, value :: binary() | nil, headers(),
             ts_ms :: integer() | nil}
          ],
          timeout_ms :: non_neg_integer()
        ) :: {:ok, [offset()]} | {:error, error()}
  def client_produce(_client, _topic, _records, _timeout_ms), do: not_loaded()

  @spec client_committed(
          client(),
          group :: String.t(),
          [{topic :: String.t(), partition :: non_neg_integer()}],
          timeout_ms :: non_neg_integer()
        ) ::
          {:ok, [{topic :: String.t(), partition :: non_neg_integer(), offset() | nil}]}
          | {:error, error()}
  def client_committed(_client, _group, _partitions, _timeout_ms), do: not_loaded()

  @spec client_commit(
          client(),
          group :: String.t(),
          [{topic :: String.t(), partition :: non_neg_integer(), offset()}],
          metadata :: String.t(),
          timeout_ms :: non_neg_integer()
        ) :: :ok | {:error, error()}
  def client_commit(_client, _group, _offsets, _metadata, _timeout_ms), do: not_loaded()

  @spec client_watermarks(
          client(),
          topic :: String.t(),
          partition :: non_neg_integer(),
          timeout_ms :: non_neg_integer()
        ) :: {:ok, {low :: offset(), high :: offset()}} | {:error, error()}
  def client_watermarks(_client, _topic, _partition, _timeout_ms), do: not_loaded()

  @spec client_offsets(
          client(),
          topic :: String.t(),
          partition :: non_neg_integer(),
          timeout_ms :: non_neg_integer()
        ) :: {:ok, [offset()]} | {:error, error()}
  def client_offsets(_client, _topic, _partition, _timeout_ms), do: not_loaded()

  @spec client_partitions(client(), topic :: String.t(), timeout_ms :: non_neg_integer()) ::
          {:ok, count :: non_neg_integer()} | {:error, error()}
  def client_partitions(_client, _topic, _timeout_ms), do: not_loaded()

  @spec client_topics(client(), timeout_ms :: non_neg_integer()) ::
          {:ok,
           [
             {topic :: String.t(),
              [
                {partition :: non_neg_integer(), leader :: integer() | nil,
                 replicas :: [integer()], in_sync :: [integer()]}
              ]}
           ]}
          | {:error, error()}
  def client_topics(_client, _timeout_ms), do: not_loaded()

  @spec not_loaded() :: no_return()
  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
