defmodule Broadway.Topology.Processor do
  @moduledoc false
  @behaviour Broadway.Topology.Stage

  alias Broadway.{Acknowledger, Message}

  @impl Broadway.Topology.Stage
  def init(%{batchers: []} = state), do: {:consumer, state, []}

  def init(%{batchers: batchers} = state) do
    by_batcher = {GenStage.PartitionDispatcher, partitions: batchers, hash: &{&1, &1.batcher}}
    {:producer_consumer, state, dispatcher: by_batcher}
  end

  @impl Broadway.Topology.Stage
  def handle_events(messages, %{module: module, context: context} = state) do
    prepare? = function_exported?(module, :prepare_messages, 2)
    prepare = fn -> {prepared(module.prepare_messages(messages, context), messages), []} end
    fail = fn status -> {[], Enum.map(messages, &%{&1 | status: status})} end

    {messages, unprepared} =
      if prepare?, do: Acknowledger.guard(prepare, fail), else: {messages, []}

    {successful, failed} =
      messages |> Enum.map(&handle(&1, state)) |> Enum.split_with(&(&1.status == :ok))

    {done, forward} = if state.batchers == [], do: {successful, []}, else: {[], successful}
    Acknowledger.settle(done, unprepared ++ failed, state)
    {forward, state}
  end

  defp prepared(prepared, given) when length(prepared) == length(given), do: prepared
  defp prepared(_, _), do: raise("prepare_messages/2 must return all messages given to it")

  defp handle(message, state) do
    Acknowledger.guard(
      fn -> state.key |> state.module.handle_message(message, state.context) |> check(state) end,
      fn status -> %{message | status: status} end
    )
  end

  defp check(%Message{status: :ok, batcher: batcher} = message, %{batchers: [_ | _] = known}) do
    if batcher in known,
      do: message,
      else: raise("unknown batcher #{inspect(batcher)}, known are: #{inspect(known)}")
  end

  defp check(%Message{} = message, _state), do: message

  defp check(other, _),
    do: raise("expected a message from handle_message/3, got: #{inspect(other)}")
end
