defmodule OffBroadwayRustKafka.Pull do
  @moduledoc false
  # Takes records of a lane, on the scheduler that suits their number.

  alias OffBroadwayRustKafka.Native

  # Records that are taken on a normal scheduler.
  @few 100

  @spec few() :: pos_integer()
  def few, do: @few

  @doc "Few records are taken sooner than a dirty scheduler is woken for them."
  @spec take(Native.consumer(), non_neg_integer(), pos_integer(), few :: non_neg_integer()) ::
          {:more | :armed, non_neg_integer(), [Native.run()] | [Native.chunk()]}
  def take(consumer, lane, demand, few \\ @few)

  def take(consumer, lane, demand, few) when demand <= few do
    with {:more, 0, []} <- Native.pull_short(consumer, lane, demand),
         do: Native.pull(consumer, lane, demand)
  end

  def take(consumer, lane, demand, _few), do: Native.pull(consumer, lane, demand)
end
