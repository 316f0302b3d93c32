defmodule OffBroadwayRustKafka.Pull do
  @moduledoc false
  # Takes records of a lane, on the scheduler that suits them.

  alias OffBroadwayRustKafka.Native

  # Messages that a call on a normal scheduler may bring.
  @few 100

  @spec few() :: pos_integer()
  def few, do: @few

  @doc """
  Up to `few` messages are taken sooner than a dirty scheduler is woken for all; whoever wants more asks
  again. One is woken for what is too large or too busy for a normal one, and for all when `few` is 0.
  """
  @spec take(Native.consumer(), non_neg_integer(), pos_integer(), few :: non_neg_integer()) ::
          {:more | :armed, non_neg_integer(), [Native.run()] | [Native.chunk()]}
  def take(consumer, lane, demand, few \\ @few)

  def take(consumer, lane, demand, 0), do: Native.pull(consumer, lane, demand)

  def take(consumer, lane, demand, few) do
    at_most = min(demand, few)

    case Native.pull_short(consumer, lane, at_most) do
      {:more, count, runs} when count < at_most ->
        {status, rest, others} = Native.pull(consumer, lane, demand - count)
        {status, count + rest, runs ++ others}

      taken ->
        taken
    end
  end
end
