defmodule Broadway.Topology.BatchProcessor do
  @moduledoc false

  alias Broadway.{Acknowledger, Message}

  @behaviour GenStage

  @impl GenStage
  def init(state), do: {:consumer, state}

  @impl GenStage
  def handle_events([{messages, info}], _from, %{module: module, context: context} = state) do
    handle = fn ->
      returned = module.handle_batch(info.batcher, messages, info, context)
      Enum.map(returned, fn %Message{} = message -> message end)
    end

    fail = fn status -> Enum.map(messages, &%{&1 | status: status}) end

    {successful, failed} =
      handle |> Acknowledger.guard(fail) |> Enum.split_with(&(&1.status == :ok))

    Acknowledger.settle(successful, failed, state)
    {:noreply, [], state}
  end
end
