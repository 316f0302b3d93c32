defmodule OffBroadwayRustKafka.Telemetry do
  @moduledoc """
  The events of a consumer, for `:telemetry`. Broadway's own events (`[:broadway, …]`) say what the
  stages do; these say what the group member does.

  Every metadata has `:name`, the name of the Broadway pipeline, and `:group_id`. A *partition* is
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
      because a stage or a producer went down, or by `on_unacked: :redeliver`. Measurements:
      `:count` (of records). Metadata: `:partitions`, each with the `:offset` of its first record
      and its `:count`.
    * `[:off_broadway_rust_kafka, :reset]` - a position was out of range, and the
      `:offset_reset_policy` was applied; or the topic was deleted and created again, and is read from
      its first record. Measurements: `:from_offset`, `:to_offset`. Metadata: `:topic`, `:partition`.
    * `[:off_broadway_rust_kafka, :closed]` - the member has ended. Measurements: `:count` (1).
      Metadata: `:error`, `nil` when it committed what was acknowledged and left the group in time.
      Where it did not, the group may deliver that again, and miss the member until its session is
      over.
    * `[:off_broadway_rust_kafka, :error]` - anything else that went wrong. Measurements: `:count`
      (1). Metadata: `:error`.

  `:error` is an `OffBroadwayRustKafka.Error`. Handlers run in the consumer's process: a slow one
  delays the next event, and nothing else.
  """

  alias OffBroadwayRustKafka.{Error, Native}

  @prefix :off_broadway_rust_kafka
  @names [:assigned, :revoked, :lost, :committed, :commit_failed, :stalled, :redelivered] ++
           [:reset, :closed, :error]

  @doc "The names of all events, as `:telemetry.attach_many/4` wants them."
  @spec events() :: [[atom(), ...], ...]
  def events, do: for(name <- @names, do: [@prefix, name])

  @doc false
  @spec emit(Native.event(), map()) :: :ok
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

  def emit({:reset, topic, partition, from, to}, context) do
    measurements = %{from_offset: from, to_offset: to}
    execute(:reset, measurements, context, %{topic: topic, partition: partition})
  end

  def emit({:closed, :ok}, context), do: execute(:closed, %{count: 1}, context, %{error: nil})

  def emit({:closed, {:error, error}}, context),
    do: execute(:closed, %{count: 1}, context, %{error: Error.from_native(error)})

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
