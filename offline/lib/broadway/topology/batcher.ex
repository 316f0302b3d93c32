defmodule Broadway.Topology.Batcher do
  @moduledoc false
  # Open batches by {batch key, partition}. A batch leaves when it is full, when its timer fires, at
  # the end of a run of messages of which one says :flush, or when the pipeline drains.

  @behaviour Broadway.Topology.Stage

  alias Broadway.{BatchInfo, Topology}

  @impl Broadway.Topology.Stage
  def init(%{options: options} = state) do
    partitions = [
      partitions: options[:concurrency],
      hash: fn {_, info} = batch -> {batch, info.partition} end
    ]

    by_partition = {GenStage.PartitionDispatcher, partitions}
    dispatcher = if options[:partition_by], do: by_partition, else: GenStage.DemandDispatcher
    {:producer_consumer, Map.put(state, :open, %{}), dispatcher: dispatcher}
  end

  @impl Broadway.Topology.Stage
  def handle_events(messages, state) do
    messages
    |> Enum.chunk_by(&key(&1, state))
    |> Enum.flat_map_reduce(state, fn [first | _] = run, state ->
      key = key(first, state)
      {full, state} = Enum.flat_map_reduce(run, state, &add(&1, key, &2))
      batch = state.open[key]
      flush? = batch && Enum.any?(batch.messages, &(&1.batch_mode == :flush))
      {flushed, state} = if flush?, do: close(key, :flush, state), else: {[], state}
      {full ++ flushed, state}
    end)
  end

  @impl Broadway.Topology.Stage
  def handle_timeout(timer, key, state) do
    # A batch that was closed meanwhile may have a successor, with a timer of its own.
    due? = match?(%{^key => %{timer: ^timer}}, state.open)
    if due?, do: close(key, :timeout, state), else: {[], state}
  end

  @impl Broadway.Topology.Stage
  def flush(state), do: Enum.flat_map_reduce(Map.keys(state.open), state, &close(&1, :flush, &2))

  defp key(message, state), do: {message.batch_key, Topology.partition(message, state.options)}

  defp add(message, key, state) do
    batch = state.open[key] || open(key, state.options)
    {verdict, acc} = batch.count.(message, batch.acc)
    batch = %{batch | acc: acc, messages: [message | batch.messages]}
    state = put_in(state.open[key], batch)
    if verdict == :emit, do: close(key, :size, state), else: {[], state}
  end

  defp open(key, options) do
    {acc, count} =
      with size when is_integer(size) <- options[:batch_size], do: {size, &countdown/2}

    timer = :erlang.start_timer(options[:batch_timeout], self(), key)
    %{timer: timer, acc: acc, count: count, messages: []}
  end

  defp countdown(_message, left), do: {if(left == 1, do: :emit, else: :cont), left - 1}

  defp close({batch_key, partition} = key, trigger, state) do
    {%{timer: timer, messages: messages}, state} = pop_in(state.open[key])
    :erlang.cancel_timer(timer)
    info = %BatchInfo{batcher: state.key, batch_key: batch_key, partition: partition}
    {[{Enum.reverse(messages), %{info | size: length(messages), trigger: trigger}}], state}
  end
end
