defmodule Broadway.Topology.Dispatcher do
  @moduledoc false
  # The outgoing side of a stage: for each partition its one consumer, how many events this has asked
  # for and not got, and the events that wait for it.

  defstruct [:hash, partitions: %{}, closed?: false]

  @type t :: %__MODULE__{}
  @type consumer :: {pid(), subscription :: reference()}

  @partition %{consumer: nil, demand: 0, queue: []}

  @spec new(Enumerable.t(), (event :: term() -> partition :: term())) :: t()
  def new(keys, hash), do: %__MODULE__{hash: hash, partitions: Map.new(keys, &{&1, @partition})}

  @doc "Which of a set of stages a message goes to."
  @spec partition(Broadway.Message.t(), keyword()) :: non_neg_integer()
  def partition(message, options) do
    partition_by = options[:partition_by] || fn _ -> 0 end
    rem(partition_by.(message), options[:concurrency])
  end

  @doc "How many events are wanted beyond those that wait."
  @spec wanted(t()) :: integer()
  def wanted(out),
    do: Enum.sum(for {_, part} <- out.partitions, do: part.demand - length(part.queue))

  @doc "Two consumers of a partition are refused, as by GenStage: one that is gone was not heard of yet."
  @spec subscribe(t(), term(), consumer(), pos_integer()) :: t()
  def subscribe(out, key, consumer, demand) do
    update(out, key, fn
      %{consumer: nil} = part -> %{part | consumer: consumer, demand: demand}
      %{consumer: {pid, _}} -> raise "partition #{inspect(key)} is taken by #{inspect(pid)}"
    end)
  end

  @spec ask(t(), term(), consumer(), pos_integer()) :: t()
  def ask(out, key, consumer, count) do
    update(out, key, fn
      %{consumer: ^consumer} = part -> %{part | demand: part.demand + count}
      of_another -> of_another
    end)
  end

  @doc "What waits for a consumer that is gone goes with it."
  @spec cancel(t(), term(), pid()) :: t()
  def cancel(out, key, pid) do
    update(out, key, fn
      %{consumer: {^pid, _}} -> @partition
      of_another -> of_another
    end)
  end

  @spec emit(t(), [term()]) :: t()
  def emit(out, events) when events == [] or out.closed?, do: out

  def emit(out, events) do
    for {key, events} <- Enum.group_by(events, out.hash), reduce: out do
      out -> update(out, key, &%{&1 | queue: &1.queue ++ events})
    end
  end

  @doc "Tells each consumer, after all that waits for it, that this was the end."
  @spec close(t()) :: t()
  def close(out) do
    for {key, _} <- out.partitions, reduce: %{out | closed?: true} do
      out -> update(out, key, & &1)
    end
  end

  defp update(out, key, change),
    do: update_in(out.partitions[key], &(&1 |> change.() |> deliver(out.closed?)))

  defp deliver(%{consumer: nil} = part, _closed?), do: part

  defp deliver(%{consumer: {pid, subscription}} = part, closed?) do
    {now, later} = Enum.split(part.queue, part.demand)
    if now != [], do: GenServer.cast(pid, {:from, subscription, now})
    if later == [] and closed?, do: GenServer.cast(pid, {:from, subscription, :end})
    %{part | queue: later, demand: part.demand - length(now)}
  end
end
