defmodule OffBroadwayRustKafka.TestGroup do
  @moduledoc false
  # Groups that have a pipeline for each partition, each topic, or one for all. Their pipelines are
  # those of `TestPipeline`, and tell the test what they do under the name of the group; telemetry
  # comes in the same way.

  alias OffBroadwayRustKafka.{Checker, History, Kafka, TestPipeline}

  for {name, options} <- [
        PerPartition: [],
        Patient: [max_seconds: 60],
        PerTopic: [per: :topic],
        PerGroup: [per: :group],
        Stopping: [on_crash: :stop, max_restarts: 0]
      ] do
    defmodule Module.concat(__MODULE__, name) do
      @moduledoc false
      use OffBroadwayRustKafka, [broadway: OffBroadwayRustKafka.TestPipeline] ++ options

      @impl OffBroadwayRustKafka
      defdelegate kafka_config(args), to: OffBroadwayRustKafka.TestGroup

      @impl OffBroadwayRustKafka
      defdelegate broadway_config(args, topic, partition), to: OffBroadwayRustKafka.TestGroup
    end
  end

  @doc """
  Starts a group, for as long as the test runs.

  Options as those of `TestPipeline.start/3`, where `:history` may be the member's that is watched already; and
  `:module`, one of the above; `:kafka` and `:config`,
  functions by which the answers of its callbacks are changed: of the options, and of the options, the
  topic and the partition.
  """
  @spec start(Kafka.t(), [String.t()], keyword()) :: TestPipeline.t()
  def start(kafka, topics, options \\ []) do
    {group, child} = child(kafka, topics, options)
    ExUnit.Callbacks.start_supervised!(child)
    group
  end

  @doc "What it is started by."
  @spec child(Kafka.t(), [String.t()], keyword()) :: {TestPipeline.t(), Supervisor.child_spec()}
  def child(kafka, topics, options) do
    {own, options} = Keyword.split(options, [:module, :kafka, :config])
    group = TestPipeline.new(options)
    TestPipeline.listen(group.name)

    {history, options} = Keyword.pop(options, :history)
    broadway = TestPipeline.broadway(group, kafka, topics, options)
    {_, producer} = broadway[:producer][:module]

    args = [
      name: group.name,
      producer: producer,
      broadway: Keyword.drop(broadway, [:name, :producer]),
      concurrency: options[:concurrency] || 1,
      history: history && watched(history, group),
      kafka: own[:kafka] || (& &1),
      config: own[:config] || fn config, _topic, _partition -> config end
    ]

    child =
      Supervisor.child_spec({own[:module] || __MODULE__.PerPartition, args}, restart: :temporary)

    {group, child}
  end

  @spec watched(History.t() | History.Member.t(), TestPipeline.t()) :: History.Member.t()
  defp watched(%History.Member{} = member, _group), do: member

  defp watched(history, group),
    do: History.Member.watch(history, group.name, group.group, TestPipeline.label(group))

  @doc "Waits until this many of its pipelines have started, and returns their places."
  @spec await_started(TestPipeline.t(), pos_integer()) :: [{String.t() | nil, integer() | nil}]
  def await_started(group, count), do: await(group, :pipeline_started, count)

  @spec await_stopped(TestPipeline.t(), pos_integer()) :: [{String.t() | nil, integer() | nil}]
  def await_stopped(group, count), do: await(group, :pipeline_stopped, count)

  @doc "The process of a pipeline that has just started."
  @spec await_pipeline(TestPipeline.t(), non_neg_integer()) :: pid()
  def await_pipeline(%{name: name}, partition) do
    receive do
      {:telemetry, ^name, :pipeline_started, _, %{partition: ^partition, pipeline: pid}} -> pid
    after
      15_000 -> ExUnit.Assertions.flunk("no pipeline of partition #{partition} has started")
    end
  end

  @doc "Checks the history of a group, which reads these topics of so many partitions each."
  @spec sound(
          History.t(),
          Kafka.t(),
          TestPipeline.t(),
          String.t() | [String.t()],
          pos_integer(),
          keyword()
        ) :: Checker.report()
  def sound(history, kafka, group, topics, partitions, options \\ []) do
    for topic <- List.wrap(topics) do
      History.ask_produced(history, kafka, topic, partitions)
      History.ask_committed(history, kafka, group.group, topic, partitions)
    end

    own = [order: true, fencing: kafka.cluster == nil, at_end: :all_committed]
    Checker.assert_sound!(history, Keyword.merge(own, options))
  end

  @doc "Stops the group, as its supervisor would."
  @spec stop(TestPipeline.t()) :: :ok
  def stop(%{name: name}), do: Supervisor.stop(name)

  @doc false
  @spec kafka_config(keyword()) :: term()
  def kafka_config(args), do: args[:kafka].(args[:producer])

  @doc false
  @spec broadway_config(keyword(), String.t() | nil, non_neg_integer() | nil) :: term()
  def broadway_config(args, topic, partition) do
    producer = [concurrency: args[:concurrency]] ++ recorded(args[:history])
    args[:config].([producer: producer] ++ args[:broadway], topic, partition)
  end

  @spec recorded(History.Member.t() | nil) :: keyword()
  defp recorded(nil), do: []
  defp recorded(member), do: [module: {History.Producer, history: member}]

  @spec await(TestPipeline.t(), atom(), pos_integer()) :: [tuple()]
  defp await(%{name: name}, event, count) do
    for _ <- 1..count do
      receive do
        {:telemetry, ^name, ^event, _, %{topic: topic, partition: partition}} ->
          {topic, partition}
      after
        45_000 -> ExUnit.Assertions.flunk("waited in vain for #{count} times #{event}")
      end
    end
  end
end
