defmodule OffBroadwayRustKafka.Commits do
  @moduledoc false
  # Acks and commits of records, which know the member that they came from.

  import OffBroadwayRustKafka.Bounds

  alias OffBroadwayRustKafka.{Error, Member, Native, Record}

  @typedoc "What becomes of offsets: see `OffBroadwayRustKafka.Stage`."
  @type strategy :: :async | :sync | :none

  @timeout_ms 5_000

  # The consumer answers in time. It is not waited for longer, whatever becomes of it.
  @grace_ms 1_000

  # A call stays far below a millisecond.
  @most_per_call 500

  @spec timeout_ms() :: pos_integer()
  def timeout_ms, do: @timeout_ms

  @doc "The records of a pull."
  @spec records([Native.run()], Native.consumer(), strategy()) :: [Record.t()]
  def records(runs, consumer, strategy) do
    for {topic, partition, slot, epoch, records} <- runs,
        source = {consumer, strategy, slot, epoch},
        {offset, ts, key, value, headers} <- records do
      %Record{
        topic: topic,
        partition: partition,
        offset: offset,
        ts: ts,
        key: key,
        value: value,
        headers: headers,
        source: source
      }
    end
  end

  @spec ack([Record.t()], call :: String.t()) :: :ok | {:error, Error.t()}
  def ack(records, call) do
    records
    |> Enum.group_by(&member!(&1, call), &place/1)
    |> each(fn {{consumer, strategy}, places} ->
      places |> Enum.chunk_every(@most_per_call) |> Enum.each(&Native.ack(consumer, &1))
      if strategy == :sync, do: commit_acked(consumer, places), else: :ok
    end)
  end

  @doc "Commits records, or the offsets of a stage."
  @spec commit(term(), :sync | :async, keyword(), call :: String.t()) ::
          :ok | {:error, Error.t()}
  def commit(records_or_offsets, mode, options, call) do
    check_mode!(mode, call)
    check_options!(options, call)

    case List.wrap(records_or_offsets) do
      [{_, _, _} | _] = offsets -> commit_offsets(offsets, mode, options, call)
      records -> commit_records(records, mode, options, call)
    end
  end

  @spec commit_records([term()], :sync | :async, keyword(), String.t()) ::
          :ok | {:error, Error.t()}
  defp commit_records(records, mode, options, call) do
    records
    |> Enum.group_by(&member!(&1, call), &place/1)
    |> each(fn {{consumer, _strategy}, places} ->
      last = places |> Enum.group_by(fn {slot, epoch, _} -> {slot, epoch} end, &elem(&1, 2))
      next = for {{slot, epoch}, offsets} <- last, do: {slot, epoch, Enum.max(offsets) + 1}
      send_commit(consumer, {:records, next}, mode, options)
    end)
  end

  @spec commit_offsets([term()], :sync | :async, keyword(), String.t()) ::
          :ok | {:error, Error.t()}
  defp commit_offsets(offsets, mode, options, call) do
    for offset <- offsets, not offset?(offset) do
      raise ArgumentError,
            "#{call} expects records, or offsets as {topic, partition, offset}, got: " <>
              inspect(offset)
    end

    stage =
      options[:stage] ||
        raise ArgumentError,
              "#{call} expects the option :stage where offsets are to be committed: the name or pid " <>
                "of the stage that they are of"

    with {:ok, consumer} <- Member.fetch(stage, call),
         do: send_commit(consumer, {:offsets, offsets}, mode, options)
  end

  @spec offset?(term()) :: boolean()
  defp offset?({topic, partition, offset}),
    do: is_binary(topic) and is_partition(partition) and is_offset(offset)

  defp offset?(_other), do: false

  @spec check_mode!(term(), String.t()) :: :ok
  defp check_mode!(mode, _call) when mode in [:sync, :async], do: :ok

  defp check_mode!(mode, call),
    do: raise(ArgumentError, "#{call} expects :sync or :async, got: #{inspect(mode)}")

  @spec check_options!(keyword(), String.t()) :: :ok
  defp check_options!(options, call) do
    for {name, value} <- options, not option?(name, value) do
      raise ArgumentError,
            "#{call} expects :timeout (milliseconds), :stage and :rewind (a boolean), got: " <>
              inspect({name, value})
    end

    :ok
  end

  @spec option?(term(), term()) :: boolean()
  defp option?(:timeout, value), do: is_integer(value) and value >= 0
  defp option?(:rewind, value), do: is_boolean(value)
  defp option?(:stage, _value), do: true
  defp option?(_name, _value), do: false

  @doc "Commits, and waits for the answer if `mode` says so."
  @spec send_commit(Native.consumer(), Native.commit(), :sync | :async, keyword()) ::
          :ok | {:error, Error.t()}
  def send_commit(consumer, commit, mode, options \\ []) do
    back? = Keyword.get(options, :rewind, false)

    case mode do
      :async -> consumer |> Native.commit(commit, back?, nil) |> answer()
      :sync -> wait(consumer, commit, back?, Keyword.get(options, :timeout, @timeout_ms))
    end
  end

  @spec commit_acked(Native.consumer(), [{Native.slot(), Native.epoch(), Native.offset()}]) ::
          :ok | {:error, Error.t()}
  defp commit_acked(consumer, places) do
    slots = places |> Enum.map(fn {slot, epoch, _} -> {slot, epoch, nil} end) |> Enum.uniq()
    send_commit(consumer, {:records, slots}, :sync)
  end

  @spec wait(Native.consumer(), Native.commit(), boolean(), non_neg_integer()) ::
          :ok | {:error, Error.t()}
  defp wait(consumer, commit, back?, timeout_ms) do
    ref = make_ref()

    with :ok <- consumer |> Native.commit(commit, back?, {ref, timeout_ms}) |> answer() do
      receive do
        {^ref, answer} -> answer(answer)
      after
        timeout_ms + @grace_ms ->
          {:error, %Error{code: :timed_out, message: "commit: no answer", retryable?: true}}
      end
    end
  end

  @spec answer(:ok | {:error, Native.error()}) :: :ok | {:error, Error.t()}
  defp answer(:ok), do: :ok
  defp answer({:error, error}), do: {:error, Error.from_native(error)}

  # All are tried; the first error is the answer.
  @spec each(Enumerable.t(), (term() -> :ok | {:error, Error.t()})) :: :ok | {:error, Error.t()}
  defp each(groups, fun) do
    groups |> Enum.map(fun) |> Enum.find(:ok, &match?({:error, _}, &1))
  end

  @spec member!(term(), String.t()) :: {Native.consumer(), strategy()}
  defp member!(%Record{source: {consumer, strategy, _slot, _epoch}}, _call),
    do: {consumer, strategy}

  defp member!(other, call) do
    raise ArgumentError,
          "#{call} expects records as a stage or a stream delivered them, got: #{inspect(other)}"
  end

  @spec place(Record.t()) :: {Native.slot(), Native.epoch(), Native.offset()}
  defp place(%Record{source: {_consumer, _strategy, slot, epoch}, offset: offset}),
    do: {slot, epoch, offset}
end
