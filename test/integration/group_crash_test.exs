defmodule OffBroadwayRustKafka.GroupCrashTest do
  # A pipeline for each partition: when one crashes, when what starts it or the member does, and when a
  # callback answers rubbish. One history is of each, held against what is guaranteed.

  use OffBroadwayRustKafka.KafkaCase, async: true

  import OffBroadwayRustKafka.TestGroup, only: [sound: 5, sound: 6]

  alias OffBroadwayRustKafka.{Error, History, Native, TestGroup}

  @moduletag timeout: 120_000

  # A handler that waits for the test's word at this partition and offset.
  defp holding(place) do
    test = self()

    fn %{metadata: %{partition: partition, offset: offset}} = message ->
      if {partition, offset} == place, do: TestPipeline.hold(test, offset)
      message
    end
  end

  test "a pipeline that crashes is started again from its lowest unacknowledged record",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    handle = holding({0, 5})

    processors = [concurrency: 2, max_demand: 2, partition_by: & &1.metadata.offset]
    options = [history: history, handle: handle, processors: processors]
    group = TestGroup.start(kafka, [topic], options)
    pipeline = TestGroup.await_pipeline(group, 0)
    fill(kafka, topic, 2, 10)
    assert_receive {:held, _, 5}, 15_000
    await_committed(kafka, group.group, %{{topic, 0} => 5, {topic, 1} => 10})
    History.fault(history, "a pipeline is killed", TestPipeline.label(group))
    Process.exit(pipeline, :kill)
    assert_receive {:held, again, 5}, 15_000
    send(again, :go)
    await_committed(kafka, group.group, each(topic, 2, 10))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 2, order: false)
  end

  test "a pipeline that is gone as soon as it has started is replaced whole", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    history = History.start()
    {%{name: name} = group, child} = TestGroup.child(kafka, [topic], history: history)
    supervisor = :"#{inspect(name)}.#{topic}.0.Broadway.Supervisor"
    event = [:off_broadway_rust_kafka, :pipeline_started]
    config = %{handler: make_ref(), name: name, supervisor: supervisor}
    :ok = :telemetry.attach(config.handler, event, &__MODULE__.kill_once/4, config)
    History.fault(history, "a pipeline is killed", TestPipeline.label(group))
    start_supervised!(child)
    assert TestGroup.await_started(group, 2) == [{topic, 0}, {topic, 0}]
    fill(kafka, topic, 1, 10)
    await_committed(kafka, group.group, each(topic, 1, 10))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 1, redelivered: 0)
  end

  # Kills the first one, while what it has started is too busy to hear of it.
  def kill_once(_event, _measurements, %{name: name, pipeline: pid}, %{name: name} = config) do
    :telemetry.detach(config.handler)
    monitor = Process.monitor(pid)
    config.supervisor |> Process.whereis() |> :erlang.suspend_process()
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end
  end

  def kill_once(_event, _measurements, _another, _config), do: :ok

  @spec crash(TestPipeline.t(), History.t(), non_neg_integer(), pos_integer()) :: :ok
  defp crash(group, history, partition, times) do
    for _ <- 1..times do
      pipeline = TestGroup.await_pipeline(group, partition)
      History.fault(history, "a pipeline is killed", TestPipeline.label(group))
      Process.exit(pipeline, :kill)
    end

    :ok
  end

  test "a partition whose pipeline crashes too often is set aside, and the others go on",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    group = TestGroup.start(kafka, [topic], history: history, module: TestGroup.Patient)
    crash(group, history, 0, 4)
    name = group.name
    assert_receive {:telemetry, ^name, :set_aside, %{count: 1}, aside}, 15_000
    assert %{topic: ^topic, partition: 0, error: %Error{code: :pipeline_crashed} = error} = aside
    assert error.message =~ "the pipeline of #{topic}/0 ended 4 times within 60 s"
    fill(kafka, topic, 2, 10)
    assert group |> handled(10) |> offsets() == %{{topic, 1} => Enum.to_list(0..9)}
    await_committed(kafka, group.group, %{{topic, 0} => 0, {topic, 1} => 10})

    assert {:ok, [%{producer: nil}, %{producer: lane}]} =
             OffBroadwayRustKafka.assignment(group.name)

    assert is_integer(lane)

    # Started again, it is tried again.
    TestGroup.stop(group)
    again = TestGroup.start(kafka, [topic], history: history, group: group.group)
    assert again |> handled(10) |> offsets() == %{{topic, 0} => Enum.to_list(0..9)}
    await_committed(kafka, group.group, each(topic, 2, 10))
    TestGroup.stop(again)
    sound(history, kafka, again, topic, 2, redelivered: 0)
  end

  test "a member that crashes is started anew, and so are the pipelines of what it is assigned",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    %{name: name, group: group_id} = new = TestPipeline.new([])
    member = History.Member.watch(history, name, group_id, TestPipeline.label(new))
    group = TestGroup.start(kafka, [topic], name: name, group: group_id, history: member)
    TestGroup.await_started(group, 2)
    fill(kafka, topic, 2, 10)
    handled(group, 20)
    await_committed(kafka, group_id, each(topic, 2, 10))
    History.Member.kill_consumer(member, history)
    assert length(TestGroup.await_started(group, 2)) == 2
    fill(kafka, topic, 2, 10)
    assert group |> handled(20) |> offsets() == each(topic, 2, Enum.to_list(10..19))
    await_committed(kafka, group_id, each(topic, 2, 20))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 2, redelivered: 0)
  end

  test "a member that crashes while records are handled loses nothing", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    test = self()
    %{name: name, group: group_id} = new = TestPipeline.new([])
    member = History.Member.watch(history, name, group_id, TestPipeline.label(new))
    seen = :atomics.new(2, [])

    handle = fn %{metadata: %{partition: partition, offset: offset}} = message ->
      if offset == 5 and :atomics.add_get(seen, partition + 1, 1) == 1,
        do: TestPipeline.hold(test, partition)

      message
    end

    options = [name: name, group: group_id, history: member, handle: handle]
    group = TestGroup.start(kafka, [topic], options)
    fill(kafka, topic, 2, 20)
    held = for _ <- 1..2, do: assert_receive({:held, _, _}, 15_000)
    History.Member.kill_consumer(member, history)
    for {:held, pid, _} <- held, do: send(pid, :go)
    await_committed(kafka, group_id, each(topic, 2, 20))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 2)
  end

  test "who starts pipelines may crash: those that run are replaced, and nothing is lost",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    group = TestGroup.start(kafka, [topic], history: history)
    TestGroup.await_started(group, 2)
    fill(kafka, topic, 2, 10)
    assert length(handled(group, 20)) == 20

    {starter, _} = starter(group)
    History.fault(history, "who starts pipelines is killed", TestPipeline.label(group))
    Process.exit(starter, :kill)
    assert length(TestGroup.await_started(group, 2)) == 2
    fill(kafka, topic, 2, 10)
    assert group |> handled(20) |> offsets() == each(topic, 2, Enum.to_list(10..19))
    await_committed(kafka, group.group, each(topic, 2, 20))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 2)
  end

  test "their supervisor may be killed: nothing of theirs is left, and nothing is lost", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    history = History.start()
    handle = holding({0, 5})

    group = TestGroup.start(kafka, [topic], history: history, handle: handle)
    TestGroup.await_started(group, 2)
    fill(kafka, topic, 2, 10)
    assert_receive {:held, held, 5}, 15_000
    monitor = Process.monitor(held)
    {_, supervisor} = starter(group)
    History.fault(history, "a supervisor is killed", TestPipeline.label(group))
    Process.exit(supervisor, :kill)
    assert length(TestGroup.await_started(group, 2)) == 2
    assert_receive {:DOWN, ^monitor, _, _, _}
    assert_receive {:held, again, 5}, 15_000
    send(again, :go)
    await_committed(kafka, group.group, each(topic, 2, 10))
    TestGroup.stop(group)
    sound(history, kafka, group, topic, 2)
  end

  test "a group may end where a pipeline crashes too often: the others finish, and it says why",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    history = History.start()
    handle = holding({1, 4})

    processors = [concurrency: 1, max_demand: 1]
    own = [module: TestGroup.Stopping, processors: processors]
    options = [history: history, handle: handle] ++ own
    {%{name: name} = group, child} = TestGroup.child(kafka, [topic], options)
    {:ok, supervisor} = start_supervised(child)
    fill(kafka, topic, 2, 5)
    assert_receive {:held, neighbour, 4}, 15_000
    await_committed(kafka, group.group, %{{topic, 0} => 5, {topic, 1} => 4})

    ref = Process.monitor(supervisor)
    crash(group, history, 0, 1)
    assert_receive {:telemetry, ^name, :set_aside, _, %{partition: 0}}, 15_000
    refute_received {:DOWN, ^ref, _, _, _}
    send(neighbour, :go)
    assert_receive {:DOWN, ^ref, _, _, {:shutdown, %Error{code: :pipeline_crashed}}}, 15_000

    # It has left: nobody waits for its session to end.
    assert_received {:telemetry, ^name, :closed, _, %{error: nil}}
    assert members(kafka, group.group) == []
    assert committed(kafka, group.group, topic, 2) == each(topic, 2, 5)
    sound(history, kafka, group, topic, 2, redelivered: 0)
  end

  # The mock cluster does not say.
  @spec members(Kafka.t(), String.t()) :: [term()]
  defp members(%{cluster: nil} = kafka, group) do
    {:ok, members} = Native.client_members(client(kafka), group, 15_000)
    members
  end

  defp members(_mock, _group), do: []

  test "a broadway_config that answers rubbish or raises costs its partition only",
       %{kafka: kafka} do
    topic = create_topic(kafka, 5)
    fill(kafka, topic, 5, 1)
    history = History.start()

    config = fn
      _config, _topic, 0 -> :rubbish
      _config, _topic, 1 -> raise "no configuration"
      config, _topic, 2 -> Keyword.put(config, :producer, 7)
      config, _topic, 3 -> Keyword.put(config, :processors, :none)
      config, _topic, 4 -> config
    end

    group = TestGroup.start(kafka, [topic], config: config, history: history)
    name = group.name

    asides =
      for _ <- 1..4, into: %{} do
        assert_receive {:telemetry, ^name, :set_aside, _, %{partition: partition, error: error}},
                       15_000

        {partition, error}
      end

    module = "OffBroadwayRustKafka.TestGroup.PerPartition"

    assert Exception.message(asides[0]) =~
             "#{module}.broadway_config/3 must return a keyword list"

    assert Exception.message(asides[0]) =~ "got: :rubbish (topic \"#{topic}\", partition 0)"
    assert asides[1].message =~ "#{module}.broadway_config/3 raised"
    assert asides[2].message =~ "must return a keyword list for :producer"
    assert asides[2].message =~ "got: 7"
    assert asides[3].message =~ "does not start with what #{module}.broadway_config/3 returned"
    assert [%{metadata: %{partition: 4}}] = handled(group, 1)
    await_committed(kafka, group.group, Map.put(each(topic, 5, 0), {topic, 4}, 1))

    # The group lives on, and what it does not handle is there for one that can.
    fill(kafka, topic, 5, 1)
    assert [%{metadata: %{partition: 4, offset: 1}}] = handled(group, 1)
    TestGroup.stop(group)
    able = TestGroup.start(kafka, [topic], group: group.group, history: history)
    assert able |> handled(8) |> offsets() == for(p <- 0..3, into: %{}, do: {{topic, p}, [0, 1]})
    await_committed(kafka, group.group, each(topic, 5, 2))
    TestGroup.stop(able)
    sound(history, kafka, able, topic, 5, redelivered: 0)
  end

  test "a kafka_config that answers rubbish or raises is what start_link answers",
       %{kafka: kafka} do
    module = "OffBroadwayRustKafka.TestGroup.PerPartition"

    for {answer, said} <- [
          {fn _ -> 42 end, "#{module}.kafka_config/1 must return a keyword list"},
          {fn _ -> raise "no options today" end, "#{module}.kafka_config/1 raised"},
          {&Keyword.delete(&1, :topics), "by #{module}.kafka_config/1: required :topics option"}
        ] do
      {_, %{start: {start_module, function, arguments}}} =
        TestGroup.child(kafka, ["any"], kafka: answer)

      assert {:error, %Error{fatal?: true} = error} = apply(start_module, function, arguments)
      assert error.code in [:invalid_callback, :invalid_config]
      assert error.message =~ said
    end
  end
end
