defmodule Broadway.Topology.Batcher do
  @moduledoc false
  # Open batches by {batch key, partition}. A batch leaves when it is full, when its timer fires, when
  # the messages at hand are through and one of its own says :flush, or when the pipeline drains.

  alias Broadway.BatchInfo
  alias Broadway.Topology.Dispatcher

  @behaviour Broadway.Producer
  @behaviour GenStage

  @impl GenStage
  def init(state), do: {:producer_consumer, Map.put(state, :open, %{})}

  @impl GenStage
  def handle_events(messages, _from, state) do
    {full, state} = Enum.flat_map_reduce(messages, state, &add/2)
    flush = for {key, %{flush?: true}} <- state.open, do: key
    {flushed, state} = close(flush, :flush, state)
    {:noreply, full ++ flushed, state}
  end

  @impl GenStage
  def handle_info({:timeout, timer, _}, state) do
    due = for {key, %{timer: ^timer}} <- state.open, do: key
    {batches, state} = close(due, :timeout, state)
    {:noreply, batches, state}
  end

  def handle_info(_other, state), do: {:noreply, [], state}

  @impl Broadway.Producer
  def prepare_for_draining(state) do
    {batches, state} = close(Map.keys(state.open), :flush, state)
    {:noreply, batches, state}
  end

  defp add(message, %{options: options} = state) do
    key = {message.batch_key, Dispatcher.partition(message, options)}
    batch = state.open[key] || open(options)
    flush? = batch.flush? or message.batch_mode == :flush
    batch = %{batch | messages: [message | batch.messages], flush?: flush?}
    state = put_in(state.open[key], batch)
    full? = length(batch.messages) == options[:batch_size]
    close(if(full?, do: [key], else: []), :size, state)
  end

  defp open(options) do
    timer = :erlang.start_timer(options[:batch_timeout], self(), :batch)
    %{timer: timer, messages: [], flush?: false}
  end

  defp close(keys, trigger, state) do
    Enum.map_reduce(keys, state, fn {batch_key, partition} = key, state ->
      {%{timer: timer, messages: messages}, state} = pop_in(state.open[key])
      :erlang.cancel_timer(timer)
      info = %BatchInfo{batcher: state.key, batch_key: batch_key, partition: partition}
      info = %{info | size: length(messages), trigger: trigger}
      {{Enum.reverse(messages), info}, state}
    end)
  end
end
