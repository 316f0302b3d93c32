defmodule OffBroadwayRustKafka.Stages do
  @moduledoc false
  # The stages that a producer's messages go through, watched: when one goes down, Broadway never
  # acknowledges what it held, nor what waited for it.

  @enforce_keys [:names]
  defstruct @enforce_keys ++ [monitors: %{}, gone: []]

  @type t :: %__MODULE__{
          names: [GenServer.name()],
          monitors: %{reference() => GenServer.name()},
          gone: [pid()]
        }

  @doc false
  # The names that Broadway gives to its processes.
  @spec names(module(), keyword()) :: [GenServer.name()]
  def names(module, broadway) do
    processors =
      for {key, stage} <- broadway[:processors],
          index <- 0..(processors(stage) - 1),
          do: "Processor_#{key}_#{index}"

    batchers =
      for {key, stage} <- Keyword.get(broadway, :batchers, []),
          base <- ["Batcher_#{key}" | batch_processor_names(key, stage)],
          do: base

    for base <- processors ++ batchers, do: name(module, broadway[:name], base)
  end

  @doc false
  # How many there are: Broadway fills in its defaults when the producer has spoken already.
  @spec processors(keyword()) :: pos_integer()
  def processors(options),
    do: Keyword.get(options, :concurrency, System.schedulers_online() * 2)

  @doc false
  @spec batch_processors(keyword()) :: pos_integer()
  def batch_processors(options), do: Keyword.get(options, :concurrency, 1)

  @spec new([GenServer.name()]) :: t()
  def new(names), do: %__MODULE__{names: names}

  @doc false
  # Watches those that are up and are not watched yet. All are up only when each has also heard of
  # those that are gone: one that has not would go on sending to them.
  @spec watch(t()) :: {:all_up | :some_down, t()}
  def watch(%__MODULE__{names: names, monitors: monitors} = stages) do
    watched = Map.values(monitors)

    new =
      for name <- names -- watched, pid = GenServer.whereis(name), into: %{} do
        {Process.monitor(pid), name}
      end

    stages = %{stages | monitors: Map.merge(monitors, new)}

    if map_size(stages.monitors) == length(names) and all_heard?(stages),
      do: {:all_up, %{stages | gone: []}},
      else: {:some_down, stages}
  end

  @doc false
  # One went down, if it was one of them.
  @spec down(t(), reference(), pid()) :: {:ok, t()} | :error
  def down(%__MODULE__{monitors: monitors, gone: gone} = stages, ref, pid) do
    case Map.pop(monitors, ref) do
      {nil, _} -> :error
      {_, monitors} -> {:ok, %{stages | monitors: monitors, gone: [pid | gone]}}
    end
  end

  # A process monitors those that it sends to, and that monitor ends as the message of its end
  # comes. The end of a process is told to one after another: it may be known here long before.
  @spec all_heard?(t()) :: boolean()
  defp all_heard?(%{gone: []}), do: true

  defp all_heard?(%{gone: gone, names: names}),
    do: Enum.all?([self() | Enum.map(names, &GenServer.whereis/1)], &heard?(&1, gone))

  @spec heard?(pid() | nil, [pid()]) :: boolean()
  defp heard?(nil, _gone), do: false

  defp heard?(pid, gone) do
    case Process.info(pid, :monitors) do
      {:monitors, monitors} -> not Enum.any?(gone, &({:process, &1} in monitors))
      nil -> false
    end
  end

  @spec batch_processor_names(atom(), keyword()) :: [String.t()]
  defp batch_processor_names(key, stage),
    do: for(index <- 0..(batch_processors(stage) - 1), do: "BatchProcessor_#{key}_#{index}")

  @spec name(module(), Broadway.name(), String.t()) :: GenServer.name()
  defp name(module, broadway, base) do
    if function_exported?(module, :process_name, 2),
      do: module.process_name(broadway, base),
      else: :"#{broadway}.Broadway.#{base}"
  end
end
