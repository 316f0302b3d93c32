defmodule Demo.Outcome do
  @moduledoc false
  # What came out, partition by partition, and every way in which it is not what it must be.

  alias Demo.{Latency, Ledger, Source}

  @enforce_keys [:source, :ledger, :halfway, :committed, :high_watermarks, :acks]
  defstruct @enforce_keys ++ [:again]

  @typedoc """
  * `halfway` - at the stop in the middle: what was handled, and what the broker said was committed
  * `committed`, `high_watermarks` - after the last stop, as the broker says
  * `acks` - of each partition, how many the last run's member counted
  * `again` - the ledger of a second reading without a stop, if there was need for one
  """
  @type t :: %__MODULE__{
          source: Source.t(),
          ledger: Ledger.t(),
          halfway: [halfway()],
          committed: [non_neg_integer() | nil],
          high_watermarks: [non_neg_integer()],
          acks: %{non_neg_integer() => non_neg_integer()},
          again: Ledger.t() | nil
        }

  @type halfway ::
          {count :: non_neg_integer(), last :: integer(), committed :: non_neg_integer() | nil}

  @type row :: %{
          partition: non_neg_integer(),
          first: non_neg_integer(),
          last: non_neg_integer() | nil,
          acked: non_neg_integer(),
          committed: non_neg_integer() | nil,
          lag: integer(),
          p50: float() | nil,
          p99: float() | nil,
          problems: [String.t()]
        }

  @doc "What was handled up to now, and what is committed."
  @spec halfway(Ledger.t(), [non_neg_integer() | nil]) :: [halfway()]
  def halfway(ledger, committed) do
    for {committed, p} <- Enum.with_index(committed),
        do: {Ledger.count(ledger, p), Ledger.last(ledger, :handled, p), committed}
  end

  @doc "How many of `count` records up to the offset `last` were acked: a member commits no others."
  @spec acked(non_neg_integer(), integer(), non_neg_integer() | nil) :: non_neg_integer()
  def acked(_count, _last, nil), do: 0
  def acked(count, last, committed), do: max(count - max(last + 1 - committed, 0), 0)

  @spec rows(t()) :: [row()]
  def rows(outcome), do: for(p <- Ledger.partitions(outcome.ledger), do: row(outcome, p))

  @doc "How many offsets before the target were passed over."
  @spec gaps(Ledger.t(), Source.t()) :: non_neg_integer()
  def gaps(ledger, source) do
    for p <- Ledger.partitions(ledger),
        {previous, offset} <- gaps(ledger, source, p),
        reduce: 0 do
      count -> count + offset - previous - 1
    end
  end

  @spec row(t(), non_neg_integer()) :: row()
  defp row(%{ledger: ledger} = outcome, p) do
    committed = Enum.at(outcome.committed, p)
    {count, last, halfway} = Enum.at(outcome.halfway, p)
    later = Ledger.count(ledger, p) - count
    delivered = Ledger.last(ledger, :delivered, p)
    waits = ledger.waits[Source.since(outcome.source)]

    %{
      partition: p,
      first: elem(ledger.first, p),
      last: if(delivered >= elem(ledger.first, p), do: delivered),
      acked:
        acked(count, last, halfway) +
          acked(later, Ledger.last(ledger, :handled, p), committed),
      committed: committed,
      lag: Enum.at(outcome.high_watermarks, p) - (committed || elem(ledger.first, p)),
      p50: Latency.percentile(waits, [p], 0.5),
      p99: Latency.percentile(waits, [p], 0.99),
      problems: problems(outcome, p)
    }
  end

  @spec problems(t(), non_neg_integer()) :: [String.t()]
  defp problems(outcome, p) do
    out_of_order(outcome, p) ++
      halfway_problems(outcome, p) ++ end_problems(outcome, p) ++ ack_problems(outcome, p)
  end

  @spec out_of_order(t(), non_neg_integer()) :: [String.t()]
  defp out_of_order(%{source: source, ledger: ledger} = outcome, p) do
    no_record = if outcome.again, do: gaps(outcome.again, source, p), else: []
    missing = gaps(ledger, source, p) -- no_record

    backward =
      for place <- [:delivered, :handled],
          {previous, offset} <- Ledger.jumps(ledger, place, p),
          offset <= previous,
          do: "offset #{offset} was #{place} after #{previous}"

    backward ++ for {previous, offset} <- missing, do: missing(previous + 1, offset - 1)
  end

  @spec missing(non_neg_integer(), non_neg_integer()) :: String.t()
  defp missing(offset, offset), do: "offset #{offset} was not handled in its turn"
  defp missing(from, to), do: "offsets #{from} to #{to} were not handled in their turn"

  # Past the target, a topic of the user's may grow while it is read: that is not looked at.
  @spec gaps(Ledger.t(), Source.t(), non_neg_integer()) :: [Ledger.jump()]
  defp gaps(ledger, source, p) do
    target = Enum.at(source.target, p)

    jumps =
      for {previous, offset} <- Ledger.jumps(ledger, :handled, p),
          offset > previous + 1 and previous + 1 < target,
          do: {previous, min(offset, target)}

    last = Ledger.last(ledger, :handled, p)
    if last + 1 < target, do: jumps ++ [{last, target}], else: jumps
  end

  @spec halfway_problems(t(), non_neg_integer()) :: [String.t()]
  defp halfway_problems(outcome, p) do
    {_count, last, committed} = Enum.at(outcome.halfway, p)
    committed_problems(outcome.source, last + 1, committed, "at the stop in the middle")
  end

  @spec end_problems(t(), non_neg_integer()) :: [String.t()]
  defp end_problems(%{source: source} = outcome, p) do
    target = Enum.at(source.target, p)
    next = max(Ledger.last(outcome.ledger, :handled, p) + 1, target)
    high = Enum.at(outcome.high_watermarks, p)

    grown =
      if Source.ours?(source) and high != target,
        do: ["the high watermark is #{high} after #{target} records"],
        else: []

    committed_problems(source, next, Enum.at(outcome.committed, p), "in the end") ++ grown
  end

  # Behind the last record of a user's topic there may be offsets without one, and the member's
  # position moves over them.
  @spec committed_problems(Source.t(), non_neg_integer(), non_neg_integer() | nil, String.t()) ::
          [String.t()]
  defp committed_problems(source, next, committed, at) do
    good? =
      committed == next or (not Source.ours?(source) and committed != nil and committed > next)

    shown = committed || "nothing"
    if good?, do: [], else: ["committed #{at} was #{shown}, where #{next} was due"]
  end

  @spec ack_problems(t(), non_neg_integer()) :: [String.t()]
  defp ack_problems(outcome, p) do
    {before, _last, _committed} = Enum.at(outcome.halfway, p)
    handled = Ledger.count(outcome.ledger, p) - before
    acks = Map.get(outcome.acks, p, 0)
    grew? = Ledger.last(outcome.ledger, :handled, p) >= Enum.at(outcome.source.target, p)

    if acks == handled or grew?,
      do: [],
      else: ["the member counted #{acks} acks for the #{handled} records of the last run"]
  end
end
