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
          {code :: atom(), message :: String.t(), retryable? :: boolean(), ended? :: boolean(),
           topic :: String.t() | nil, partition :: non_neg_integer() | nil}

  @type config :: %{
          properties: properties(),
          topics: [{String.t(), policy()}],
          lanes: non_neg_integer(),
          commit_interval: non_neg_integer(),
          commit_threshold: pos_integer() | nil,
          commit_by_hand: boolean(),
          drain_timeout: non_neg_integer(),
          max_in_flight: pos_integer(),
          max_buffered_bytes: pos_integer(),
          chunk_size: pos_integer() | nil,
          headers: boolean(),
          unacked_timeout: pos_integer() | nil,
          paused: paused()
        }

  # A topic, with partitions of it that are assigned later, or a partition.
  @type subject :: String.t() | {topic :: String.t(), partition :: non_neg_integer()}
  @type scope :: :all | [subject()]
  @type paused :: {all? :: boolean(), [subject()]}

  @type sought ::
          {topic :: String.t(), partition :: non_neg_integer(),
           offset() | :beginning | :end | {:timestamp, non_neg_integer()}}

  @type headers :: [{String.t(), binary() | nil}]

  @type record :: OffBroadwayRustKafka.Record.in_chunk()

  @type run :: {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), [record()]}

  @type chunk ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(),
           first :: offset(), last :: offset(), count :: pos_integer(), [record()]}

  @type claim ::
          :all
          | {:topics, [String.t()]}
          | {:partition, String.t(), partition :: non_neg_integer()}

  @type stalled ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), offset(),
           in_flight :: pos_integer(), age_ms :: non_neg_integer()}

  @type redelivered ::
          {topic :: String.t(), partition :: non_neg_integer(), slot(), epoch(), offset(),
           count :: pos_integer()}

  @type pulled ::
          {pulls :: non_neg_integer(), records :: non_neg_integer(), bytes :: non_neg_integer(),
           duration_us :: non_neg_integer()}

  @type event ::
          {:assigned, [{String.t(), non_neg_integer(), slot(), epoch(), offset()}]}
          | {:kept, [{String.t(), non_neg_integer(), slot(), epoch(), offset()}]}
          | {:revoking, [{String.t(), non_neg_integer(), slot(), epoch(), unacked :: integer()}]}
          | {:revoked, [{String.t(), non_neg_integer(), slot(), epoch(), unacked :: integer()}],
             drain_ms :: non_neg_integer()}
          | {:lost, [{String.t(), non_neg_integer(), slot(), epoch(), unacked :: integer()}]}
          | {:committed, [{String.t(), non_neg_integer(), offset()}],
             latency_us :: non_neg_integer()}
          | {:commit_failed, error(), [{String.t(), non_neg_integer(), offset()}]}
          | {:stalled, [stalled()]}
          | {:redelivered, [redelivered()]}
          | {:reset, String.t(), non_neg_integer(), from :: integer(), to :: offset()}
          | {:connected | :disconnected, broker :: non_neg_integer() | nil, host :: String.t(),
             port :: non_neg_integer()}
          | {:statistics, json :: String.t()}
          | {:paused | :resumed, paused()}
          | {:sought,
             [
               {String.t(), non_neg_integer(), slot(), epoch(), from :: integer(), to :: offset(),
                unacked :: non_neg_integer()}
             ]}
          | {:subscribed, [{String.t(), policy()}]}
          | {:error, error()}
          | :token_wanted
          | {:log, level :: 0..7, facility :: String.t(), message :: String.t()}
          | {:closed, :ok | {:error, error()}}

  @spec check(properties()) ::
          :ok | {:error, {property :: String.t(), :unknown | :invalid, message :: String.t()}}
  def check(_properties), do: not_loaded()

  # All that librdkafka has; the sentence is its own.
  @spec error_codes() :: [{code :: String.t(), sentence :: String.t(), retryable? :: boolean()}]
  def error_codes, do: not_loaded()

  @spec start(config()) :: {:ok, consumer()} | {:error, error()}
  def start(_config), do: not_loaded()

  @spec attach(consumer(), lane :: non_neg_integer()) :: :ok | {:error, error()}
  def attach(_consumer, _lane), do: not_loaded()

  # Of a member with 0 lanes: makes so many for partitions that are not claimed, for as long as the
  # calling process lives. Answers the first of them. With nil they have the member's max_in_flight.
  @spec claim(consumer(), claim(), lanes :: pos_integer(), max_in_flight :: pos_integer() | nil) ::
          {:ok, first_lane :: non_neg_integer()} | {:error, error()}
  def claim(_consumer, _claim, _lanes, _max_in_flight), do: not_loaded()

  # Whether what others have claimed would refuse it.
  @spec check_claim(consumer(), claim()) :: :ok | {:error, error()}
  def check_claim(_consumer, _claim), do: not_loaded()

  @spec release(consumer(), first_lane :: non_neg_integer()) :: :ok
  def release(_consumer, _first_lane), do: not_loaded()

  @spec redeliver(consumer(), [slot()]) :: :ok | {:error, error()}
  def redeliver(_consumer, _slots), do: not_loaded()

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

  # Offsets are the next ones to be read; `nil` is the one up to which everything is acked. With a
  # `wait` the caller gets `{ref, :ok | {:error, error()}}` within the time, once.
  @type commit ::
          :all
          | {:records, [{slot(), epoch(), offset() | nil}]}
          | {:offsets, [{topic :: String.t(), partition :: non_neg_integer(), offset()}]}

  @spec commit(
          consumer(),
          commit(),
          back? :: boolean(),
          wait :: {reference(), timeout_ms :: non_neg_integer()} | nil
        ) :: :ok | {:error, error()}
  def commit(_consumer, _commit, _back?, _wait), do: not_loaded()

  # The answers to `:token_wanted`, and a password in place of the one that it began with.
  @spec set_token(consumer(), String.t(), expiry_ms :: integer(), principal :: String.t()) ::
          :ok | {:error, error()}
  def set_token(_consumer, _token, _expiry_ms, _principal), do: not_loaded()

  @spec refuse_token(consumer(), reason :: String.t()) :: :ok | {:error, error()}
  def refuse_token(_consumer, _reason), do: not_loaded()

  @spec set_password(consumer(), username :: String.t(), String.t()) :: :ok | {:error, error()}
  def set_password(_consumer, _username, _password), do: not_loaded()

  @spec slot(consumer(), topic :: String.t(), partition :: integer()) :: slot() | nil
  def slot(_consumer, _topic, _partition), do: not_loaded()

  @spec pause(consumer(), scope()) :: :ok | {:error, error()}
  def pause(_consumer, _scope), do: not_loaded()

  @spec resume(consumer(), scope()) :: :ok | {:error, error()}
  def resume(_consumer, _scope), do: not_loaded()

  @spec seek(consumer(), [sought()]) :: :ok | {:error, error()}
  def seek(_consumer, _positions), do: not_loaded()

  @spec update_topics(consumer(), [{String.t(), policy()}]) :: :ok | {:error, error()}
  def update_topics(_consumer, _topics), do: not_loaded()

  @spec progress(consumer()) :: {:ok, [OffBroadwayRustKafka.progress()]} | {:error, error()}
  def progress(_consumer), do: not_loaded()

  # What all pulls of the member's life brought.
  @spec pulled(consumer()) :: pulled()
  def pulled(_consumer), do: not_loaded()

  @spec statistics(json :: String.t()) ::
          {:ok, OffBroadwayRustKafka.statistics()} | {:error, message :: String.t()}
  def statistics(_json), do: not_loaded()

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

  @spec client_members(client(), group :: String.t(), timeout_ms :: non_neg_integer()) ::
          {:ok, [{id :: String.t(), host :: String.t(), assignment :: binary()}]}
          | {:error, error()}
  def client_members(_client, _group, _timeout_ms), do: not_loaded()

  @spec not_loaded() :: no_return()
  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
