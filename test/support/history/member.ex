defmodule OffBroadwayRustKafka.History.Member do
  @moduledoc false
  # Writes down what a group member tells by telemetry, and when its consumer starts and stops. Its
  # process is started before the consumer and stopped after it, and outlives the consumer's crashes.

  use GenServer

  alias OffBroadwayRustKafka.{Consumer, History, Telemetry}
  alias OffBroadwayRustKafka.History.{Acknowledger, Sink}

  @enforce_keys [:sink, :label, :name, :group, :incarnation, :places]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          sink: Sink.t(),
          label: String.t(),
          name: term(),
          group: String.t(),
          incarnation: :atomics.atomics_ref(),
          places: :ets.tid()
        }

  @doc "Of a pipeline of this name; its label is given, or says which node this is."
  @spec new(%{sink: Sink.t(), label: String.t() | :node}, term(), String.t()) :: t()
  def new(%{sink: sink, label: label}, name, group) do
    %__MODULE__{
      sink: sink,
      label: if(label == :node, do: node_label(System.pid()), else: label),
      name: name,
      group: group,
      incarnation: :atomics.new(1, []),
      places: :ets.new(__MODULE__, [:public, read_concurrency: true])
    }
  end

  @spec node_label(os_pid :: String.t()) :: String.t()
  def node_label(os_pid), do: "node-" <> os_pid

  @doc "For the messages of the consumer that is running now."
  @spec tag(t()) :: Acknowledger.tag()
  def tag(member), do: {member.sink, current(member), member.places}

  @spec current(t()) :: History.member()
  defp current(%{label: label, incarnation: incarnation}),
    do: "#{label}##{:atomics.get(incarnation, 1)}"

  @doc "The children of a pipeline, with this one before them."
  @spec children(t(), [Supervisor.child_spec() | tuple()]) :: [Supervisor.child_spec()]
  def children(member, children) do
    children =
      for child <- children do
        case Supervisor.child_spec(child, []) do
          %{id: Consumer} = spec ->
            %{spec | start: {__MODULE__, :start_consumer, [member, spec.start]}}

          spec ->
            spec
        end
      end

    [{__MODULE__, member} | children]
  end

  @doc "Writes down a member that pipelines share, from before it starts to the end of the test."
  @spec watch(History.t(), term(), String.t(), String.t()) :: t()
  def watch(history, name, group, label) do
    member = new(%{sink: History.sink(history), label: label}, name, group)
    ExUnit.Callbacks.start_supervised!({__MODULE__, member}, id: {__MODULE__, name})
    began(member)
    member
  end

  @doc "Its consumer starts, for the first time or anew."
  @spec began(t()) :: :ok
  def began(member) do
    :atomics.add(member.incarnation, 1, 1)
    write(member, :started, nil, nil, member.group)
  end

  @doc "Kills the process that owns a member that is watched, and writes down that another one begins."
  @spec kill_consumer(t(), History.t()) :: :ok
  def kill_consumer(%{name: name, label: label} = member, history) do
    {_, consumer, _, _} = List.keyfind(Supervisor.which_children(name), Consumer, 0)
    monitor = Process.monitor(consumer)
    # Nothing is started in its place before that is written.
    :sys.suspend(name)
    History.fault(history, "a member is killed", label)
    Process.exit(consumer, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> began(member)
    end

    :sys.resume(name)
  end

  @spec start_link(t()) :: GenServer.on_start()
  def start_link(member), do: GenServer.start_link(__MODULE__, member)

  @doc false
  @spec start_consumer(t(), {module(), atom(), list()}) :: GenServer.on_start()
  def start_consumer(member, {module, function, arguments}) do
    began(member)
    apply(module, function, arguments)
  end

  @impl GenServer
  def init(member) do
    Process.flag(:trap_exit, true)
    :ok = :telemetry.attach_many(id(), Telemetry.events(), &__MODULE__.heard/4, member)
    {:ok, member}
  end

  @impl GenServer
  def terminate(reason, member) do
    :telemetry.detach(id())
    write(member, :stopped, nil, nil, reason)
  end

  @doc false
  @spec heard([atom()], map(), map(), t()) :: :ok
  def heard([_, event], measurements, metadata, member) do
    if own?(metadata, member), do: told(event, measurements, metadata, member)
    :ok
  end

  @spec own?(map(), t()) :: boolean()
  defp own?(%{name: name}, %{name: name}), do: true
  defp own?(metadata, %{name: History.Stream} = member), do: History.Stream.own?(metadata, member)
  defp own?(_metadata, _member), do: false

  @spec told(atom(), map(), map(), t()) :: term()
  defp told(:assigned, _, %{partitions: partitions}, member),
    do: each(member, :assigned, partitions, & &1.start_offset)

  defp told(event, _, %{partitions: partitions}, member) when event in [:revoked, :lost],
    do: each(member, event, partitions, & &1.unacked)

  defp told(:committed, %{latency_us: latency}, %{offsets: offsets}, member) do
    for {topic, partition, offset} <- offsets,
        do: write(member, :committed, {topic, partition}, nil, {offset, latency})
  end

  defp told(:commit_failed, _, %{offsets: offsets, error: error}, member) do
    for {topic, partition, offset} <- offsets,
        do: write(member, :commit_failed, {topic, partition}, nil, {offset, error.code})
  end

  defp told(:reset, %{from_offset: from, to_offset: to}, metadata, member),
    do: write(member, :reset, {metadata.topic, metadata.partition}, nil, {from, to})

  defp told(:sought, _, %{partitions: partitions}, member),
    do: each(member, :sought, partitions, &{&1.from_offset, &1.to_offset})

  defp told(event, _, %{paused: paused}, member) when event in [:paused, :resumed],
    do: write(member, event, nil, nil, paused)

  defp told(:closed, _, %{error: error}, member),
    do: write(member, :closed, nil, nil, error && error.code)

  defp told(:error, _, %{error: error}, member), do: write(member, :error, nil, nil, error.code)

  defp told(event, _, _, _) when event in [:pipeline_started, :pipeline_stopped, :set_aside],
    do: :ok

  # What a later version tells of partitions.
  defp told(event, _, %{partitions: partitions}, member),
    do: each(member, event, partitions, &Map.get(&1, :offset))

  defp told(_event, _measurements, _metadata, _member), do: :ok

  @spec each(t(), atom(), [map()], (map() -> term())) :: term()
  defp each(member, kind, partitions, value) do
    for partition <- partitions,
        do:
          write(
            member,
            kind,
            {partition.topic, partition.partition},
            partition.epoch,
            value.(partition)
          )
  end

  @spec write(t(), atom(), History.place() | nil, term(), term()) :: :ok
  defp write(member, kind, place, epoch, value) do
    Sink.write(member.sink, current(member), kind, place, epoch, value)
  end

  @spec id() :: term()
  defp id, do: {__MODULE__, self()}
end
