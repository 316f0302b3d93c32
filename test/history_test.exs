defmodule OffBroadwayRustKafka.HistoryTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History, StageGroup, TestNode, TestStage}
  alias OffBroadwayRustKafka.History.{Sink, Spans}

  @partitions 3
  @count 200

  setup do
    %{history: History.start()}
  end

  for {shape, options} <- [
        {"", []},
        {", with producers and batchers",
         [concurrency: 2, batchers: [default: [batch_size: 7, batch_timeout: 20, concurrency: 2]]]}
      ] do
    test "a pipeline's history has each record as often as it went through#{shape}", %{
      kafka: kafka,
      history: history
    } do
      topic = create_topic(kafka, @partitions)
      fill(kafka, topic, @partitions, @count)
      options = [history: history] ++ unquote(Macro.escape(options))
      pipeline = TestPipeline.start(kafka, [topic], options)
      History.watch_committed(history, kafka, pipeline.group, topic, @partitions, 10)
      await_committed(kafka, pipeline.group, each(topic, @partitions, @count))
      handled = stop(pipeline)
      events = asked(history, kafka, pipeline.group, topic)
      member = TestPipeline.label(pipeline) <> "#1"

      assert handled |> offsets() |> Map.new(fn {at, all} -> {at, Spans.of_run(all)} end) ==
               each(topic, @partitions, [{0, @count - 1}])

      assert_whole(events, topic, member)

      report =
        Checker.assert_sound!(history, at_end: :all_committed, order: true, from: :earliest)

      assert %{delivered: 600, handled: 600, redelivered: 0, order_breaks: 0} = report
    end
  end

  for what <- [:stages, :stream] do
    test "so has that of #{what}", %{kafka: kafka, history: history} do
      topic = create_topic(kafka, @partitions)
      fill(kafka, topic, @partitions, @count)
      {group, member} = read(unquote(what), kafka, topic, history)
      events = asked(history, kafka, group, topic)
      assert_whole(events, topic, member)
      report = Checker.assert_sound!(history, at_end: :all_committed, order: true)
      assert %{delivered: 600, handled: 600, redelivered: 0} = report
    end
  end

  defp read(:stages, kafka, topic, history) do
    group = StageGroup.start(kafka, [topic], history: history)
    await_committed(kafka, group.group, each(topic, @partitions, @count))
    StageGroup.stop(group)
    {group.group, History.Stage.label(group.name) <> "#1"}
  end

  defp read(:stream, kafka, topic, history) do
    group = random_name("group")
    options = TestStage.options(kafka, [topic], group_id: group)
    stream = OffBroadwayRustKafka.stream(options)
    all = @partitions * @count
    read = stream |> History.Stream.recorded(history, group, "stream") |> Enum.take(all)
    assert length(read) == all
    {group, "stream#1"}
  end

  # Of each partition everything was told, by one member.
  defp assert_whole(events, topic, member) do
    for {_, own, kind, _, _, _} <- events,
        kind not in [:produced, :broker],
        do: assert(own == member)

    for kind <- [:delivered, :handled, :acked],
        do: assert(once(events, kind) == each(topic, @partitions, {@count, [{0, @count - 1}]}))

    assert asked_for(events) >= @partitions * @count

    assert Map.new(for {_, _, :committed, at, _, {offset, _}} <- events, do: {at, offset}) ==
             each(topic, @partitions, @count)

    assert Map.new(for {_, _, :assigned, at, 1, start} <- events, do: {at, start}) ==
             each(topic, @partitions, 0)

    assert Map.new(for {_, _, :revoked, at, 1, unacked} <- events, do: {at, unacked}) ==
             each(topic, @partitions, 0)

    assert List.last(for {_, _, kind, nil, nil, _} <- events, do: kind) == :stopped
  end

  test "a pipeline's messages go the same way with a history, whatever handlers make of them", %{
    kafka: kafka,
    history: history
  } do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, @count)

    pipeline =
      TestPipeline.start(kafka, [topic],
        history: history,
        processors: [concurrency: 4],
        batchers: [default: [concurrency: 2, batch_timeout: 20]],
        handle:
          &%{
            &1
            | metadata: %{own: &1.metadata.offset},
              batch_key: :own,
              data: &1.metadata.partition
          }
      )

    await_committed(kafka, pipeline.group, each(topic, @partitions, @count))
    %{name: name} = pipeline
    :ok = Broadway.stop(name)
    served = handlers(:handled, name) ++ handlers(:batch, name)
    assert length(served) == 2 * @partitions * @count

    processes = Enum.uniq(served)
    assert length(for {{:handled, _}, _} <- processes, do: 1) == @partitions
    assert length(for {{:batch, _}, _} <- processes, do: 1) == @partitions
    assert length(Enum.uniq(for {{:handled, _}, pid} <- processes, do: pid)) == @partitions
    assert length(Enum.uniq(for {{:batch, _}, pid} <- processes, do: pid)) == 2

    asked(history, kafka, pipeline.group, topic)
    Checker.assert_sound!(history, at_end: :all_committed, order: true)
  end

  # Which process served what, by the partition that a message has as its data.
  defp handlers(kind, name) do
    receive do
      {^kind, ^name, pid, messages} ->
        served = for message <- List.wrap(messages), do: {{kind, message.data}, pid}
        served ++ handlers(kind, name)
    after
      0 -> []
    end
  end

  @tag timeout: 180_000
  test "a node's history outlives its kill -9, and goes on with the next owner's", %{
    kafka: kafka,
    history: history
  } do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, @count)
    group = random_name("group")
    # It has to end before the next one begins.
    session = if kafka.cluster, do: 1_600, else: 6_000
    config = ["session.timeout.ms": session, "heartbeat.interval.ms": 200]
    options = [group: group, history: history, producer: [config: config]]
    node = TestNode.start(kafka, [topic], [pause: 1] ++ options)
    some = fn -> once(History.events(history), :acked) end

    await(30_000, fn ->
      if some.() == %{}, do: {:not_yet, "nothing is acked"}, else: :ok
    end)

    for signal <- ["STOP", "CONT"], do: TestNode.signal(node, signal)
    assert TestNode.kill(node, "KILL") == 137
    label = TestNode.label(node)
    events = History.events(history)

    assert [{_, ^label, :gone, nil, nil, "after SIGKILL"}] =
             Enum.filter(events, &match?({_, _, :gone, _, _, _}, &1))

    told = for {_, ^label, kind, nil, nil, what} <- events, kind != :gone, do: {kind, what}
    assert told == [fault_begins: "stopped", fault_ends: "stopped", fault: "SIGKILL"]
    handled = TestNode.handled(node)

    for {at, {_, spans}} <- once(events, :handled),
        do: assert(Spans.difference(spans, Spans.new(handled[at])) == [])

    for {at, {_, acked}} <- once(events, :acked) do
      assert Spans.difference(acked, elem(once(events, :handled)[at], 1)) == []
      assert Spans.difference(acked, elem(once(events, :delivered)[at], 1)) == []
    end

    pipeline = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, group, each(topic, @partitions, @count), 60_000)
    stop(pipeline)
    asked(history, kafka, group, topic)
    report = Checker.assert_sound!(history, at_end: :all_committed)
    assert report.members == 2
    assert report.redelivered > 0
  end

  @tag :tmp_dir
  test "what a kill has cut short is no event, and the rest of the file is", %{tmp_dir: dir} do
    for number <- 1..3, do: Sink.write({:dir, dir}, "a#1", :lane, nil, nil, number)
    assert [file] = Path.wildcard(dir <> "/*")
    File.write!(file, binary_part(File.read!(file), 0, File.stat!(file).size - 1))
    assert [{_, "a#1", :lane, nil, nil, 1}, {_, "a#1", :lane, nil, nil, 2}] = History.load([dir])
  end

  # Where the functions that `use GenStage` brings are none: what the product has, it has itself.
  unless Application.spec(:gen_stage) do
    test "a recorded producer has every callback that the product's has" do
      of = &(&1.__info__(:functions) -- [__struct__: 0, __struct__: 1])
      assert of.(OffBroadwayRustKafka.Producer) -- of.(History.Producer) == []
    end
  end

  test "a history is in the order of time, whichever process told of it", %{history: history} do
    tell = fn number -> History.fault(history, number) end
    for number <- 1..100, do: Task.await(Task.async(fn -> tell.(number) end))

    assert for({_, nil, :fault, nil, nil, number} <- History.events(history), do: number) ==
             Enum.to_list(1..100)
  end

  defp asked(history, kafka, group, topic) do
    History.ask_produced(history, kafka, topic, @partitions)
    History.ask_committed(history, kafka, group, topic, @partitions)
    History.events(history)
  end

  # How many records in all, and which.
  defp once(events, kind) do
    for({_, _, ^kind, at, _, value} <- events, do: {at, spans(value)})
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn {at, all} ->
      {at, {all |> Enum.concat() |> Spans.count(), all |> Enum.concat() |> Spans.union()}}
    end)
  end

  defp spans({_lane, spans}), do: spans
  defp spans(spans), do: spans

  defp asked_for(events),
    do: Enum.sum(for {_, _, :demanded, _, _, {_, count}} <- events, do: count)
end
