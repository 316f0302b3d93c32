defmodule Bench.Await do
  @moduledoc false
  # Waiting for what a connector counts, without a part in it.

  @patience_ms 30_000

  @spec now_us() :: integer()
  def now_us, do: System.monotonic_time(:microsecond)

  @doc "Looks every `poll` ms whether there are enough; at the latest at `until` (`now_us/0`)."
  @spec count((() -> count), enough :: pos_integer(), until :: integer(), poll :: pos_integer()) ::
          count
        when count: non_neg_integer()
  def count(count, enough, until, poll) do
    counted = count.()

    if counted >= enough or now_us() >= until do
      counted
    else
      Process.sleep(poll)
      count(count, enough, until, poll)
    end
  end

  @doc "The first record must come within half a minute."
  @spec first((() -> non_neg_integer())) :: {:ok, pos_integer()} | {:error, String.t()}
  def first(count) do
    case count(count, 1, now_us() + @patience_ms * 1000, 1) do
      0 -> {:error, "no record within #{div(@patience_ms, 1000)} s"}
      counted -> {:ok, counted}
    end
  end
end
