defmodule Soak.Judge do
  @moduledoc false
  # What came of a round. A partition is *stuck* that is not committed to its end in time, when
  # nothing is wrong any more; a record is *lost* that the group went past and nobody handled.

  alias OffBroadwayRustKafka.{Checker, History, Kafka}
  alias OffBroadwayRustKafka.Checker.Violation
  alias OffBroadwayRustKafka.History.Spans
  alias Soak.{Load, World}

  @type stuck :: [{History.place(), committed :: integer() | nil, next :: non_neg_integer()}]
  @type verdict :: %{
          records: non_neg_integer(),
          redelivered: non_neg_integer(),
          had_to: non_neg_integer(),
          lost: non_neg_integer(),
          stuck: stuck(),
          violations: non_neg_integer(),
          texts: [String.t()],
          events: [History.event()]
        }

  @look_ms 500
  @leader_ms 30_000
  # With demand and nothing wrong; a busy machine takes its time.
  @stall_ms 30_000

  @doc "Waits until all is committed, for so many seconds, and returns what is not."
  @spec await_end(World.t(), seconds :: pos_integer()) :: {World.t(), stuck()}
  def await_end(world, seconds) do
    ends = Kafka.ends(world.kafka, world.topic, world.partitions, @leader_ms)
    for {place, next} <- ends, do: History.produced(world.history, place, 0, next)
    await_end(world, ends, now() + seconds * 1000)
  end

  @spec await_end(World.t(), Kafka.offsets(), integer()) ::
          {World.t(), stuck()}
  defp await_end(world, ends, deadline) do
    committed = Kafka.committed(world.kafka, world.group, world.topic, world.partitions)

    case for {place, next} <- ends,
             (committed[place] || 0) < next,
             do: {place, committed[place], next} do
      [] ->
        {world, []}

      stuck ->
        if now() > deadline,
          do: {world, stuck},
          else: world |> World.listen(now() + @look_ms) |> await_end(ends, deadline)
    end
  end

  @doc "Of a round whose members have all left."
  @spec verdict(World.t(), stuck()) :: verdict()
  def verdict(%{history: history} = world, stuck) do
    History.ask_committed(history, world.kafka, world.group, world.topic, world.partitions)
    events = History.events(history)
    {report, violations} = Checker.run(events, options(world, events, stuck))

    report
    |> Map.take([:redelivered, :had_to])
    |> Map.merge(%{records: report.produced, lost: lost(events), stuck: stuck, events: events})
    |> Map.merge(%{
      violations: report.violations,
      texts: Enum.map(violations, &Violation.format/1)
    })
  end

  @doc "Of a round that could not go on."
  @spec broke_off(World.t(), String.t()) :: verdict()
  def broke_off(world, text) do
    records = Load.count(world.load)
    events = History.events(world.history)

    %{records: records, faults: 0, redelivered: 0, had_to: 0, lost: 0, stuck: []}
    |> Map.merge(%{violations: 1, texts: ["broke off: " <> text], events: events})
  end

  @spec options(World.t(), [History.event()], stuck()) :: keyword()
  defp options(world, events, stuck) do
    labels = for {_, member, :started, _, _, _} <- events, uniq: true, do: History.label(member)

    [
      at_end: if(stuck == [], do: :all_committed),
      clean_stops: labels -- MapSet.to_list(world.unclean),
      stall: @stall_ms
    ]
  end

  @spec lost([History.event()]) :: non_neg_integer()
  defp lost(events) do
    handled = for {_, _, :handled, place, _, spans} <- events, span <- spans, do: {place, span}
    handled = Enum.group_by(handled, &elem(&1, 0), &elem(&1, 1))

    Enum.sum(
      for {_, _, :broker, place, _, committed} <- events, committed not in [nil, 0] do
        done = handled |> Map.get(place, []) |> Spans.union()
        Spans.count(Spans.difference([{0, committed - 1}], done))
      end
    )
  end

  @spec now() :: integer()
  defp now, do: System.monotonic_time(:millisecond)
end
