defmodule Broadway.Topology.BatchProcessor do
  @moduledoc false
  @behaviour Broadway.Topology.Stage

  alias Broadway.Acknowledger

  @impl Broadway.Topology.Stage
  def init(state), do: {:consumer, state, []}

  @impl Broadway.Topology.Stage
  def handle_events([{messages, info}], %{module: module, context: context} = state) do
    handle = fn ->
      returned = module.handle_batch(info.batcher, messages, info, context)
      Acknowledger.returned(returned, messages, module)
    end

    fail = fn status -> Enum.map(messages, &%{&1 | status: status}) end

    {successful, failed} =
      handle |> Acknowledger.guard(fail) |> Enum.split_with(&(&1.status == :ok))

    Acknowledger.settle(successful, failed, state)
    {[], state}
  end
end
