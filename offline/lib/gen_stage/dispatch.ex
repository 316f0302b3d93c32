defmodule GenStage.Dispatch do
  @moduledoc false
  # The outgoing side of a stage, both dispatchers at once: per partition a queue of events and the
  # demand of its consumers. DemandDispatcher is one partition that all consumers share, and its
  # queue survives them; PartitionDispatcher has one consumer a partition, and the queue goes with it.

  # wanted: asked for by consumers beyond what was emitted (below zero: events in excess).
  # owed: asked of the producer and not yet emitted.
  # marks: messages, each waiting until its partitions have sent so many events.
  defstruct [:hash, parts: %{}, wanted: 0, owed: 0, marks: []]

  @part %{queue: :queue.new(), size: 0, sent: 0, consumers: []}

  def new({GenStage.PartitionDispatcher, opts}) do
    keys =
      if is_integer(opts[:partitions]), do: 0..(opts[:partitions] - 1), else: opts[:partitions]

    %__MODULE__{hash: opts[:hash], parts: Map.new(keys, &{&1, @part})}
  end

  def new(_demand_dispatcher), do: %__MODULE__{parts: %{nil => @part}}

  def subscribe(out, {pid, ref}, partition) do
    update_in(out.parts[out.hash && partition].consumers, &(&1 ++ [{ref, pid, 0}]))
  end

  def ask(out, ref, count) do
    {key, {_, pid, demand}} = find(out, ref)
    replace = &List.keyreplace(&1, ref, 0, {ref, pid, demand + count})
    out = update_in(out.parts[key].consumers, replace)
    send_out(%{out | wanted: out.wanted + count}, [key])
  end

  def cancel(out, ref) do
    {key, {_, _, demand}} = find(out, ref)
    out = update_in(out.parts[key].consumers, &List.keydelete(&1, ref, 0))
    {lost, out} = if out.hash, do: clear(out, key), else: {0, out}
    release(%{out | wanted: out.wanted - demand + lost})
  end

  defp clear(out, key) do
    get_and_update_in(out.parts[key], fn %{size: size, sent: sent} = part ->
      {size, %{part | queue: :queue.new(), size: 0, sent: sent + size}}
    end)
  end

  def emit(out, events) do
    hash = out.hash || (&{&1, nil})
    groups = events |> Enum.map(hash) |> Enum.group_by(&elem(&1, 1), &elem(&1, 0))
    count = length(events)
    out = %{out | wanted: out.wanted - count, owed: max(out.owed - count, 0)}
    groups |> Enum.reduce(out, &enqueue/2) |> send_out(Map.keys(groups))
  end

  @doc "What to ask the producer for now: what is wanted and has not been asked for."
  def take_demand(out) do
    demand = max(out.wanted - out.owed, 0)
    {demand, %{out | owed: out.owed + demand}}
  end

  @doc "Sends the calling process `message` when all that is queued now has been sent."
  def mark(out, message) do
    waits = for {key, part} <- out.parts, do: {key, part.sent + part.size}
    release(%{out | marks: out.marks ++ [{message, waits}]})
  end

  defp find(out, ref) do
    Enum.find_value(out.parts, fn {key, part} ->
      consumer = List.keyfind(part.consumers, ref, 0)
      consumer && {key, consumer}
    end)
  end

  defp enqueue({key, events}, out) do
    update_in(out.parts[key], fn %{queue: queue, size: size} = part ->
      queue = :queue.join(queue, :queue.from_list(events))
      %{part | queue: queue, size: size + length(events)}
    end)
  end

  defp send_out(out, keys),
    do: keys |> Enum.reduce(out, &update_in(&2.parts[&1], fn p -> deliver(p) end)) |> release()

  # The hungriest consumer first; one that was served goes behind its equals.
  defp deliver(%{size: size, consumers: [_ | _] = consumers} = part) when size > 0 do
    {ref, pid, demand} = Enum.max_by(consumers, &elem(&1, 2))
    count = min(demand, size)

    if count == 0 do
      part
    else
      {now, later} = :queue.split(count, part.queue)
      send(pid, {:"$gen_consumer", {self(), ref}, :queue.to_list(now)})
      consumers = List.keydelete(consumers, ref, 0) ++ [{ref, pid, demand - count}]
      sent = part.sent + count
      deliver(%{part | queue: later, size: size - count, sent: sent, consumers: consumers})
    end
  end

  defp deliver(part), do: part

  defp release(out) do
    due? = fn {_, waits} -> Enum.all?(waits, fn {key, n} -> out.parts[key].sent >= n end) end
    {due, marks} = Enum.split_with(out.marks, due?)
    Enum.each(due, fn {message, _} -> send(self(), message) end)
    %{out | marks: marks}
  end
end
