defmodule OffBroadwayRustKafka.SettingThePaceTest do
  # Measures time: alone.
  use OffBroadwayRustKafka.FaultCase, async: false

  alias OffBroadwayRustKafka.History.Spans

  @allowed 11
  @interval_ms 1_000

  # Broadway gives out what is allowed at once, at the beginning of each interval: eight of them, from
  # the middle of one pause to the middle of another, so that no drift of a timer counts. An interval's
  # error that adds up would show after a few; PACE_SECONDS=300 is the long form.
  @intervals String.to_integer(System.get_env("PACE_SECONDS", "8"))

  @moduletag timeout: 1_000 * (@intervals + 120)

  @tag :hex
  test "a rate limit of #{@allowed} messages per #{@interval_ms} ms holds within one message, with 1 producer and with 4",
       %{kafka: kafka} do
    partitions = 8
    topic = create_topic(kafka, partitions)
    fill(kafka, topic, partitions, 2 * @intervals + 40)

    limited =
      for producers <- [1, 4] do
        history = History.start()
        {history, producers, limited(kafka, topic, history, producers)}
      end

    # What was allowed before there was something is used up by then.
    for {_, producers, _} <- limited do
      from = interval(producers, nil) + div(@interval_ms, 2)
      count = count(producers, from, from + @intervals * @interval_ms, 0)
      IO.puts("  #{producers}: #{count} messages in #{@intervals} intervals of #{@allowed}")
      assert_in_delta count, @intervals * @allowed, 1
    end

    for {history, _, pipeline} <- limited do
      stop(pipeline)
      History.ask_produced(history, kafka, topic, partitions)
      History.ask_committed(history, kafka, pipeline.group, topic, partitions)
      Checker.assert_sound!(history, order: true, redelivered: 0)
    end
  end

  # When an interval began: at the first message after a pause.
  defp interval(producers, before) do
    assert_receive {:at, ^producers, at}, 15_000
    if before && at - before > div(@interval_ms, 4), do: at, else: interval(producers, at)
  end

  defp limited(kafka, topic, history, producers) do
    test = self()

    at = fn message ->
      send(test, {:at, producers, System.monotonic_time(:millisecond)})
      message
    end

    TestPipeline.start(kafka, [topic],
      history: history,
      handle: at,
      tell: false,
      concurrency: producers,
      rate_limiting: [allowed_messages: @allowed, interval: @interval_ms]
    )
  end

  defp count(producers, from, until, count) do
    assert_receive {:at, ^producers, at}, 15_000

    cond do
      at < from -> count(producers, from, until, count)
      at < until -> count(producers, from, until, count + 1)
      true -> count
    end
  end

  # Each processor asks each producer.
  for {producers, bound} <- [{1, 5}, {4, 20}] do
    test "a concurrency of 5 bounds what is in flight to #{bound}, with #{producers} producers and max_demand: 1",
         %{kafka: kafka, history: history} do
      {partitions, records} = {20, 50}
      topic = create_topic(kafka, partitions)
      fill(kafka, topic, partitions, records)

      pipeline =
        TestPipeline.start(kafka, [topic],
          history: history,
          handle: fn message -> pass(3) && message end,
          tell: false,
          concurrency: unquote(producers),
          processors: [concurrency: 5, max_demand: 1]
        )

      await_committed(kafka, pipeline.group, each(topic, partitions, records), 30_000)
      stop(pipeline)
      most = history |> History.events() |> most_in_flight()
      IO.puts("  at most #{most} were delivered and not acknowledged")
      assert most <= unquote(bound)
      # It works on as many at once.
      assert most >= 5
      History.ask_produced(history, kafka, topic, partitions)
      History.ask_committed(history, kafka, pipeline.group, topic, partitions)
      Checker.assert_sound!(history, at_end: :all_committed, order: true, redelivered: 0)
    end
  end

  # What is delivered is written down before it is emitted, and an ack before there is demand for more.
  defp most_in_flight(events) do
    {0, most} =
      for {_, _, kind, _, _, value} <- events, kind in [:delivered, :acked], reduce: {0, 0} do
        {now, most} when kind == :acked ->
          {now - Spans.count(value), most}

        {now, most} ->
          now = now + Spans.count(elem(value, 1))
          {now, max(now, most)}
      end

    most
  end

  # Brokers take no shorter session than this, and a mock cluster's members wait for a session at joins.
  @session_ms if System.get_env("KAFKA_BROKERS"), do: 6_000, else: 1_600

  for {what, options, tags} <- [
        {"paused", [], []},
        {"rate-limited", [rate_limiting: [allowed_messages: 5, interval: 500]], [hex: true]}
      ] do
    @tag tags
    test "a #{what} pipeline outlives its session in the group, and holds up nobody who joins",
         %{kafka: kafka, history: history} do
      partitions = 4
      topic = create_topic(kafka, partitions)
      fill(kafka, topic, partitions, 200)
      config = ["session.timeout.ms": @session_ms, "heartbeat.interval.ms": 200]

      options =
        [
          history: history,
          group: random_name("group"),
          tell: false,
          producer: [config: config],
          processors: [concurrency: 2, max_demand: 1]
        ] ++ unquote(options)

      %{name: name} = first = TestPipeline.start(kafka, [topic], options)
      await_assigned(first, partitions)
      if unquote(what) == "paused", do: assert(:ok = OffBroadwayRustKafka.pause(name))

      pass(2 * @session_ms)
      for gone <- [:lost, :revoked], do: refute_received({:telemetry, ^name, ^gone, _, _})
      assert {:ok, assigned} = OffBroadwayRustKafka.assignment(name)
      assert length(assigned) == partitions

      joined = System.monotonic_time(:millisecond)
      second = TestPipeline.start(kafka, [topic], options)
      await_assigned(second, div(partitions, 2))
      ms = System.monotonic_time(:millisecond) - joined
      IO.puts("  #{unquote(what)}: another has its share after #{ms} ms")
      # A join, two rebalances, each of which a heartbeat tells of.
      assert ms < 3_000 + @session_ms

      # What is paused here is not paused there.
      :ok = OffBroadwayRustKafka.resume(name)
      for pipeline <- [first, second], do: stop(pipeline)
      History.ask_produced(history, kafka, topic, partitions)
      History.ask_committed(history, kafka, first.group, topic, partitions)
      Checker.assert_sound!(history, order: true, fencing: kafka.cluster == nil)
    end
  end
end
