defmodule Broadway.Topology.Layout do
  @moduledoc false
  # The stages of a pipeline, by its options.

  alias Broadway.Topology.{Batcher, BatchProcessor, Dispatcher, Processor, Stage}

  @spec producers(keyword()) :: [Stage.t()]
  def producers(opts) do
    {module, arg} = opts[:producer][:module]
    [{_, processor}] = opts[:processors]
    out = Dispatcher.new(indexes(processor), &Dispatcher.partition(&1, processor))

    for index <- indexes(opts[:producer]) do
      arg = Keyword.put(arg, :broadway, Keyword.put(opts, :index, index))
      %Stage{name: name(opts, "Producer_#{index}"), module: module, arg: arg, out: out}
    end
  end

  @spec consumers(module(), keyword()) :: [Stage.t()]
  def consumers(module, opts) do
    [{key, processor}] = opts[:processors]
    pipeline = %{module: module, context: opts[:context]}
    batchers = Keyword.keys(opts[:batchers])

    processors =
      for index <- indexes(processor) do
        %Stage{
          name: name(opts, "Processor_#{key}_#{index}"),
          module: Processor,
          arg: Map.merge(pipeline, %{key: key, batchers: batchers}),
          subscribe_to: Enum.map(producers(opts), & &1.name),
          resubscribe_interval: opts[:resubscribe_interval],
          partition: index,
          max_demand: processor[:max_demand],
          min_demand: processor[:min_demand] || div(processor[:max_demand], 2),
          out: Dispatcher.new(batchers, & &1.batcher)
        }
      end

    names = Enum.map(processors, & &1.name)
    processors ++ Enum.flat_map(opts[:batchers], &batcher(&1, names, pipeline, opts))
  end

  defp batcher({key, batcher}, processors, pipeline, opts) do
    max_demand = batcher[:max_demand] || batcher[:batch_size]

    stage = %Stage{
      name: name(opts, "Batcher_#{key}"),
      module: Batcher,
      arg: %{key: key, options: batcher},
      subscribe_to: processors,
      partition: key,
      max_demand: max_demand,
      min_demand: div(max_demand, 2),
      out: Dispatcher.new(indexes(batcher), fn {_messages, info} -> info.partition end)
    }

    batch_processors =
      for index <- indexes(batcher) do
        %Stage{
          name: name(opts, "BatchProcessor_#{key}_#{index}"),
          module: BatchProcessor,
          arg: pipeline,
          subscribe_to: [stage.name],
          partition: index
        }
      end

    [stage | batch_processors]
  end

  defp name(opts, stage), do: :"#{opts[:name]}.Broadway.#{stage}"
  defp indexes(stages), do: 0..(stages[:concurrency] - 1)
end
