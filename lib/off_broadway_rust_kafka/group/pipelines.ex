defmodule OffBroadwayRustKafka.Group.Pipelines do
  @moduledoc false
  # Starts a pipeline when the first of its partitions is assigned, and stops it when the last one goes.
  # A stop is left to a process of its own, and starts are one message to itself at a time, so that it hears
  # of a revoke between any two of them: what is revoked until its turn comes does not start.

  use GenServer

  alias OffBroadwayRustKafka.{Assignment, Consumer, Crashes, Error, Log, Producer, Telemetry}
  alias OffBroadwayRustKafka.Group.{Callbacks, Pipeline, Tree, Uses}

  @enforce_keys [:module, :uses, :init_args, :name, :group_id, :drain_ms, :own, :table]
  defstruct @enforce_keys ++
              [:supervisor, :log, pipelines: %{}, queue: :queue.new(), starting?: false]

  @type t :: %__MODULE__{
          module: module(),
          uses: Uses.t(),
          init_args: (() -> term()),
          name: GenServer.name(),
          group_id: String.t(),
          drain_ms: non_neg_integer(),
          own: keyword(),
          table: Consumer.table(),
          supervisor: pid(),
          log: Log.t(),
          pipelines: %{Pipeline.key() => Pipeline.t()},
          queue: :queue.queue(Pipeline.key()),
          starting?: boolean()
        }

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(arg), do: GenServer.start_link(__MODULE__, struct!(__MODULE__, arg))

  @impl GenServer
  def init(state) do
    supervisor = Assignment.listen(state.table)
    {:ok, %{state | supervisor: supervisor, log: Log.new(state.name)}, {:continue, :begin}}
  end

  @impl GenServer
  def handle_continue(:begin, state), do: {:noreply, add(state, Assignment.assigned(state.table))}

  @impl GenServer
  def handle_info(:start_next, state), do: {:noreply, start_next(state)}

  def handle_info({:kill, key, pid}, state) do
    with %{status: :stopping, pid: ^pid} = pipeline <- state.pipelines[key],
         do: Tree.kill(pipeline.tree)

    {:noreply, state}
  end

  def handle_info({:DOWN, ref, :process, pid, reason}, state) do
    case Enum.find(state.pipelines, fn {_, it} -> it.ref == ref end) do
      {key, %{pid: ^pid}} -> {:noreply, update(state, key, &ended(&1, reason, state))}
      nil -> {:noreply, state}
    end
  end

  def handle_info(message, state) do
    case Assignment.heard(message) do
      {:assigned, places} -> {:noreply, add(state, places)}
      {_revoking_or_gone, places} -> {:noreply, remove(state, places)}
      :nothing -> {:noreply, state}
    end
  end

  @spec add(t(), [Assignment.place()]) :: t()
  defp add(state, places) do
    Enum.reduce(places, state, fn {topic, partition} = place, state ->
      key = Pipeline.key(state.uses.per, topic, partition)

      update(state, key, fn pipeline ->
        pipeline = %{pipeline | partitions: MapSet.put(pipeline.partitions, place)}
        if pipeline.status == :none, do: queued(pipeline), else: pipeline
      end)
    end)
  end

  @spec remove(t(), [Assignment.place()]) :: t()
  defp remove(state, places) do
    Enum.reduce(places, state, fn {topic, partition} = place, state ->
      key = Pipeline.key(state.uses.per, topic, partition)

      update(state, key, fn pipeline ->
        left = MapSet.delete(pipeline.partitions, place)
        pipeline = %{pipeline | partitions: left}

        if pipeline.status == :running and MapSet.size(left) == 0,
          do: stop(pipeline, state),
          else: pipeline
      end)
    end)
  end

  # One that has no partitions and does not run is none.
  @spec update(t(), Pipeline.key(), (Pipeline.t() -> Pipeline.t())) :: t()
  defp update(state, key, change) do
    before = Map.get(state.pipelines, key, %Pipeline{key: key})
    pipeline = change.(before)

    cond do
      MapSet.size(pipeline.partitions) == 0 and pipeline.status not in [:running, :stopping] ->
        queue = :queue.delete(key, state.queue)
        %{state | pipelines: Map.delete(state.pipelines, key), queue: queue}

      pipeline.status == :queued and before.status != :queued ->
        state = put_in(state.pipelines[key], pipeline)
        start_soon(%{state | queue: :queue.in(key, state.queue)})

      true ->
        put_in(state.pipelines[key], pipeline)
    end
  end

  @spec queued(Pipeline.t()) :: Pipeline.t()
  defp queued(pipeline),
    do: %{pipeline | status: :queued, pid: nil, ref: nil, tree: [], timer: nil}

  @spec start_soon(t()) :: t()
  defp start_soon(%{starting?: true} = state), do: state

  defp start_soon(state) do
    send(self(), :start_next)
    %{state | starting?: true}
  end

  @spec start_next(t()) :: t()
  defp start_next(state) do
    state = %{state | starting?: false}

    case :queue.out(state.queue) do
      {{:value, key}, queue} ->
        start_soon(update(%{state | queue: queue}, key, &start(&1, state)))

      {:empty, _} ->
        state
    end
  end

  @spec start(Pipeline.t(), t()) :: Pipeline.t()
  defp start(pipeline, state) do
    {topic, partition} = Pipeline.place(pipeline.key)

    with {:ok, config} <-
           Callbacks.broadway_config(state.module, state.init_args.(), topic, partition),
         {:ok, pid} <- start_broadway(pipeline.key, config, state) do
      # Whoever hears of it may end it: all of it is to be known by then.
      pipeline = %{pipeline | tree: Tree.of(pid), pid: pid, ref: Process.monitor(pid)}
      Assignment.began(state.table, pid, pipeline.tree)
      tell(:pipeline_started, pipeline.key, state, %{pipeline: pid})
      %{pipeline | status: :running}
    else
      {:error, error} -> give_up(pipeline, error, state)
    end
  end

  @spec start_broadway(Pipeline.key(), keyword(), t()) :: {:ok, pid()} | {:error, Error.t()}
  defp start_broadway(key, config, state) do
    broadway =
      config
      |> Keyword.put_new(:name, Pipeline.name(state.name, key))
      |> Keyword.update(:producer, producer([], key, state), &producer(&1, key, state))

    child = %{
      id: key,
      start: {Broadway, :start_link, [state.uses.broadway, broadway]},
      restart: :temporary,
      shutdown: :infinity
    }

    with {:error, reason} <- DynamicSupervisor.start_child(state.supervisor, child),
         do: {:error, not_started(key, reason, state)}
  end

  # A producer of the user's own may stand around ours.
  @spec producer(keyword(), Pipeline.key(), t()) :: keyword()
  defp producer(given, key, state) do
    {module, own} = given[:module] || {Producer, []}
    options = [consumer: state.name, claim: Pipeline.claim(key)] ++ state.own
    given |> Keyword.put_new(:concurrency, 1) |> Keyword.put(:module, {module, own ++ options})
  end

  @spec stop(Pipeline.t(), t()) :: Pipeline.t()
  defp stop(%{pid: pid} = pipeline, state) do
    spawn(fn -> stop_broadway(pid) end)
    timer = Process.send_after(self(), {:kill, pipeline.key, pid}, state.drain_ms)
    %{pipeline | status: :stopping, timer: timer}
  end

  @spec stop_broadway(pid()) :: :ok
  defp stop_broadway(pid) do
    GenServer.stop(pid, :shutdown, :infinity)
  catch
    # It was killed meanwhile.
    :exit, _ -> :ok
  end

  @spec ended(Pipeline.t(), term(), t()) :: Pipeline.t()
  defp ended(pipeline, reason, state) do
    if pipeline.timer, do: Process.cancel_timer(pipeline.timer)
    # Its own process may have gone before the others.
    Tree.kill(pipeline.tree -- [pipeline.pid])
    Assignment.ended(state.table, pipeline.pid)
    tell(:pipeline_stopped, pipeline.key, state, %{pipeline: pipeline.pid, reason: reason})

    if pipeline.status == :stopping,
      do: queued(pipeline),
      else: crashed(pipeline, reason, state)
  end

  @spec crashed(Pipeline.t(), term(), t()) :: Pipeline.t()
  defp crashed(pipeline, reason, %{uses: uses} = state) do
    {too_many?, crashes} =
      Crashes.add(pipeline.crashes, uses.max_restarts, uses.max_seconds * 1_000)

    pipeline = %{pipeline | crashes: crashes}

    if too_many?,
      do: give_up(pipeline, too_many(pipeline, reason, state), state),
      else: queued(pipeline)
  end

  @spec give_up(Pipeline.t(), Error.t(), t()) :: Pipeline.t()
  defp give_up(pipeline, error, state) do
    tell(:set_aside, pipeline.key, state, %{error: error})
    Log.set_aside(state.log, Pipeline.label(pipeline.key), error, state.uses.on_crash)
    if state.uses.on_crash == :stop, do: stop_group(error, state)
    %{pipeline | status: :aside, pid: nil, ref: nil, tree: [], timer: nil}
  end

  # As a user would stop it: other pipelines finish what they have, and the member leaves. We are
  # stopped on its way.
  @spec stop_group(Error.t(), t()) :: pid()
  defp stop_group(error, state) do
    group = :ets.info(state.table, :owner)

    spawn(fn ->
      try do
        Supervisor.stop(group, {:shutdown, error})
      catch
        :exit, _ -> :ok
      end
    end)
  end

  @spec tell(atom(), Pipeline.key(), t(), map()) :: :ok
  defp tell(event, key, state, metadata) do
    {topic, partition} = Pipeline.place(key)
    metadata = Map.merge(metadata, %{topic: topic, partition: partition})
    Telemetry.emit({:pipeline, event, metadata}, Map.take(state, [:name, :group_id]))
  end

  @spec not_started(Pipeline.key(), term(), t()) :: Error.t()
  defp not_started(key, reason, state) do
    error(
      "the pipeline of #{Pipeline.label(key)} does not start with what " <>
        "#{inspect(state.module)}.broadway_config/3 returned: #{why(reason)}",
      key
    )
  end

  @spec too_many(Pipeline.t(), term(), t()) :: Error.t()
  defp too_many(pipeline, reason, %{uses: uses}) do
    error(
      "the pipeline of #{Pipeline.label(pipeline.key)} ended #{length(pipeline.crashes)} times " <>
        "within #{uses.max_seconds} s, the last time by #{why(reason)}",
      pipeline.key
    )
  end

  @spec error(String.t(), Pipeline.key()) :: Error.t()
  defp error(message, key) do
    {topic, partition} = Pipeline.place(key)
    error = %Error{code: :pipeline_crashed, message: message, fatal?: true}
    %{error | topic: topic, partition: partition}
  end

  @longest 1_000

  # An exit may carry whole states.
  @spec why(term()) :: String.t()
  defp why({:EXIT, reason}), do: why(reason)
  defp why(exception) when is_exception(exception), do: Exception.message(exception)

  defp why({reason, [{_, _, _, _} | _] = stack}),
    do: :error |> Exception.format_banner(reason, stack) |> String.slice(0, @longest)

  defp why(reason), do: reason |> Exception.format_exit() |> String.slice(0, @longest)
end
