defmodule Soak.Plan do
  @moduledoc false
  # What happens when in a round: faults at random times, as the process's seed of `:rand` has it.

  alias Soak.{Fault, Faults}

  @type step :: {at_ms :: non_neg_integer(), hold_ms :: non_neg_integer(), Fault.t()}

  # Until everybody has what to do.
  @first_ms 4_000
  @gap_ms 500..5_000

  @spec random(ms :: non_neg_integer()) :: [step()]
  def random(ms), do: random(@first_ms, ms, [], Faults.all())

  # In turns, so that each fault comes once before any comes again.
  @spec random(non_neg_integer(), non_neg_integer(), [Fault.t()], [Fault.t()]) :: [step()]
  defp random(at, ms, _left, _all) when at > ms, do: []

  defp random(at, ms, [], all) do
    turn = Enum.filter(all, &(:rand.uniform(&1.one_in) == 1))
    random(at, ms, Enum.shuffle(turn), all)
  end

  defp random(at, ms, [fault | left], all),
    do: [{at, Enum.random(fault.hold), fault} | random(at + Enum.random(@gap_ms), ms, left, all)]
end
