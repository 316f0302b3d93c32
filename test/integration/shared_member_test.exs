defmodule OffBroadwayRustKafka.SharedMemberTest do
  # Pipelines of the user's own on one member.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History, Native, SharedMember, TestGroup}

  @moduletag timeout: 120_000

  # A member, as a pipeline without stages: by its name and its group.
  @spec member(Kafka.t(), [String.t()]) :: TestPipeline.t()
  defp member(kafka, topics), do: start_member(TestPipeline.new([]), kafka, topics)

  # One that is written down, and what its pipelines are given.
  @spec watched(Kafka.t(), [String.t()]) :: {TestPipeline.t(), History.t(), keyword()}
  defp watched(kafka, topics) do
    history = History.start()
    %{name: name, group: group} = new = TestPipeline.new([])
    watched = History.Member.watch(history, name, group, TestPipeline.label(new))
    {start_member(new, kafka, topics), history, [consumer: name, history: watched]}
  end

  @spec start_member(TestPipeline.t(), Kafka.t(), [String.t()]) :: TestPipeline.t()
  defp start_member(member, kafka, topics) do
    TestPipeline.listen(member.name)
    options = TestPipeline.member(member.group, kafka, topics, [])
    start_supervised!({SharedMember, [name: member.name] ++ options})
    member
  end

  # Stops the pipelines of two topics and the member, and checks the history.
  @spec checked(
          History.t(),
          Kafka.t(),
          TestPipeline.t(),
          [TestPipeline.t()],
          [String.t()]
        ) :: Checker.report()
  defp checked(history, kafka, member, pipelines, topics) do
    Enum.each(pipelines, &stop/1)
    stop_supervised!(member.name)
    TestGroup.sound(history, kafka, member, topics, 2, redelivered: 0)
  end

  @spec two_topics(Kafka.t()) :: [String.t()]
  defp two_topics(kafka), do: for(_ <- 1..2, do: create_topic(kafka, 2))

  test "pipelines on different topics share a member, and each is told of its own",
       %{kafka: kafka} do
    [a, b] = topics = two_topics(kafka)
    for topic <- topics, do: fill(kafka, topic, 2, 10)
    {member, history, own} = watched(kafka, topics)
    await_assigned(member, 4)
    one = TestPipeline.start(kafka, [a], [concurrency: 2] ++ own)
    assert one |> handled(20) |> offsets() == each(a, 2, Enum.to_list(0..9))
    two = TestPipeline.start(kafka, [b], own)
    assert two |> handled(20) |> offsets() == each(b, 2, Enum.to_list(0..9))
    await_committed(kafka, member.group, Map.merge(each(a, 2, 10), each(b, 2, 10)))

    assert {:ok, [%{topic: ^a, producer: p}, %{topic: ^a, producer: q}]} =
             OffBroadwayRustKafka.assignment(one.name)

    assert Enum.sort([p, q]) == [0, 1]

    # The brokers' answer may be on its way.
    await(15_000, fn ->
      case OffBroadwayRustKafka.offsets(two.name) do
        {:ok, [%{topic: ^b, committed: 10}, %{topic: ^b, committed: 10}]} -> :ok
        other -> {:not_yet, inspect(other)}
      end
    end)

    assert {:ok, all} = OffBroadwayRustKafka.lag(member.name)
    assert length(all) == 4

    assert {:error, %Error{code: :no_statistics}} = OffBroadwayRustKafka.statistics(one.name)
    checked(history, kafka, member, [one, two], topics)
  end

  @tag :broker
  test "the brokers know of one member, however many pipelines share it", %{kafka: kafka} do
    topics = two_topics(kafka)
    member = member(kafka, topics)
    for topic <- topics, do: TestPipeline.start(kafka, [topic], consumer: member.name)
    await_assigned(member, 4)
    {:ok, members} = Native.client_members(client(kafka), member.group, 15_000)
    assert length(members) == 1
  end

  test "a topic that no pipeline has keeps its records until one has it", %{kafka: kafka} do
    [a, b] = topics = two_topics(kafka)
    for topic <- topics, do: fill(kafka, topic, 2, 10)
    {member, history, own} = watched(kafka, topics)
    one = TestPipeline.start(kafka, [a], own)
    handled(one, 20)
    await_committed(kafka, member.group, Map.merge(each(a, 2, 10), each(b, 2, 0)))
    both = TestPipeline.start(kafka, [b], own)
    assert both |> handled(20) |> offsets() == each(b, 2, Enum.to_list(0..9))
    checked(history, kafka, member, [one, both], topics)
  end

  test "when a pipeline stops the member lives, and what it had is committed", %{kafka: kafka} do
    [a, b] = topics = two_topics(kafka)
    {member, history, own} = watched(kafka, topics)
    for topic <- topics, do: fill(kafka, topic, 2, 10)
    one = TestPipeline.start(kafka, [a], own)
    two = TestPipeline.start(kafka, [b], own)
    handled(one, 20)
    handled(two, 20)
    assert stop(one) == []
    await_committed(kafka, member.group, each(a, 2, 10))
    for topic <- topics, do: fill(kafka, topic, 2, 5)
    handled(two, 10)
    again = TestPipeline.start(kafka, [a], own)
    assert again |> handled(10) |> offsets() == each(a, 2, Enum.to_list(10..14))
    checked(history, kafka, member, [two, again], topics)
  end

  test "what a killed pipeline had in flight is delivered again to the next, and nothing else",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    test = self()
    {new, history, own} = watched(kafka, [topic])
    fill(kafka, topic, 1, 10)

    handle = fn %{metadata: %{offset: offset}} = message ->
      if offset in [3, 6], do: TestPipeline.hold(test, offset)
      message
    end

    processors = [concurrency: 4, max_demand: 1, partition_by: & &1.metadata.offset]
    common = [processors: processors] ++ own
    one = TestPipeline.start(kafka, [topic], [handle: handle] ++ common)
    assert_receive {:held, _, 3}, 15_000
    assert_receive {:held, _, 6}, 15_000
    await_committed(kafka, new.group, each(topic, 1, 3))
    History.fault(history, "a pipeline is killed", TestPipeline.label(new))
    pid = Process.whereis(one.name)
    OffBroadwayRustKafka.Group.Tree.kill([pid])
    handled_so_far(one)
    # As its supervisor would.
    start_supervised!({TestPipeline, TestPipeline.broadway(one, kafka, [topic], common)})
    await_committed(kafka, new.group, each(topic, 1, 10))
    assert [3, 6 | _] = one |> stop() |> Enum.map(& &1.metadata.offset) |> Enum.sort()
    stop_supervised!(new.name)
    TestGroup.sound(history, kafka, new, topic, 1, order: false)
  end

  test "what nobody has any more is delivered again once, however a pipeline begins",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    %{name: name} = member = member(kafka, [topic])
    fill(kafka, topic, 1, 5)
    test = self()
    hold = fn message -> TestPipeline.hold(test, message.metadata.offset) && message end
    one = TestPipeline.start(kafka, [topic], consumer: name, handle: hold)
    assert_receive {:held, _, 0}, 15_000

    # It may have come alone.
    await(15_000, fn ->
      {:ok, [offsets]} = OffBroadwayRustKafka.offsets(name)
      if offsets.in_flight == 5, do: :ok, else: {:not_yet, inspect(offsets)}
    end)

    OffBroadwayRustKafka.Group.Tree.kill([Process.whereis(one.name)])
    two = TestPipeline.start(kafka, [topic], consumer: name)
    assert two |> handled(5) |> offsets() == each(topic, 1, Enum.to_list(0..4))
    await_committed(kafka, member.group, each(topic, 1, 5))
    assert_receive {:telemetry, ^name, :redelivered, %{count: 5}, _}
    refute_received {:telemetry, ^name, :redelivered, _, _}
  end

  test "a member that crashes is found again by its pipelines", %{kafka: kafka} do
    topics = [a, b] = two_topics(kafka)
    {member, history, own} = watched(kafka, topics)
    one = TestPipeline.start(kafka, [a], own)
    two = TestPipeline.start(kafka, [b], own)
    for topic <- topics, do: fill(kafka, topic, 2, 10)
    handled(one, 20)
    handled(two, 20)
    await_committed(kafka, member.group, Map.merge(each(a, 2, 10), each(b, 2, 10)))

    History.Member.kill_consumer(own[:history], history)
    for topic <- topics, do: fill(kafka, topic, 2, 10)
    assert one |> handled(20) |> offsets() == each(a, 2, Enum.to_list(10..19))
    assert two |> handled(20) |> offsets() == each(b, 2, Enum.to_list(10..19))
    await_committed(kafka, member.group, Map.merge(each(a, 2, 20), each(b, 2, 20)))
    checked(history, kafka, member, [one, two], topics)
  end

  @spec refused(keyword()) :: String.t()
  defp refused(producer) do
    Process.flag(:trap_exit, true)

    {:error, reason} =
      Broadway.start_link(TestPipeline,
        name: TestPipeline.new([]).name,
        producer: [module: {OffBroadwayRustKafka.Producer, producer}],
        processors: [default: [concurrency: 1]]
      )

    message(reason)
  end

  @spec message(term()) :: String.t()
  defp message({%{__exception__: true} = error, _stack}), do: Exception.message(error)
  defp message(%{__exception__: true} = error), do: Exception.message(error)

  test "what a pipeline may not have of a member is refused with a way out", %{kafka: kafka} do
    [a, b] = two_topics(kafka)
    name = member(kafka, [a]).name
    of = fn options -> refused([consumer: name] ++ options) end

    assert of.(topics: [a], group_id: "g") =~
             ":group_id belongs to the member that the pipeline shares: give it to " <>
               "{OffBroadwayRustKafka.SharedMember, name: #{inspect(name)}"

    assert of.(topics: [a], hosts: "localhost") =~ ":hosts belongs to the member"
    assert of.(topics: [a], config: []) =~ ":config belongs to the member"
    assert of.(topics: [a], nonsense: 1) =~ "nonsense"
    assert of.([]) =~ "required :topics option not found"
    assert of.(topics: []) =~ "expected a non-empty list of topic names"

    assert of.(topics: [[name: a, offset_reset_policy: :earliest]]) =~
             "give its :offset_reset_policy in the :topics of the SharedMember"

    assert of.(topics: [b]) =~
             ~s(the member #{inspect(name)} does not read topic "#{b}", but ["#{a}"]: add it to the :topics)

    TestPipeline.start(kafka, [a], consumer: name)

    assert of.(topics: [a]) =~
             "another pipeline of the member #{inspect(name)} reads what this one"

    nobody = :"#{__MODULE__}.Nobody"

    assert refused(consumer: nobody, topics: [a]) =~
             "#{inspect(nobody)} does not run on this node: start an OffBroadwayRustKafka.SharedMember"

    assert refused(consumer: 7, topics: [a]) =~
             "expected the name of an OffBroadwayRustKafka.SharedMember, got: 7"
  end

  test "a pipeline with a member of its own has none to share", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    own = TestPipeline.start(kafka, [topic])
    await_assigned(own, 1)

    assert refused(consumer: own.name, topics: [topic]) =~ "is no member that pipelines share"
  end

  test "what a member may not have is refused", %{kafka: kafka} do
    options = [name: :"#{__MODULE__}.M", hosts: kafka.bootstrap, group_id: "g", topics: ["t"]]

    refused = fn options ->
      assert_raise(ArgumentError, fn -> SharedMember.start_link(options) end)
    end

    assert refused.(Keyword.delete(options, :name)).message =~ "expected :name to be an atom"

    assert refused.(Keyword.delete(options, :topics)).message =~
             "given to OffBroadwayRustKafka.SharedMember"

    assert refused.([message_format: :record] ++ options).message =~ "of the pipelines that share"
    assert refused.([consumer: :another] ++ options).message =~ "of the pipelines that share"
    assert refused.(:rubbish).message =~ "expected a keyword list"
  end
end
