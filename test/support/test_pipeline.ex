defmodule OffBroadwayRustKafka.TestPipeline do
  @moduledoc false
  # A pipeline that tells the test process what it does:
  #
  #     {:handled, name, processor :: pid, message}
  #     {:batch, name, batch_processor :: pid, messages}
  #     {:failed, name, messages}
  #     {:telemetry, name, event, measurements, metadata}

  use Broadway

  alias OffBroadwayRustKafka.{History, Kafka, Producer, Telemetry}

  @enforce_keys [:name, :group]
  defstruct @enforce_keys

  @type t :: %__MODULE__{name: atom(), group: String.t()}

  @options [:name, :group, :producer, :concurrency, :processors, :batchers] ++
             [:handle, :handle_batch, :broadway, :history, :rate_limiting, :tell, :consumer] ++
             [:watch_end]

  @doc """
  Starts a pipeline, for as long as the test runs.

  `:producer` are options of the producer (from the earliest record, unless they say otherwise),
  `:concurrency` how many there are, `:processors` options of the processors and `:batchers` the
  batchers, `:rate_limiting` the producers' and `:broadway` more of Broadway's. `:handle` does something to a message, in
  the processor, `:handle_batch` to the messages of a batch. `:history` records it
  (`OffBroadwayRustKafka.History`), under the label `label/1`; with `tell: false` the test is not
  told of messages, which may be too many. `:consumer` is the member that it shares, if it has none of
  its own. With `:watch_end` the test is told when and why it ended, however early: `{:ended, name, reason}`.
  """
  @spec start(Kafka.t(), [String.t() | keyword()], keyword()) :: t()
  def start(kafka, topics, options \\ []) do
    pipeline = new(options)
    listen(pipeline.name)
    if options[:watch_end], do: watch_end(pipeline.name)
    child = {__MODULE__, broadway(pipeline, kafka, topics, options)}

    # Stopped by the test, it must not come back.
    child
    |> Supervisor.child_spec(id: pipeline.name, restart: :temporary)
    |> ExUnit.Callbacks.start_supervised!()

    pipeline
  end

  @spec new(keyword()) :: t()
  def new(options) do
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"

    %__MODULE__{
      name: options[:name] || name,
      group: options[:group] || Kafka.random_name("group")
    }
  end

  @doc "What `Broadway.start_link/2` is to be given."
  @spec broadway(t(), Kafka.t(), [String.t() | keyword()], keyword()) :: keyword()
  def broadway(pipeline, kafka, topics, options) do
    [] = Keyword.keys(options) -- @options

    producer = producer(pipeline, kafka, topics, options)

    context = %{
      name: pipeline.name,
      test: if(Keyword.get(options, :tell, true), do: self()),
      handle: options[:handle] || (& &1),
      handle_batch: options[:handle_batch] || (& &1)
    }

    Keyword.merge(
      [
        name: pipeline.name,
        context: context,
        producer:
          [
            module: module(producer, pipeline, options[:history]),
            concurrency: options[:concurrency] || 1
          ] ++ Keyword.take(options, [:rate_limiting]),
        processors: [
          default: Keyword.merge([concurrency: 2, max_demand: 10], options[:processors] || [])
        ],
        batchers: options[:batchers] || [],
        shutdown: 5_000
      ],
      options[:broadway] || []
    )
  end

  @spec producer(t(), Kafka.t(), [String.t() | keyword()], keyword()) :: keyword()
  defp producer(pipeline, kafka, topics, options) do
    own = options[:producer] || []

    if options[:consumer],
      do: [consumer: options[:consumer], topics: topics] ++ own,
      else: member(pipeline.group, kafka, topics, own)
  end

  @doc "Options of a member that begins with the earliest record."
  @spec member(String.t(), Kafka.t(), [String.t() | keyword()], keyword()) :: keyword()
  def member(group, kafka, topics, own) do
    [hosts: kafka.bootstrap, group_id: group, topics: topics, offset_reset_policy: :earliest]
    |> Keyword.merge(own)
    |> Keyword.update(:config, config(kafka), &Keyword.merge(config(kafka), &1))
  end

  @doc "What its members are called in a history."
  @spec label(t()) :: String.t()
  def label(%{name: name}), do: name |> inspect() |> String.split(".") |> List.last()

  @spec module(keyword(), t(), History.t() | History.Member.t() | History.Sink.t() | nil) ::
          {module(), keyword()}
  defp module(producer, _pipeline, nil), do: {Producer, producer}

  defp module(producer, pipeline, %History{} = history),
    do:
      {History.Producer,
       [history: %{sink: History.sink(history), label: label(pipeline)}] ++ producer}

  defp module(producer, _pipeline, %History.Member{} = member),
    do: {History.Producer, [history: member] ++ producer}

  defp module(producer, _node, sink),
    do: {History.Producer, [history: %{sink: sink, label: :node}] ++ producer}

  # A mock group that a member left or joined waits this session out, less a second, for the others.
  @doc false
  @spec config(Kafka.t()) :: keyword()
  def config(%{cluster: nil}), do: []
  def config(_mock), do: ["session.timeout.ms": 1_600, "heartbeat.interval.ms": 200]

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(broadway), do: Broadway.start_link(__MODULE__, broadway)

  @doc "For a handler: tells the test `{:held, pid, what}` and waits until it sends `:go`, or is gone."
  @spec hold(pid(), term()) :: :ok
  def hold(test, what) do
    monitor = Process.monitor(test)
    send(test, {:held, self(), what})

    receive do
      :go -> Process.demonitor(monitor, [:flush])
      {:DOWN, ^monitor, _, _, _} -> :ok
    end

    :ok
  end

  @doc "Sends the pipeline's telemetry to the test."
  @spec listen(atom()) :: :ok
  def listen(name) do
    config = %{test: self(), name: name}
    :ok = :telemetry.attach_many(name, Telemetry.events(), &__MODULE__.telemetry/4, config)
    ExUnit.Callbacks.on_exit(fn -> :telemetry.detach(name) end)
  end

  @spec watch_end(atom()) :: :ok
  defp watch_end(name) do
    id = {name, :ended}
    config = %{test: self(), name: name, id: id}
    :ok = :telemetry.attach_many(id, Telemetry.events(), &__MODULE__.begin_watch/4, config)
    ExUnit.Callbacks.on_exit(fn -> :telemetry.detach(id) end)
  end

  @doc false
  # In the process that owns the member: it ends the pipeline, if it does, only after this.
  def begin_watch(_event, _measurements, %{name: name}, %{name: name, test: test, id: id}) do
    :telemetry.detach(id)
    owner = self()

    spawn(fn ->
      monitor = Process.monitor(name)
      send(owner, {id, :watched})
      receive do: ({:DOWN, ^monitor, _, _, reason} -> send(test, {:ended, name, reason}))
    end)

    receive do: ({^id, :watched} -> :ok)
  end

  def begin_watch(_event, _measurements, _metadata, _config), do: :ok

  @doc false
  def telemetry([_, event], measurements, metadata, %{test: test, name: name}) do
    if metadata.name == name, do: send(test, {:telemetry, name, event, measurements, metadata})
  end

  @impl Broadway
  def handle_message(_processor, message, context) do
    given = message

    # Also one that failed is handled: it is acked, and does not come again.
    message =
      try do
        context.handle.(message)
      after
        History.handled(given)
      end

    tell(context, {:handled, context.name, self(), message})
    message
  end

  @impl Broadway
  def handle_batch(_batcher, messages, _info, context) do
    messages = context.handle_batch.(messages)
    tell(context, {:batch, context.name, self(), messages})
    messages
  end

  @impl Broadway
  def handle_failed(messages, context) do
    tell(context, {:failed, context.name, messages})
    messages
  end

  @spec tell(%{test: pid() | nil}, tuple()) :: term()
  defp tell(%{test: nil}, _event), do: :ok
  defp tell(%{test: test}, event), do: send(test, event)
end
