defmodule OffBroadwayRustKafka.FlowTest do
  # Flow's stages ask for more long before their records are handled, and pass them on meanwhile.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History, Stage, StageGroup, TestStage}

  @moduletag :flow
  @moduletag timeout: 120_000
  @compile {:no_warn_undefined, Flow}

  @mappers 3
  @max_demand 20

  defmodule Clicks do
    # A Flow for each partition of a group, that tells the test of what it has handled.
    alias OffBroadwayRustKafka.{FlowTest, History, Stage}
    alias OffBroadwayRustKafka.History.Records

    @max_demand 20

    def start_link({producer, topic, partition, extra_args}) do
      %{test: test, member: member, name: name, map: map, last: last} = extra_args
      place = {topic, partition}
      tag = History.StageGroup.subscribed(member, place, @max_demand)

      # One stage takes the records, so that what is written down has their order.
      FlowTest.start_link([producer], [stages: 1, max_demand: @max_demand],
        map: fn record ->
          History.StageGroup.got([record], tag)
          History.StageGroup.asked(tag, place, 1)
          map.(record)
        end,
        last: fn record ->
          last.(record)
          send(test, {:click, name, {partition, record.offset}})
          :ok = Records.done([record], tag)
          :ok = Stage.ack(record)
        end
      )
    end
  end

  @doc false
  def start_link(producers, options, steps) do
    producers
    |> Flow.from_stages(options)
    |> Flow.map(fn record -> {steps[:map].(record), record} end)
    |> Flow.partition(stages: 2, key: fn {_, record} -> record.value end)
    |> Flow.map(fn {_, record} -> steps[:last].(record) end)
    |> Flow.start_link()
  end

  # A Flow that a test starts, and that comes again when it ends.
  defp start_flow(stage, steps) do
    id = make_ref()
    arguments = [[stage.name], [stages: @mappers, max_demand: @max_demand], steps]
    start_supervised!(%{id: id, start: {__MODULE__, :start_link, arguments}})
    id
  end

  defp stop(flow, stage) do
    stop_supervised!(flow)
    TestStage.stop(stage)
  end

  defp start_group(kafka, topic, history, options) do
    {steps, options} = Keyword.split(options, [:map, :last])
    nothing = fn _record -> :ok end
    steps = %{map: steps[:map] || nothing, last: steps[:last] || nothing}
    options = [subscriber: Clicks, history: history, own: steps] ++ options
    StageGroup.start(kafka, [topic], options)
  end

  # A step that holds every record for as long as its gate is there.
  defp gate do
    id = make_ref()
    gate = start_supervised!(Supervisor.child_spec({Agent, fn -> nil end}, id: id))

    held = fn _record ->
      monitor = Process.monitor(gate)
      receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
    end

    {fn -> :ok = stop_supervised(id) end, held}
  end

  # How many were delivered by now, of which none is acknowledged.
  defp await_in_flight(stage, enough?) do
    await(15_000, fn ->
      {:ok, offsets} = OffBroadwayRustKafka.offsets(stage.name)
      assert Enum.all?(offsets, &(&1.acked == 0))
      count = offsets |> Enum.map(& &1.in_flight) |> Enum.sum()
      if enough?.(count), do: count, else: {:not_yet, "#{count} are in flight"}
    end)
  end

  defp once(bad) do
    left = :counters.new(1, [])

    fn record ->
      if bad.(record) and :counters.get(left, 1) == 0 do
        :counters.add(left, 1, 1)
        Process.exit(self(), :kill)
      end
    end
  end

  defp clicks(name) do
    receive do
      {:click, ^name, place} -> [place | clicks(name)]
    after
      0 -> []
    end
  end

  test "demand proves nothing: what is held in any of its steps is not committed, however much was asked for",
       %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 200)
    history = History.start()
    stage = TestStage.start(kafka, [topic], history: history, commit_interval: 0)
    {open_mappers, map} = gate()
    {open_the_end, last} = gate()
    flow = start_flow(stage, map: map, last: &(last.(&1) && History.Stage.ack([&1])))

    # Each mapper has all that it asked for.
    asked = @mappers * @max_demand
    assert await_in_flight(stage, &(&1 == asked)) == asked
    await_committed(kafka, stage.group, each(topic, 2, 0))

    # They pass it on, ask again, and get more: what is committed stays where it is.
    open_mappers.()
    assert await_in_flight(stage, &(&1 > asked)) > asked
    assert committed(kafka, stage.group, topic, 2) == each(topic, 2, 0)

    open_the_end.()
    await_committed(kafka, stage.group, each(topic, 2, 200))
    stop(flow, stage)
    report = Checker.assert_sound_at_end!(history, kafka, stage.group, {topic, 2})
    assert %{delivered: 400, redelivered: 0} = report
  end

  for {step, partition, offset} <- [{:map, 0, 50}, {:last, 1, 120}] do
    test "a stage of a Flow that is killed in its #{step} step loses nothing", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 200)
      history = History.start()
      stage = TestStage.start(kafka, [topic], history: history)
      kill = once(&({&1.partition, &1.offset} == {unquote(partition), unquote(offset)}))
      map = if unquote(step) == :map, do: kill, else: & &1
      last = if unquote(step) == :last, do: kill, else: & &1

      ack = fn record ->
        last.(record)
        History.Stage.ack([record])
      end

      flow = start_flow(stage, map: map, last: ack)

      await_committed(kafka, stage.group, each(topic, 2, 200), 60_000)
      # It goes on.
      fill(kafka, topic, 2, 10)
      await_committed(kafka, stage.group, each(topic, 2, 210), 60_000)
      stop(flow, stage)
      report = Checker.assert_sound_at_end!(history, kafka, stage.group, {topic, 2})
      assert report.redelivered > 0
    end
  end

  test "in a group each partition has its Flow, and one that is killed is the only one that starts anew",
       %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 100)
    history = History.start()
    kill = once(&({&1.partition, &1.offset} == {1, 60}))
    group = start_group(kafka, topic, history, last: kill)
    await_committed(kafka, group.group, each(topic, 3, 100), 60_000)
    places = clicks(group.name)

    for partition <- [0, 2],
        do: assert(Enum.count(places, &match?({^partition, _}, &1)) == 100)

    assert places |> Enum.uniq() |> length() == 300
    StageGroup.stop(group)
    Checker.assert_sound_at_end!(history, kafka, group.group, {topic, 3})
  end

  test "a second member that joins loses nothing, nor does one that leaves", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 100)
    history = History.start()
    slow = fn _record -> Kafka.pass(1) end
    options = [group_id: random_name("group"), last: slow]
    one = start_group(kafka, topic, history, options)
    await_assigned(one, 4)
    two = start_group(kafka, topic, history, options)
    await_assigned(two, 2)
    fill(kafka, topic, 4, 50)
    await_committed(kafka, one.group, each(topic, 4, 150), 60_000)
    assert clicks(two.name) != []
    fill(kafka, topic, 4, 50)
    StageGroup.stop(two)
    await_committed(kafka, one.group, each(topic, 4, 200), 60_000)
    StageGroup.stop(one)
    # A Flow that is stopped does not finish what is in it.
    Checker.assert_sound_at_end!(history, kafka, one.group, {topic, 4}, clean_stops: [])
  end
end
