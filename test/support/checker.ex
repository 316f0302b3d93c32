defmodule OffBroadwayRustKafka.Checker do
  @moduledoc false
  # Asserts the invariants of at-least-once delivery on a history.
  #
  #   * `I1` nothing is committed beyond a record that is delivered and not acked
  #   * `I2` what is committed past was delivered; `lost`: was handled
  #   * `I3` within an epoch offsets come once and in order. After a fault (`History.fault/3`, a
  #     stage or producer that went down) what is unacked may come again, and nothing else
  #   * `I4` a lane emits no more than it was asked for
  #   * `I5` an ack of another epoch changes nothing; nobody commits what is another member's
  #   * `I6` acks twice, or of what was not delivered, change nothing
  #   * `I7` a member that says it closed cleanly has committed all it handled, and nothing else
  #   * `I8` what is queued stays within its bounds, `I9` calls return at once (as recorded)
  #   * `I10` a partition is on one lane, and on none when it was given up
  #   * `I11` what has records and demand is served within `:stall`; all is committed at the end
  #   * `paused` nothing is delivered of what is paused
  #   * `rewind` no committed offset and no start goes back; `again`: no more is delivered again than
  #     had to be; `ghost`: what is no record is not delivered; `order`: handled in order
  #
  # Two members may hold a partition at once as far as their logs tell: a member that was stopped,
  # or cut off, does not know yet. What it delivers then is counted as what had to come again. What
  # it must not do is have a commit accepted that it sent after the other was assigned.

  alias OffBroadwayRustKafka.Checker.{Coverage, Replay, State, Violation}
  alias OffBroadwayRustKafka.{History, Kafka}
  alias OffBroadwayRustKafka.History.Spans

  @options [
    from: :earliest,
    at_end: nil,
    clean_stops: :all,
    demand: true,
    order: false,
    fencing: true,
    stall: 10_000,
    call_us: 1_000,
    redelivered: :had_to
  ]

  # Shown at most: the first says most.
  @most 5
  # So long before it is delivered again an ack is known to have arrived.
  @grace_ns 1_000_000_000

  @type report :: %{atom() => non_neg_integer()}

  @doc """
  Checks a history. Options:

    * `:from` - where the group began: `:earliest`, `:assigned` (wherever it did), or offsets by place
    * `:at_end` - `:all_committed` when everything produced is to be committed at the end
    * `:clean_stops` - the labels of members whose stages all ended in time, or `:all`
    * `:demand` - whether to hold lanes to their demand
    * `:order` - whether records of a partition must be handled in order
    * `:fencing` - `false` for brokers that do not fence, as the mock cluster
    * `:stall` - how many ms a partition may wait with records, demand and nothing in flight
    * `:call_us` - how long a call may take
    * `:redelivered` - how many records may come again: a number, `:infinity`, or `:had_to`, which
      is what was delivered and above the committed offset whenever an assignment ended
  """
  @spec check(History.t() | [History.event()], keyword()) ::
          {:ok, report()} | {:error, [Violation.t(), ...]}
  def check(history, options \\ []) do
    case run(history, options) do
      {report, []} -> {:ok, report}
      {_report, violations} -> {:error, violations}
    end
  end

  @doc "Flunks with what broke and the history that shows it; prints and returns the counts."
  @spec assert_sound!(History.t() | [History.event()], keyword()) :: report()
  def assert_sound!(history, options \\ []) do
    {report, violations} = run(history, options)
    IO.puts(summary(report))

    if violations != [],
      do: ExUnit.Assertions.flunk(Enum.map_join(violations, "\n\n", &Violation.format/1))

    report
  end

  @doc """
  As `assert_sound!/2`, of a history that has ended: what the topic has, and what of it is committed, is asked
  from the brokers. Everything is to be, unless `:at_end` says otherwise.
  """
  @spec assert_sound_at_end!(
          History.t(),
          Kafka.t(),
          group :: String.t(),
          {topic :: String.t(), partitions :: pos_integer()},
          keyword()
        ) :: report()
  def assert_sound_at_end!(history, kafka, group, {topic, partitions}, options \\ []) do
    :ok = History.ask_produced(history, kafka, topic, partitions)
    History.ask_committed(history, kafka, group, topic, partitions)
    assert_sound!(history, Keyword.merge([at_end: :all_committed], options))
  end

  @doc "One line."
  @spec summary(report()) :: String.t()
  def summary(report) do
    "history: #{report.events} events, #{report.members} members, #{report.faults} faults; " <>
      "#{report.produced} records, delivered #{report.delivered}, redelivered " <>
      "#{report.redelivered} of #{report.had_to} that had to be, handled #{report.handled}, twice " <>
      "#{report.handled_twice}, out of order #{report.order_breaks}; " <>
      "#{report.violations} violations, checked in #{report.ms} ms"
  end

  @doc "As `check/2`, with the counts of a bad history too."
  @spec run(History.t() | [History.event()], keyword()) :: {report(), [Violation.t()]}
  def run(%History{} = history, options), do: history |> History.events() |> run(options)

  def run(events, options) do
    started = System.monotonic_time(:millisecond)

    options =
      @options |> Keyword.merge(options) |> Keyword.validate!(Keyword.keys(@options)) |> Map.new()

    events = renamed(events)
    state = events |> Replay.run(options) |> of_one_group()
    {counts, missing} = Coverage.check(state)
    found = Enum.reverse(state.violations) ++ suspects(state, events) ++ missing

    report =
      counts
      |> Map.merge(Map.take(state, [:faults, :order_breaks]))
      |> Map.merge(%{events: length(events), members: MapSet.size(state.members)})

    violations =
      for violation <- Enum.take(found, @most), do: Violation.explained(violation, events)

    ms = System.monotonic_time(:millisecond) - started
    {Map.merge(report, %{violations: length(found), ms: ms}), violations}
  end

  @spec of_one_group(State.t()) :: State.t()
  defp of_one_group(%{groups: groups} = state) do
    if MapSet.size(groups) > 1,
      do:
        raise(ArgumentError, "a history is of one group, got: #{inspect(MapSet.to_list(groups))}")

    state
  end

  # A topic that was created again is another one.
  @spec renamed([History.event()]) :: [History.event()]
  defp renamed(events) do
    if Enum.any?(events, &(elem(&1, 2) == :recreated)) do
      {events, _} = Enum.map_reduce(events, %{}, &renamed/2)
      events
    else
      events
    end
  end

  @spec renamed(History.event(), map()) :: {History.event(), map()}
  defp renamed({time, member, kind, {topic, partition} = place, epoch, value}, times) do
    time_of = Map.get(times, place, 1)
    name = if time_of == 1, do: topic, else: "#{topic} (#{time_of})"
    times = if kind == :recreated, do: Map.put(times, place, time_of + 1), else: times
    {{time, member, kind, {name, partition}, epoch, value}, times}
  end

  defp renamed(event, times), do: {event, times}

  @spec suspects(State.t(), [History.event()]) :: [Violation.t()]
  defp suspects(%{suspects: []}, _events), do: []

  defp suspects(state, events) do
    for {track, offset, time} <- state.suspects |> Enum.reverse() |> Enum.take(@most),
        violation = struct!(violation(track), offset: offset, at: time),
        {acked_at, member, :acked, place, epoch, spans} <- events,
        {member, place, epoch} == {track.member, track.place, track.epoch},
        acked_at < time - @grace_ns,
        Spans.member?(spans, offset),
        do: %{violation | text: "#{offset} is delivered again, and was acked"}
  end

  @spec violation(State.track()) :: Violation.t()
  defp violation(track),
    do: struct!(%Violation{invariant: :I3, text: ""}, Map.take(track, [:place, :member, :epoch]))
end
