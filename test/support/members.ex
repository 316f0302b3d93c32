defmodule OffBroadwayRustKafka.Members do
  @moduledoc false
  # Words about several members of one group, each a `OffBroadwayRustKafka.TestPipeline`.

  import OffBroadwayRustKafka.Kafka

  alias OffBroadwayRustKafka.{Checker, Feed, Gaps, History, Kafka, TestPipeline}

  @await_ms 60_000

  @typedoc "A topic, the group that reads it, and the history of that."
  @type context :: %{
          required(:kafka) => Kafka.t(),
          required(:topic) => String.t(),
          required(:partitions) => pos_integer(),
          required(:group) => String.t(),
          required(:history) => History.t(),
          optional(term()) => term()
        }

  @doc "A context of its own for a test: a new topic, group and history."
  @spec context(Kafka.t(), pos_integer()) :: context()
  def context(kafka, partitions) do
    %{
      kafka: kafka,
      topic: create_topic(kafka, partitions),
      partitions: partitions,
      group: random_name("group"),
      history: History.start()
    }
  end

  @doc "The partitions that a member has."
  @spec assigned(TestPipeline.t()) :: [non_neg_integer()]
  def assigned(%{name: name}) do
    Enum.sort(for %{partition: partition} <- OffBroadwayRustKafka.progress(name), do: partition)
  end

  @doc "Waits until the members have all partitions between them in equal shares, and returns those."
  @spec await_balanced(context(), [TestPipeline.t()]) :: [[non_neg_integer()]]
  def await_balanced(context, members) do
    await(@await_ms, fn ->
      shares = Enum.map(members, &assigned/1)
      {fewest, most} = shares |> Enum.map(&length/1) |> Enum.min_max()

      if most - fewest <= 1 and
           shares |> Enum.concat() |> Enum.sort() == Enum.to_list(0..(context.partitions - 1)),
         do: shares,
         else: {:not_yet, "the members have #{inspect(shares)}"}
    end)
  end

  @doc "Waits until the group has committed some more of all these partitions."
  @spec await_progress(context(), [non_neg_integer()] | :all) :: :ok
  def await_progress(context, partitions \\ :all) do
    places =
      for {_, id} = at <- all(context.topic, context.partitions),
          partitions == :all or id in partitions,
          do: at

    before = committed_now(context)

    await(@await_ms, fn ->
      now = committed_now(context)
      behind = for at <- places, (now[at] || 0) <= (before[at] || 0), do: at
      if behind == [], do: :ok, else: {:not_yet, "nothing is committed of #{inspect(behind)}"}
    end)
  end

  @spec committed_now(context()) :: Kafka.offsets()
  def committed_now(context),
    do: committed(context.kafka, context.group, context.topic, context.partitions)

  @doc "Waits until the group has committed all that the topic was fed."
  @spec await_all_committed(context(), Feed.times()) :: :ok
  def await_all_committed(context, times) do
    %{kafka: kafka, group: group, topic: topic, partitions: partitions} = context
    await_committed(kafka, group, each(topic, partitions, tuple_size(times)), @await_ms)
  end

  @doc "Asserts that the history is sound, and that all of the topic is committed at its end."
  @spec assert_sound!(context(), keyword()) :: Checker.report()
  def assert_sound!(context, options \\ []) do
    %{kafka: kafka, group: group, topic: topic, partitions: partitions} = context
    History.ask_produced(context.history, kafka, topic, partitions)
    History.ask_committed(context.history, kafka, group, topic, partitions)
    own = [at_end: :all_committed, order: true, fencing: kafka.cluster == nil]
    options = Keyword.merge(own, options)
    Checker.assert_sound!(context.history, options)
  end

  @doc "How long partitions that stayed waited in these windows."
  @spec gaps(context(), Feed.times(), [Gaps.window()]) :: [Gaps.gap()]
  def gaps(context, times, windows),
    do: context.history |> History.events() |> Gaps.over(times, windows)
end
