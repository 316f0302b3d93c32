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

  @spec start_link(t()) :: GenServer.on_start()
  def start_link(member), do: GenServer.start_link(__MODULE__, member)

  @doc false
  @spec start_consumer(t(), {module(), atom(), list()}) :: GenServer.on_start()
  def start_consumer(member, {module, function, arguments}) do
    :atomics.add(member.incarnation, 1, 1)
    write(member, :started, nil, nil, member.group)
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
    if metadata.name == member.name, do: told(event, measurements, metadata, member)
    :ok
  end

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

  defp told(:closed, _, %{error: error}, member),
    do: write(member, :closed, nil, nil, error && error.code)

  defp told(:error, _, %{error: error}, member), do: write(member, :error, nil, nil, error.code)

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
