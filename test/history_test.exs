defmodule OffBroadwayRustKafka.HistoryTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History, TestNode}
  alias OffBroadwayRustKafka.History.Spans

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
      await_committed(kafka, pipeline.group, each(topic, @partitions, @count))
      handled = stop(pipeline)
      events = asked(history, kafka, pipeline.group, topic)
      member = TestPipeline.label(pipeline) <> "#1"

      for {_, own, kind, _, _, _} <- events,
          kind not in [:produced, :broker],
          do: assert(own == member)

      assert handled |> offsets() |> Map.new(fn {at, all} -> {at, Spans.of_run(all)} end) ==
               each(topic, @partitions, [{0, @count - 1}])

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

      report =
        Checker.assert_sound!(history, at_end: :all_committed, order: true, from: :earliest)

      assert %{delivered: 600, handled: 600, redelivered: 0, order_breaks: 0} = report
    end
  end

  test "a node's history outlives its kill -9, and goes on with the next owner's", %{
    kafka: kafka,
    history: history
  } do
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, @count)
    group = random_name("group")
    node = TestNode.start(kafka, [topic], group: group, pause: 1, history: history)
    some = fn -> once(History.events(history), :acked) end

    await(30_000, fn ->
      if some.() == %{}, do: {:not_yet, "nothing is acked"}, else: :ok
    end)

    assert TestNode.kill(node, "KILL") == 137
    label = TestNode.label(node)
    events = History.events(history)

    assert [{_, ^label, :gone, nil, nil, "after SIGKILL"}] =
             Enum.filter(events, &match?({_, _, :gone, _, _, _}, &1))

    handled = TestNode.handled(node)

    for {at, {_, spans}} <- once(events, :handled),
        do: assert(Spans.difference(spans, Spans.new(handled[at])) == [])

    for {at, {_, acked}} <- once(events, :acked) do
      assert Spans.difference(acked, elem(once(events, :handled)[at], 1)) == []
      assert Spans.difference(acked, elem(once(events, :delivered)[at], 1)) == []
    end

    session = if kafka.cluster, do: 1_600, else: 6_000

    options = [
      group: group,
      history: history,
      producer: [config: ["session.timeout.ms": session]]
    ]

    pipeline = TestPipeline.start(kafka, [topic], options)
    await_committed(kafka, group, each(topic, @partitions, @count), 60_000)
    stop(pipeline)
    asked(history, kafka, group, topic)
    report = Checker.assert_sound!(history, at_end: :all_committed)
    assert report.members == 2
    assert report.redelivered > 0
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
