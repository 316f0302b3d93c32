defmodule Broadway.Topology do
  @moduledoc false
  # The process that carries the pipeline's name. Its supervisor is rest_for_one: the producer's own
  # children, producers, processors, batchers, terminator. Stopped in reverse order, the terminator
  # drains the pipeline while every stage is still alive.

  use GenServer

  alias Broadway.Topology.{BatchProcessor, Batcher, Processor, Stage, Terminator}

  def info(name),
    do: :persistent_term.get({__MODULE__, name}, nil) || exit({:noproc, {__MODULE__, name}})

  def names, do: for({{__MODULE__, name}, _} <- :persistent_term.get(), do: name)

  @impl GenServer
  def init({module, opts}) do
    Process.flag(:trap_exit, true)
    {children, opts} = prepare_for_start(module, opts)
    [{key, processor}] = opts[:processors]
    processor = Keyword.put_new(processor, :concurrency, System.schedulers_online() * 2)
    opts = Keyword.put(opts, :processors, [{key, processor}])
    name = &:"#{opts[:name]}.Broadway.#{&1}"
    limits = {opts[:max_restarts], opts[:max_seconds]}
    children = children ++ stages(module, opts, name)
    %{start: {_, _, args}} = supervisor(name.("Supervisor"), :rest_for_one, limits, children)
    {:ok, supervisor} = apply(Supervisor, :start_link, args)

    time = %{system_time: System.monotonic_time()}
    metadata = %{config: opts, supervisor_pid: supervisor}
    :telemetry.execute([:broadway, :topology, :init], time, metadata)

    producers = names(name.("Producer"), opts[:producer])
    info = %{producer_names: producers, topology: describe(opts, name)}
    :persistent_term.put({__MODULE__, opts[:name]}, info)
    {:ok, %{name: opts[:name], supervisor: supervisor, terminator: name.("Terminator")}}
  end

  @impl GenServer
  def handle_info({:EXIT, pid, reason}, %{supervisor: pid} = state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(reason, %{name: name, supervisor: supervisor, terminator: terminator}) do
    Terminator.arm(terminator)
    monitor = Process.monitor(supervisor)
    Process.exit(supervisor, if(reason == :killed, do: :kill, else: reason))

    receive do
      {:DOWN, ^monitor, _, _, _} -> :persistent_term.erase({__MODULE__, name})
    end
  end

  defp prepare_for_start(module, opts) do
    {producer, _} = opts[:producer][:module]

    if Code.ensure_loaded?(producer) and function_exported?(producer, :prepare_for_start, 2) do
      {children, opts} = producer.prepare_for_start(module, opts)
      {children, NimbleOptions.validate!(opts, Broadway.Options.definition())}
    else
      {[], opts}
    end
  end

  defp stages(module, opts, name) do
    [{key, processor}] = opts[:processors]
    producers = names(name.("Producer"), opts[:producer])
    processors = names(name.("Processor_#{key}"), processor)
    common = %{module: module, context: opts[:context], terminator: name.("Terminator")}
    common = Map.put(common, :resubscribe, :never)

    stage = fn role, own_name, args ->
      args = Map.merge(common, Map.put(args, :role, role))
      child(GenStage, [Stage, args, [name: own_name]], own_name, opts)
    end

    producer_specs =
      for {own_name, index} <- Enum.with_index(producers), do: producer(own_name, index, opts)

    processor_specs =
      for {own_name, index} <- Enum.with_index(processors) do
        demand = Keyword.take(processor, [:min_demand, :max_demand])

        stage.(Processor, own_name, %{
          key: key,
          batchers: Keyword.keys(opts[:batchers]),
          resubscribe: opts[:resubscribe_interval],
          subscribe_to: producers,
          subscription: [partition: index] ++ demand
        })
      end

    batcher_specs =
      for {key, options} <- opts[:batchers], do: batcher(key, options, processors, stage, name)

    batch_processors =
      for {key, batcher} <- opts[:batchers],
          last <- names(name.("BatchProcessor_#{key}"), batcher),
          do: last

    last = if batch_processors == [], do: processors, else: batch_processors

    [
      supervisor(name.("ProducerSupervisor"), :one_for_one, limits(producers), producer_specs),
      supervisor(name.("ProcessorSupervisor"), :one_for_all, {0, 5}, processor_specs),
      supervisor(name.("BatchersSupervisor"), :one_for_one, limits(batcher_specs), batcher_specs),
      child(Terminator, [{producers, processors, last}, common.terminator], Terminator, opts)
    ]
  end

  defp producer(own_name, index, opts) do
    {module, arg} = opts[:producer][:module]
    [{_, processor}] = opts[:processors]
    broadway = Keyword.put(opts, :index, index)
    arg = if Keyword.keyword?(arg), do: Keyword.put(arg, :broadway, broadway), else: arg
    partitions = [partitions: processor[:concurrency], hash: &{&1, partition(&1, processor)}]
    by_partition = {GenStage.PartitionDispatcher, partitions}
    dispatcher = if processor[:partition_by], do: by_partition, else: GenStage.DemandDispatcher
    args = {module, arg, dispatcher: dispatcher}
    child(GenServer, [GenStage.Server, args, [name: own_name]], own_name, opts)
  end

  defp batcher(key, options, processors, stage, name) do
    own_name = name.("Batcher_#{key}")
    max_demand = options[:max_demand] || options[:batch_size]

    batcher =
      stage.(Batcher, own_name, %{
        key: key,
        options: options,
        subscribe_to: processors,
        subscription: [partition: key, max_demand: max_demand]
      })

    batch_processors =
      for {batch_processor, index} <-
            Enum.with_index(names(name.("BatchProcessor_#{key}"), options)) do
        subscription = [partition: index, max_demand: 1, min_demand: 0]
        args = %{subscribe_to: [own_name], subscription: subscription}
        stage.(BatchProcessor, batch_processor, args)
      end

    inner =
      supervisor(name.("BatchProcessorSupervisor_#{key}"), :one_for_all, {0, 5}, batch_processors)

    supervisor(name.("BatcherSupervisor_#{key}"), :rest_for_one, {4, 2}, [batcher, inner])
  end

  @doc "Which of a set of stages gets a message; nil: any."
  def partition(message, options) do
    partition_by = options[:partition_by]
    partition_by && rem(partition_by.(message), options[:concurrency])
  end

  defp child(module, args, id, opts),
    do: %{id: id, start: {module, :start_link, args}, shutdown: opts[:shutdown]}

  defp supervisor(name, strategy, {max_restarts, max_seconds}, children) do
    limits = [max_restarts: max_restarts, max_seconds: max_seconds]
    args = [children, [name: name, strategy: strategy] ++ limits]
    %{id: name, type: :supervisor, start: {Supervisor, :start_link, args}}
  end

  defp limits(children), do: {2 * length(children), max(length(children), 1)}
  defp names(prefix, opts), do: for(index <- 1..opts[:concurrency], do: :"#{prefix}_#{index - 1}")

  defp describe(opts, name) do
    [{key, processor}] = opts[:processors]
    stage = &%{name: name.(&1), concurrency: &2[:concurrency]}
    processor = Map.put(stage.("Processor_#{key}", processor), :processor_key, key)

    batchers =
      for {key, batcher} <- opts[:batchers] do
        names = %{batcher_key: key, batcher_name: name.("Batcher_#{key}")}
        Map.merge(stage.("BatchProcessor_#{key}", batcher), names)
      end

    [
      producers: [stage.("Producer", opts[:producer])],
      processors: [processor],
      batchers: batchers
    ]
  end
end
