defmodule Broadway.Topology.Processor do
  @moduledoc false

  alias Broadway.{Acknowledger, Message}

  @behaviour GenStage

  @impl GenStage
  def init(state), do: {:producer_consumer, state}

  @impl GenStage
  def handle_events(messages, _from, %{batchers: batchers} = state) do
    {successful, failed} =
      messages |> Enum.map(&handle_message(&1, state)) |> Enum.split_with(&(&1.status == :ok))

    {done, forward} = if batchers == [], do: {successful, []}, else: {[], successful}
    Acknowledger.settle(done, failed, state)
    {:noreply, forward, state}
  end

  defp handle_message(message, %{module: module, batchers: batchers} = state) do
    handle = fn ->
      %Message{} = handled = module.handle_message(state.key, message, state.context)

      if handled.status == :ok and batchers != [] and handled.batcher not in batchers,
        do: raise("unknown batcher #{inspect(handled.batcher)}, known are: #{inspect(batchers)}")

      handled
    end

    Acknowledger.guard(handle, fn status -> %{message | status: status} end)
  end
end
