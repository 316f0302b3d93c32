defmodule OffBroadwayRustKafka.MemberSpec do
  @moduledoc false
  # What a group member is started with, from options that were checked: the same for a pipeline's own,
  # one that pipelines share, and one outside of Broadway.

  alias OffBroadwayRustKafka.{Consumer, Credentials, Native, Options, Properties}

  @typedoc "With 0 lanes, pipelines claim theirs."
  @type place :: %{
          table: Consumer.table(),
          name: term(),
          lanes: non_neg_integer(),
          max_in_flight: pos_integer(),
          shutdown_ms: pos_integer()
        }

  @doc "What `Consumer` is to be given; refuses properties that librdkafka does not take."
  @spec new(Options.t(), place()) :: {:ok, Consumer.arg()} | {:error, String.t()}
  def new(options, place) do
    config = config(options, place)

    with :ok <- Properties.check(config.properties) do
      {:ok,
       %{
         table: place.table,
         name: place.name,
         group_id: options.group_id,
         offset_reset_policy: options.offset_reset_policy,
         credentials: Credentials.new(options.oauthbearer, config.properties),
         on_fatal: options.on_fatal,
         on_unacked: options.on_unacked,
         telemetry_interval: options.telemetry_interval,
         shutdown_ms: place.shutdown_ms,
         config: fn -> %{config | properties: open!(config.properties)} end
       }}
    end
  end

  # Each time that the member starts, as a secret may be another by then.
  @spec open!([{String.t(), Properties.value()}]) :: Native.properties()
  defp open!(properties) do
    case Properties.open(properties) do
      {:ok, properties} -> properties
      {:error, message} -> raise message
    end
  end

  # Its properties are still to be opened.
  @spec config(Options.t(), place()) :: map()
  defp config(options, place) do
    %{
      properties: [
        {"bootstrap.servers", Enum.join(options.hosts, ",")},
        {"group.id", options.group_id} | options.properties
      ],
      topics: options.topics,
      lanes: place.lanes,
      commit_interval: options.commit_interval,
      commit_threshold: options.commit_threshold,
      commit_by_hand: options.commit_strategy == :none,
      drain_timeout: options.drain_timeout,
      max_in_flight: place.max_in_flight,
      max_buffered_bytes: options.max_buffered_bytes,
      chunk_size: options.chunk_size,
      headers: options.headers,
      unacked_timeout: options.unacked_timeout,
      paused: {false, []}
    }
  end
end
