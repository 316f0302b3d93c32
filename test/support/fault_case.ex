defmodule OffBroadwayRustKafka.FaultCase do
  @moduledoc false
  # For tests that do harm to a pipeline whose history is kept and checked: `%{history: history}` in
  # their context besides `%{kafka: kafka}`. What a test leaves to chance comes again with
  # `mix test --seed`; it prints that seed with what it found.

  use ExUnit.CaseTemplate

  alias OffBroadwayRustKafka.{Checker, History, Kafka, TestPipeline}

  @await_ms 120_000
  @chunk 20_000

  using do
    quote do
      use OffBroadwayRustKafka.KafkaCase
      import OffBroadwayRustKafka.FaultCase

      alias OffBroadwayRustKafka.{Checker, History, TestNode}

      @moduletag timeout: 180_000
    end
  end

  setup do
    %{history: History.start()}
  end

  @doc "Fills every partition with `count` records of `bytes`, a part of them at a time."
  @spec fill_big(Kafka.t(), String.t(), pos_integer(), pos_integer(), pos_integer()) :: :ok
  def fill_big(kafka, topic, partitions, count, bytes \\ 100) do
    value = String.duplicate("x", bytes)
    total = partitions * count

    for from <- 0..(total - 1)//@chunk,
        do: Kafka.produce(kafka, topic, List.duplicate(value, min(@chunk, total - from)))

    :ok
  end

  @doc "A handler that counts records, and what tells how far it has come."
  @spec counting() :: {(Broadway.Message.t() -> Broadway.Message.t()), (() -> non_neg_integer())}
  def counting do
    counter = :counters.new(1, [:write_concurrency])

    handle = fn message ->
      :counters.add(counter, 1, Map.get(message.metadata, :count, 1))
      message
    end

    {handle, fn -> :counters.get(counter, 1) end}
  end

  @doc "Waits until `count` records were handled in all, or `done?` says that there are no more."
  @spec await_count((() -> non_neg_integer()), non_neg_integer()) :: :ok
  def await_count(counted, count) do
    Kafka.await(@await_ms, fn ->
      case counted.() do
        reached when reached >= count -> :ok
        reached -> {:not_yet, "#{reached} of #{count} records were handled"}
      end
    end)
  end

  @doc "The processes of a pipeline: `:processor`, `:batcher`, `:batch_processor` or `:producer`."
  @spec stages(TestPipeline.t(), atom()) :: [atom()]
  def stages(%{name: name}, kind) do
    prefix =
      case kind do
        :processor -> "Processor_default_"
        :batcher -> "Batcher_default"
        :batch_processor -> "BatchProcessor_default_"
        :producer -> "Producer_"
      end

    prefix = "#{name}.Broadway.#{prefix}"

    for registered <- Process.registered(),
        String.starts_with?(Atom.to_string(registered), prefix),
        do: registered
  end

  @doc "Kills one of these processes, if any is up just now; whether it did."
  @spec kill_one(History.t(), [atom()]) :: boolean()
  def kill_one(_history, []), do: false

  def kill_one(history, names) do
    name = Enum.random(names)

    case Process.whereis(name) do
      nil -> false
      pid -> kill_pid(history, inspect(name), pid)
    end
  end

  @doc "Kills a process; whether it did not end otherwise."
  @spec kill_pid(History.t(), String.t(), pid()) :: boolean()
  def kill_pid(history, what, pid) do
    monitor = Process.monitor(pid)
    History.fault(history, what <> " is killed")
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, reason} -> reason == :killed
    end
  end

  @doc """
  Waits until all of a topic is committed, records what the brokers say, stops the pipelines and
  checks the history: its report.
  """
  @spec assert_all_committed(map(), [TestPipeline.t()], String.t(), pos_integer(), keyword()) ::
          Checker.report()
  def assert_all_committed(context, pipelines, topic, partitions, options \\ []) do
    %{kafka: kafka, history: history} = context
    [%{group: group} | _] = pipelines
    ends = record_produced(history, kafka, topic, partitions)
    Kafka.await_committed(kafka, group, ends, @await_ms)
    for %TestPipeline{name: name} <- pipelines, do: :ok = Broadway.stop(name)
    History.ask_committed(history, kafka, group, topic, partitions)
    checked(context, [at_end: :all_committed] ++ options)
  end

  @doc "Checks the history, and prints what was found with the test's name and seed."
  @spec checked(map(), keyword()) :: Checker.report()
  def checked(%{history: history, test: test}, options) do
    IO.puts("\n#{test}, seed #{ExUnit.configuration()[:seed]}")
    Checker.assert_sound!(history, options)
  end

  @doc "Records what a topic has, none of which is gone: the end of every partition."
  @spec record_produced(History.t(), Kafka.t(), String.t(), pos_integer()) :: Kafka.offsets()
  def record_produced(history, kafka, topic, partitions) do
    ends = Kafka.ends(kafka, topic, partitions)
    for {place, next} <- ends, do: History.produced(history, place, 0, next)
    ends
  end
end
