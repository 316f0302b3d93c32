defmodule OffBroadwayRustKafka.StageTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History, Record, Stage, TestStage, TestSubscriber}

  import TestSubscriber, only: [got: 1, got: 2, got_so_far: 0, got_so_far: 1]

  defp places(records), do: for(record <- records, do: {record.partition, record.offset})

  defp assert_sound(history, kafka, stage, topic, partitions) do
    TestStage.stop(stage)
    History.ask_produced(history, kafka, topic, partitions)
    History.ask_committed(history, kafka, stage.group, topic, partitions)
    Checker.assert_sound!(history, at_end: :all_committed)
  end

  test "records come as structs, in the order of their partition, with nothing of ours to see", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)

    produce(kafka, topic, [
      %{partition: 1, key: "k", value: "a", headers: [{"h", "1"}], ts: 1_700_000_000_000},
      %{partition: 1, value: nil}
    ])

    stage = TestStage.start(kafka, [topic])
    TestSubscriber.start(stage.name, max_demand: 1)
    assert [%Record{} = first, %Record{} = second] = got(2)

    assert %{topic: ^topic, partition: 1, offset: 0, key: "k", value: "a"} = first
    assert %{ts: 1_700_000_000_000, headers: [{"h", "1"}]} = first
    assert %{offset: 1, key: nil, value: nil} = second

    assert inspect(second) =~
             ~s(%OffBroadwayRustKafka.Record{topic: "#{topic}", partition: 1, offset: 1)

    refute inspect(second) =~ "source"
  end

  test "nothing is delivered to nobody, and never more is emitted than was asked for", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 50)
    stage = TestStage.start(kafka, [topic])
    await_assigned(stage, 3)
    subscriber = TestSubscriber.start(stage.name, manual: true)
    {:ok, offsets} = OffBroadwayRustKafka.offsets(stage.name)
    assert for(%{delivered: delivered} <- offsets, do: delivered) == [0, 0, 0]

    for demand <- [1, 0, 7, 40] do
      :ok = TestSubscriber.ask(subscriber, demand)
      assert length(got(demand)) == demand
      # Whatever it has to do is done when it has answered twice.
      :sys.get_state(stage.name)
      :sys.get_state(stage.name)
      assert got_so_far() == []
      assert GenStage.estimate_buffered_count(stage.name) == 0
    end

    {:ok, offsets} = OffBroadwayRustKafka.offsets(stage.name)
    assert offsets |> Enum.map(& &1.delivered) |> Enum.sum() == 48
  end

  test "demand is remembered: what comes later is delivered at once", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    stage = TestStage.start(kafka, [topic])
    TestSubscriber.start(stage.name, max_demand: 10)
    await_assigned(stage, 1)
    fill(kafka, topic, 1, 3)
    assert length(got(3)) == 3
    fill(kafka, topic, 1, 4)
    assert length(got(4)) == 4
  end

  test "offsets move by acknowledgements, in order, and not by demand", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 20)
    stage = TestStage.start(kafka, [topic], commit_interval: 0)
    TestSubscriber.start(stage.name, max_demand: 2, handle: fn _ -> :ok end)
    records = got(20)
    # All was asked for and handed on, nothing was handled.
    assert committed(kafka, stage.group, topic, 1) in [%{{topic, 0} => nil}, %{{topic, 0} => 0}]
    :ok = records |> Enum.slice(1..4) |> Stage.ack()
    :ok = records |> hd() |> Stage.ack()
    await_committed(kafka, stage.group, %{{topic, 0} => 5})
    # Once more changes nothing.
    :ok = records |> Enum.take(5) |> Stage.ack()
    :ok = Stage.ack([])
    TestStage.stop(stage)
    assert committed(kafka, stage.group, topic, 1) == %{{topic, 0} => 5}
  end

  test "several subscribers share the records", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 100)
    history = History.start()
    stage = TestStage.start(kafka, [topic], history: history)

    for _ <- 1..3,
        do: TestSubscriber.start(stage.name, max_demand: 5, handle: &History.Stage.ack/1)

    assert 400 |> got() |> places() |> Enum.uniq() |> length() == 400
    await_committed(kafka, stage.group, each(topic, 4, 100))
    assert_sound(history, kafka, stage, topic, 4)
  end

  test "a subscriber that is killed loses nothing, and demand of the others survives", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 50)
    history = History.start()
    stage = TestStage.start(kafka, [topic], history: history)
    held = TestSubscriber.start(stage.name, tag: :dies, max_demand: 10, handle: fn _ -> :ok end)
    got(:dies, 10)

    other =
      TestSubscriber.start(stage.name, tag: :lives, max_demand: 10, handle: &History.Stage.ack/1)

    Process.exit(held, :kill)
    await_committed(kafka, stage.group, each(topic, 2, 50))
    # It goes on, without having been restarted.
    fill(kafka, topic, 2, 5)
    await_committed(kafka, stage.group, each(topic, 2, 55))
    assert Process.alive?(other)
    assert_sound(history, kafka, stage, topic, 2)
    assert :lives |> got_so_far() |> places() |> Enum.uniq() |> length() == 110
  end

  test "the next subscriber gets what one had that is gone, first and in order", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 30)
    stage = TestStage.start(kafka, [topic])
    first = TestSubscriber.start(stage.name, max_demand: 10, handle: fn _ -> :ok end)
    records = got(10)
    # One that was acknowledged is not delivered again.
    Stage.ack(Enum.at(records, 4))
    monitor = Process.monitor(first)
    Process.exit(first, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}
    TestSubscriber.start(stage.name, tag: :next, max_demand: 4)
    offsets = for record <- got(:next, 29), do: record.offset
    assert offsets == Enum.to_list(0..29) -- [4]
    await_committed(kafka, stage.group, %{{topic, 0} => 30})
  end

  test "one that cancels is not sent what it had asked for and not got", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    stage = TestStage.start(kafka, [topic])
    await_assigned(stage, 1)
    subscriber = TestSubscriber.start(stage.name, max_demand: 100)
    :ok = TestSubscriber.cancel(subscriber)
    :sys.get_state(stage.name)
    fill(kafka, topic, 1, 5)
    # Had it been taken for nobody, it would count as delivered.
    await(15_000, fn ->
      {:ok, [lag]} = OffBroadwayRustKafka.lag(stage.name)
      if lag.backlog == 5, do: :ok, else: {:not_yet, inspect(lag)}
    end)

    TestSubscriber.start(stage.name, tag: :next)
    assert places(got(:next, 5)) == for(offset <- 0..4, do: {0, offset})
    assert got_so_far() == []
  end

  test "nor does anybody else get it, who has not asked for so much", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    stage = TestStage.start(kafka, [topic])
    await_assigned(stage, 1)
    greedy = TestSubscriber.start(stage.name, tag: :greedy, max_demand: 100)
    modest = TestSubscriber.start(stage.name, manual: true)
    :ok = TestSubscriber.ask(modest, 3)
    :ok = TestSubscriber.cancel(greedy)
    :sys.get_state(stage.name)
    fill(kafka, topic, 1, 50)
    assert length(got(3)) == 3
    :sys.get_state(stage.name)
    :sys.get_state(stage.name)
    assert {:ok, [%{delivered: 3}]} = OffBroadwayRustKafka.offsets(stage.name)
    assert GenStage.estimate_buffered_count(stage.name) == 0
    :ok = TestSubscriber.ask(modest, 4)
    assert length(got(4)) == 4
    assert got_so_far(:greedy) == []
  end

  test "a negative demand is told of, and harms nobody", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    stage = TestStage.start(kafka, [topic])
    subscriber = TestSubscriber.start(stage.name, manual: true)
    %{from: {_, ref}} = TestSubscriber.state(subscriber)

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        send(stage.name, {:"$gen_producer", {subscriber, ref}, {:ask, -5}})
        :sys.get_state(stage.name)
      end)

    assert log =~ "expects a demand of 0 or more, got: -5"
    :ok = TestSubscriber.ask(subscriber, 2)
    assert length(got(2)) == 2
  end

  test "a rebalance loses nothing and leaves the demand as it was", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 100)
    history = History.start()
    options = [group_id: random_name("group"), history: history]
    one = TestStage.start(kafka, [topic], options)
    TestSubscriber.start(one.name, max_demand: 7, handle: &History.Stage.ack/1)
    await_assigned(one, 4)
    two = TestStage.start(kafka, [topic], options)
    TestSubscriber.start(two.name, max_demand: 7, handle: &History.Stage.ack/1)
    await_assigned(two, 2)
    fill(kafka, topic, 4, 50)
    await_committed(kafka, one.group, each(topic, 4, 150), 60_000)
    TestStage.stop(two)
    fill(kafka, topic, 4, 10)
    await_committed(kafka, one.group, each(topic, 4, 160), 60_000)
    assert_sound(history, kafka, one, topic, 4)
  end

  test "a stage that stops commits what is acknowledged and leaves the group", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    stage = TestStage.start(kafka, [topic], commit_interval: 60_000)
    subscriber = TestSubscriber.start(stage.name, max_demand: 10)
    got(10)
    # It tells before it acknowledges, and has done both once it answers.
    TestSubscriber.state(subscriber)
    started = System.monotonic_time(:millisecond)
    TestStage.stop(stage)
    assert System.monotonic_time(:millisecond) - started < 8_000
    assert_received {:telemetry, _, :closed, _, %{error: nil}}
    assert committed(kafka, stage.group, topic, 1) == %{{topic, 0} => 10}
    assert {:error, %{code: :no_pipeline}} = OffBroadwayRustKafka.commit(stage.name)
  end

  test "a stage that is killed is gone with its member", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    stage = TestStage.start(kafka, [topic])
    await_assigned(stage, 1)
    stage.name |> Process.whereis() |> Process.exit(:kill)
    assert_receive {:telemetry, _, :closed, _, %{error: nil}}, 15_000
  end

  test "it is a producer of GenStage's own making too", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 1)
    options = TestStage.options(kafka, [topic])
    {:ok, stage} = GenStage.start_link(Stage, options)
    TestSubscriber.start(stage)
    assert [%Record{value: "1"}] = got(1)
    assert {:ok, [%{topic: ^topic}]} = OffBroadwayRustKafka.assignment(stage)
    :ok = GenStage.stop(stage)
  end
end
