defmodule OffBroadwayRustKafka.History.MadeUp do
  @moduledoc false
  # Histories of one partition that nobody lived through, for tests of the checker: each event one
  # millisecond after the one before, `pause/1` aside.

  import ExUnit.Assertions

  alias OffBroadwayRustKafka.{Checker, History}
  alias OffBroadwayRustKafka.Checker.Violation
  alias OffBroadwayRustKafka.History.Spans

  @place {"orders", 0}
  @member "a#1"

  @type step ::
          {History.member() | nil, History.kind(), term(), term(), term()} | {:pause, integer()}

  # A slice that is longer is none.
  @most_lines 10

  @doc "This history breaks nothing."
  @spec assert_sound([step() | list()], keyword()) :: Checker.report()
  def assert_sound(steps, options \\ []) do
    assert {:ok, report} = steps |> events() |> Checker.check(options)
    report
  end

  @doc "This one does, and what is said of it names these numbers; so does the slice, the first."
  @spec assert_caught(atom(), [step() | list()], [integer(), ...], keyword()) :: Violation.t()
  def assert_caught(invariant, steps, [offset | _] = named, options \\ []) do
    assert {:error, [violation | _]} = steps |> events() |> Checker.check(options)
    text = Violation.format(violation)
    assert {violation.invariant, text} == {invariant, text}
    [first | lines] = String.split(text, "\n")
    for number <- named, do: assert(first =~ ~r/\b#{number}\b/, text)
    assert length(lines) in 1..@most_lines, text
    assert Enum.any?(lines, &names?(&1, offset)), text
    violation
  end

  # Alone, or within a range.
  @spec names?(String.t(), integer()) :: boolean()
  defp names?(line, number) do
    line =~ ~r/\b#{number}\b/ or
      Enum.any?(Regex.scan(~r/\b(\d+)\.\.(\d+)\b/, line), fn [_, first, last] ->
        number in String.to_integer(first)..String.to_integer(last)
      end)
  end

  @spec events([step() | list()]) :: [History.event()]
  def events(steps) do
    {events, _} =
      steps
      |> List.flatten()
      |> Enum.flat_map_reduce(1_000_000_000_000, fn
        {:pause, ms}, time ->
          {[], time + ms * 1_000_000}

        {member, kind, place, epoch, value}, time ->
          {[{time, member, kind, place, epoch, value}], time + 1_000_000}
      end)

    events
  end

  @spec place() :: History.place()
  def place, do: @place

  @spec pause(pos_integer()) :: step()
  def pause(ms), do: {:pause, ms}

  @doc "The offsets up to `last`, without the gaps."
  @spec produced(integer(), [Spans.offset_or_range()]) :: step()
  def produced(last, gaps \\ []),
    do: {nil, :produced, @place, nil, {0, last + 1, Spans.new(gaps)}}

  @spec started(History.member()) :: [step()]
  def started(member \\ @member),
    do: [{member, :started, nil, nil, "group"}, {member, :lane, nil, nil, 0}]

  @doc "One that was assigned all, from 0."
  @spec alone() :: [step()]
  def alone, do: [started(), assigned(1, 0)]

  @spec stopped(History.member()) :: [step()]
  def stopped(member \\ @member),
    do: [
      {member, :draining, nil, nil, 0},
      {member, :closed, nil, nil, nil},
      {member, :stopped, nil, nil, :shutdown}
    ]

  @spec assigned(integer(), integer(), keyword()) :: step()
  def assigned(epoch, start, options \\ []), do: of(options, :assigned, epoch, start)

  @spec revoked(integer(), integer(), keyword()) :: step()
  def revoked(epoch, unacked, options \\ []), do: of(options, :revoked, epoch, unacked)

  @spec demanded(pos_integer()) :: step()
  def demanded(count), do: {@member, :demanded, nil, nil, {0, count}}

  @doc "Delivered, whether asked for or not."
  @spec emitted(integer(), [Spans.offset_or_range()], keyword()) :: step()
  def emitted(epoch, offsets, options \\ []),
    do: of(options, :delivered, epoch, {options[:lane] || 0, spans(offsets)})

  @doc "Asked for, and delivered."
  @spec delivered(integer(), [Spans.offset_or_range()], keyword()) :: [step()]
  def delivered(epoch, offsets, options \\ []) do
    count = offsets |> spans() |> Spans.count()
    demanded = {options[:by] || @member, :demanded, nil, nil, {options[:lane] || 0, count}}
    [demanded, emitted(epoch, offsets, options)]
  end

  @spec handled(integer(), [Spans.offset_or_range()], keyword()) :: step()
  def handled(epoch, offsets, options \\ []), do: of(options, :handled, epoch, spans(offsets))

  @spec acked(integer(), [Spans.offset_or_range()], keyword()) :: step()
  def acked(epoch, offsets, options \\ []), do: of(options, :acked, epoch, spans(offsets))

  @doc "Delivered, handled and acked."
  @spec done(integer(), [Spans.offset_or_range()], keyword()) :: [step()]
  def done(epoch, offsets, options \\ []),
    do: [
      delivered(epoch, offsets, options),
      handled(epoch, offsets, options),
      acked(epoch, offsets, options)
    ]

  @spec committed(integer(), keyword()) :: step()
  def committed(offset, options \\ []),
    do: of(options, :committed, nil, {offset, options[:latency_us] || 100})

  @doc "Anything else of the partition."
  @spec of_place(History.kind(), term(), keyword()) :: step()
  def of_place(kind, value, options \\ []), do: of(options, kind, options[:epoch], value)

  @doc "Anything else, of the test or of a member."
  @spec told(History.kind(), term(), keyword()) :: step()
  def told(kind, value, options \\ []), do: {options[:by], kind, nil, nil, value}

  # In the order given: a bad history may have them in any.
  @spec spans([Spans.offset_or_range()]) :: Spans.t()
  defp spans(offsets) do
    Enum.map(offsets, fn
      first..last//_ -> {first, last}
      {first, last} -> {first, last}
      offset -> {offset, offset}
    end)
  end

  @spec of(keyword(), History.kind(), integer() | nil, term()) :: step()
  defp of(options, kind, epoch, value), do: {options[:by] || @member, kind, @place, epoch, value}
end
