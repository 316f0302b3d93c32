defmodule Demo.Watch do
  @moduledoc false
  # Follows a running pipeline up to a goal, with the live line: where it is from the ledger, its lag
  # and what is unacked from the member itself.

  alias Demo.{Interrupt, Ledger, Pipeline, Screen, Source}

  @sample_ms 5
  @line_ms 100
  # The live rate is that of the last second.
  @rate_lines 10
  # A broker away for a while, or a slow join, is no reason to give up.
  @patience_ms 30_000

  @enforce_keys [:label, :source, :ledger, :goal, :moved_at, :moved_to, :line_at]
  defstruct @enforce_keys ++ [:started, progress: [], rates: []]

  @typedoc "A sum of offsets over all partitions, or all of them acked up to the target."
  @type goal :: {:position, non_neg_integer()} | :all_acked

  @typedoc "How many records were handled in how much time, from the first seen to the last."
  @type pace :: {records :: non_neg_integer(), ms :: non_neg_integer()}

  @doc "Returns at the goal, or when nothing moved for a long time: the outcome will show that."
  @spec until(goal(), label :: String.t(), Source.t(), Ledger.t()) ::
          {pace(), [OffBroadwayRustKafka.progress()]}
  def until(goal, label, source, ledger) do
    watch = %__MODULE__{
      label: label,
      source: source,
      ledger: ledger,
      goal: goal,
      moved_at: now(),
      moved_to: Ledger.position(ledger),
      line_at: now() - @line_ms
    }

    loop(watch)
  end

  @spec loop(%__MODULE__{}) :: {pace(), [OffBroadwayRustKafka.progress()]}
  defp loop(watch) do
    Interrupt.check(@sample_ms)
    watch = watch |> sample(Ledger.position(watch.ledger), now()) |> line(now())

    cond do
      reached?(watch) -> finish(watch)
      now() - watch.moved_at > @patience_ms -> give_up(watch)
      true -> loop(watch)
    end
  end

  @spec finish(%__MODULE__{}) :: {pace(), [OffBroadwayRustKafka.progress()]}
  defp finish(watch) do
    watch = %{watch | progress: OffBroadwayRustKafka.progress(Pipeline)}
    Screen.say(text(watch))
    {pace(watch), watch.progress}
  end

  @spec give_up(%__MODULE__{}) :: {pace(), [OffBroadwayRustKafka.progress()]}
  defp give_up(watch) do
    result = finish(watch)
    Screen.say("No record for #{div(@patience_ms, 1000)} s.")
    result
  end

  @spec pace(%__MODULE__{}) :: pace()
  defp pace(%{started: nil}), do: {0, 0}

  defp pace(%{started: {started_at, before}} = watch),
    do: {Ledger.count(watch.ledger) - before, watch.moved_at - started_at}

  @spec sample(%__MODULE__{}, position :: non_neg_integer(), ms :: integer()) :: %__MODULE__{}
  defp sample(%{moved_to: position} = watch, position, _now), do: watch

  defp sample(watch, position, now) do
    started = watch.started || {now, Ledger.count(watch.ledger)}
    %{watch | started: started, moved_to: position, moved_at: now}
  end

  @spec line(%__MODULE__{}, ms :: integer()) :: %__MODULE__{}
  defp line(%{line_at: last} = watch, now) when now - last < @line_ms, do: watch

  defp line(watch, now) do
    progress = OffBroadwayRustKafka.progress(Pipeline)
    before = if watch.started, do: watch.rates, else: []
    rates = Enum.take([{now, Ledger.count(watch.ledger)} | before], @rate_lines + 1)
    watch = %{watch | progress: progress, rates: rates, line_at: now}
    Screen.live(text(watch))
    watch
  end

  @spec reached?(%__MODULE__{}) :: boolean()
  # Reached from the start, it still has to be seen to be at work.
  defp reached?(%{goal: {:position, position}, moved_to: reached} = watch)
       when reached >= position,
       do: watch.started != nil or watch.progress != []

  # Where the last offsets of a partition hold no records, the position alone never gets there.
  defp reached?(watch) do
    acked = Map.new(watch.progress, &{&1.partition, &1.committable})

    watch.source.target
    |> Enum.with_index()
    |> Enum.all?(fn {target, partition} -> Map.get(acked, partition, -1) >= target end)
  end

  @spec text(%__MODULE__{}) :: String.t()
  defp text(%{progress: []} = watch), do: "#{watch.label}: joining the group"

  defp text(%{progress: progress} = watch) do
    lag = Enum.sum(for p <- progress, do: (p.high_watermark || p.next) - (p.committed || p.start))
    unacked = progress |> Enum.map(& &1.in_flight) |> Enum.sum()

    "#{watch.label}: #{Ledger.count(watch.ledger)} of #{Source.size(watch.source)} records, " <>
      "#{rate(watch.rates)}/s, lag #{lag}, unacked #{unacked}"
  end

  @spec rate([{ms :: integer(), count :: non_neg_integer()}]) :: non_neg_integer()
  defp rate([{now, count} | _] = rates) do
    {before, counted} = List.last(rates)
    div((count - counted) * 1000, max(now - before, 1))
  end

  @spec now() :: integer()
  defp now, do: System.monotonic_time(:millisecond)
end
