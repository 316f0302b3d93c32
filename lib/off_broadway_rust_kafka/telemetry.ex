defmodule OffBroadwayRustKafka.Telemetry do
  @moduledoc """
  The events of a consumer, for `:telemetry`. Broadway's own events (`[:broadway, …]`) say what the
  stages do; these say what the group member does.

  Every metadata has `:name`, the name of the Broadway pipeline, of the group or the shared member that
  pipelines belong to, or of the stage (or its pid), and `:group_id`. A *partition* is
  `%{topic: …, partition: …, slot: …, epoch: …}`.

    * `[:off_broadway_rust_kafka, :assigned]` - partitions were given to this member.
      Measurements: `:count`. Metadata: `:partitions`, each with its `:start_offset`.
    * `[:off_broadway_rust_kafka, :revoked]` - partitions were drained, committed and given up.
      Measurements: `:count`, `:unacked` (records still in flight, which the next owner gets
      again), `:drain_ms`. Metadata: `:partitions`, each with its `:unacked`.
    * `[:off_broadway_rust_kafka, :lost]` - partitions were taken away; nothing could be committed.
      Measurements: `:count`, `:unacked`. Metadata: `:partitions`, each with its `:unacked`.
    * `[:off_broadway_rust_kafka, :committed]` - offsets were committed. Measurements: `:count` (of
      partitions), `:latency_us`. Metadata: `:offsets`, a list of `{topic, partition, offset}`,
      where the offset is the next one to read.
    * `[:off_broadway_rust_kafka, :commit_failed]` - a commit failed; it is tried again while the
      partitions are ours. Measurements: `:count`. Metadata: `:error`, `:offsets`.
    * `[:off_broadway_rust_kafka, :stalled]` - the oldest unacknowledged record of partitions has
      been the same for the `:unacked_timeout`, or for one more of it. Measurements: `:count` (of
      partitions), `:age_ms` (of the oldest of them). Metadata: `:partitions`, each with the
      record's `:offset`, its `:age_ms` (how long it has been the oldest, and nothing could be
      committed) and how many are `:in_flight`.
    * `[:off_broadway_rust_kafka, :redelivered]` - unacknowledged records are delivered again,
      because a stage or a producer went down, by `on_unacked: :redeliver`, or as another pipeline or
      stage takes partitions of a member up. Measurements: `:count` (of records). Metadata:
      `:partitions`, each with the `:offset` of its first record and its `:count`.
    * `[:off_broadway_rust_kafka, :pulled]` - what the pipeline took from the consumer, once per
      `:telemetry_interval`. Measurements: `:count` (of pulls that brought something), `:records`,
      `:bytes` (of their keys and values), `:duration_us` (of the pulls, all together) and
      `:interval_ms`, in which that was.
    * `[:off_broadway_rust_kafka, :lag]` - how far a partition is behind, once per
      `:telemetry_interval` for each that is assigned and was fetched from. Measurements: `:lag` (records that
      are not committed), `:backlog` (records that are not delivered), `:in_flight` and
      `:unacked_ms` (how long the oldest of these has been the oldest; 0 where there is none).
      Metadata: `:topic`, `:partition`.
    * `[:off_broadway_rust_kafka, :connected]` - a connection to a broker is up. Measurements:
      `:count` (1). Metadata: `:broker` (its id; `nil` where only its address is known), `:host`,
      `:port`. The coordinator of the group has a connection of its own, whose host is
      `"GroupCoordinator"` and whose port is 0.
    * `[:off_broadway_rust_kafka, :disconnected]` - one that was up is down; librdkafka connects
      again when it needs it, and drops bootstrap connections that it needs no more. Measurements and
      metadata as above.
    * `[:off_broadway_rust_kafka, :statistics]` - librdkafka's own statistics, if `:config` has a
      `"statistics.interval.ms"`. Measurements: `:tx` and `:rx` (requests and responses),
      `:tx_bytes`, `:rx_bytes`, `:rxmsgs` (records), `:rxmsg_bytes`, all since the member started, and
      `:replyq` (events that wait). Metadata: `:statistics`, see
      `t:OffBroadwayRustKafka.statistics/0`.
    * `[:off_broadway_rust_kafka, :reset]` - a position was out of range, and the
      `:offset_reset_policy` was applied; or the topic was deleted and created again, and is read from
      its first record. Measurements: `:from_offset`, `:to_offset`. Metadata: `:topic`, `:partition`.
    * `[:off_broadway_rust_kafka, :paused]` - `OffBroadwayRustKafka.pause/2` paused something. Measurements:
      `:count` (of what is paused now). Metadata: `:paused`, all that is paused now: a list of `:all`,
      topics and `{topic, partition}`.
    * `[:off_broadway_rust_kafka, :resumed]` - `OffBroadwayRustKafka.resume/2` resumed something, or a paused
      topic is subscribed to no more. Measurements and metadata as above, of what is still paused.
    * `[:off_broadway_rust_kafka, :sought]` - partitions go on where `OffBroadwayRustKafka.seek/2` wanted, each in
      a new epoch. Measurements: `:count`, `:unacked` (records in flight, whose acknowledgements count no more).
      Metadata: `:partitions`, each with its `:from_offset`, `:to_offset` and `:unacked`.
    * `[:off_broadway_rust_kafka, :subscribed]` - the topics were changed by
      `OffBroadwayRustKafka.update_topics/2`. Measurements: `:count`. Metadata: `:topics`, a list of
      `{name, offset_reset_policy}`.
    * `[:off_broadway_rust_kafka, :closed]` - the member has ended. Measurements: `:count` (1).
      Metadata: `:error`, `nil` when it committed what was acknowledged and left the group in time.
      Where it did not, the group may deliver that again, and miss the member until its session is
      over.
    * `[:off_broadway_rust_kafka, :pipeline_started]` and `[:off_broadway_rust_kafka, :pipeline_stopped]` -
      a pipeline of a group (`use OffBroadwayRustKafka`) has started, or ended. Measurements: `:count` (1).
      Metadata: `:pipeline` (its pid), `:topic` and `:partition` (`nil` where it is not of one), and
      `:reason` of its end.
    * `[:off_broadway_rust_kafka, :set_aside]` - it does not start, or crashed too often: its
      partitions are read by none until they are assigned anew, and keep their committed offsets; or
      the group ends, by its `:on_crash`. Measurements: `:count` (1). Metadata: `:error`, `:topic`,
      `:partition`.
    * `[:off_broadway_rust_kafka, :error]` - anything else that went wrong. Measurements: `:count`
      (1). Metadata: `:error`.

  `:error` is an `OffBroadwayRustKafka.Error`. Handlers run in the consumer's process: a slow one
  delays the next event, and nothing else. `OffBroadwayRustKafka.Metrics` has definitions of metrics,
  where the library telemetry_metrics is there.
  """

  alias OffBroadwayRustKafka.{Error, Member, Native}

  @prefix :off_broadway_rust_kafka
  @names [:assigned, :revoked, :lost, :committed, :commit_failed, :stalled, :redelivered] ++
           [:pulled, :lag, :connected, :disconnected, :statistics, :reset] ++
           [:paused, :resumed, :sought, :subscribed, :closed, :error] ++
           [:pipeline_started, :pipeline_stopped, :set_aside]

  @measured_statistics [:tx, :tx_bytes, :rx, :rx_bytes, :rxmsgs, :rxmsg_bytes, :replyq]

  @doc "The names of all events, as `:telemetry.attach_many/4` wants them."
  @spec events() :: [[atom(), ...], ...]
  def events, do: for(name <- @names, do: [@prefix, name])

  @typedoc false
  @type event ::
          Native.event()
          | {:pulled, Native.pulled(), interval_ms :: non_neg_integer()}
          | {:lag, OffBroadwayRustKafka.progress()}
          | {:pipeline, name :: atom(), metadata :: map()}
          | {:statistics, OffBroadwayRustKafka.statistics()}
          | {:error, Error.t()}

  @doc false
  @spec emit(event(), map()) :: :ok
  def emit({:assigned, partitions}, context) do
    partitions = partitions(partitions, [:start_offset])
    execute(:assigned, %{count: length(partitions)}, context, %{partitions: partitions})
  end

  def emit({:revoked, partitions, drain_ms}, context) do
    partitions = partitions(partitions, [:unacked])
    measurements = Map.put(left(partitions), :drain_ms, drain_ms)
    execute(:revoked, measurements, context, %{partitions: partitions})
  end

  def emit({:lost, partitions}, context) do
    partitions = partitions(partitions, [:unacked])
    execute(:lost, left(partitions), context, %{partitions: partitions})
  end

  def emit({:committed, offsets, latency_us}, context) do
    measurements = %{count: length(offsets), latency_us: latency_us}
    execute(:committed, measurements, context, %{offsets: offsets})
  end

  def emit({:commit_failed, error, offsets}, context) do
    metadata = %{error: Error.from_native(error), offsets: offsets}
    execute(:commit_failed, %{count: length(offsets)}, context, metadata)
  end

  def emit({:stalled, stalled}, context) do
    partitions = partitions(stalled, [:offset, :in_flight, :age_ms])
    age_ms = partitions |> Enum.map(& &1.age_ms) |> Enum.max()
    measurements = %{count: length(partitions), age_ms: age_ms}
    execute(:stalled, measurements, context, %{partitions: partitions})
  end

  def emit({:redelivered, again}, context) do
    partitions = partitions(again, [:offset, :count])
    execute(:redelivered, %{count: sum(partitions, :count)}, context, %{partitions: partitions})
  end

  def emit({:pulled, {pulls, records, bytes, duration_us}, interval_ms}, context) do
    measurements = %{
      count: pulls,
      records: records,
      bytes: bytes,
      duration_us: duration_us,
      interval_ms: interval_ms
    }

    execute(:pulled, measurements, context, %{})
  end

  def emit({:lag, %{high_watermark: nil}}, _context), do: :ok

  def emit({:lag, progress}, context) do
    behind = progress |> Member.lag() |> Map.take([:lag, :backlog])
    unacked = %{in_flight: progress.in_flight, unacked_ms: progress.unacked_ms || 0}
    place = Map.take(progress, [:topic, :partition])
    execute(:lag, Map.merge(behind, unacked), context, place)
  end

  def emit({name, broker, host, port}, context) when name in [:connected, :disconnected],
    do: execute(name, %{count: 1}, context, %{broker: broker, host: host, port: port})

  def emit({:statistics, statistics}, context) do
    measurements = Map.take(statistics, @measured_statistics)
    execute(:statistics, measurements, context, %{statistics: statistics})
  end

  def emit({:reset, topic, partition, from, to}, context) do
    measurements = %{from_offset: from, to_offset: to}
    execute(:reset, measurements, context, %{topic: topic, partition: partition})
  end

  def emit({name, {all?, subjects}}, context) when name in [:paused, :resumed] do
    paused = if all?, do: [:all | subjects], else: subjects
    execute(name, %{count: length(paused)}, context, %{paused: paused})
  end

  def emit({:sought, sought}, context) do
    partitions = partitions(sought, [:from_offset, :to_offset, :unacked])
    execute(:sought, left(partitions), context, %{partitions: partitions})
  end

  def emit({:subscribed, topics}, context),
    do: execute(:subscribed, %{count: length(topics)}, context, %{topics: topics})

  def emit({:closed, :ok}, context), do: execute(:closed, %{count: 1}, context, %{error: nil})

  def emit({:closed, {:error, error}}, context),
    do: execute(:closed, %{count: 1}, context, %{error: Error.from_native(error)})

  def emit({:error, %Error{} = error}, context),
    do: execute(:error, %{count: 1}, context, %{error: error})

  def emit({:pipeline, name, metadata}, context),
    do: execute(name, %{count: 1}, context, metadata)

  def emit({:error, error}, context),
    do: execute(:error, %{count: 1}, context, %{error: Error.from_native(error)})

  def emit(_not_for_telemetry, _context), do: :ok

  @spec execute(atom(), map(), map(), map()) :: :ok
  defp execute(name, measurements, context, metadata),
    do: :telemetry.execute([@prefix, name], measurements, Map.merge(context, metadata))

  # Tuples that begin alike, and go on with these.
  @spec partitions([tuple()], [atom()]) :: [map()]
  defp partitions(tuples, rest) do
    keys = [:topic, :partition, :slot, :epoch | rest]
    for tuple <- tuples, do: keys |> Enum.zip(Tuple.to_list(tuple)) |> Map.new()
  end

  @spec left([map()]) :: map()
  defp left(partitions) do
    %{count: length(partitions), unacked: sum(partitions, :unacked)}
  end

  @spec sum([map()], atom()) :: non_neg_integer()
  defp sum(partitions, key), do: partitions |> Enum.map(& &1[key]) |> Enum.sum()
end
