defmodule OffBroadwayRustKafka.NetworkTest do
  use OffBroadwayRustKafka.ClusterCase

  alias OffBroadwayRustKafka.{Checker, History}

  @partitions 8

  # What a stop may take: Broadway waits so long for its stages, and we take two seconds at most; and one
  # for a busy machine.
  @shutdown_ms 2_000
  @stop_ms @shutdown_ms + 3_000

  # A connection that answers nothing is noticed after `socket.timeout.ms`. It should be below
  # `session.timeout.ms`, or the coordinator's takes the partitions away first.
  @config [
    "socket.timeout.ms": 3_000,
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_000
  ]

  # Heartbeats that take four seconds there and back need more.
  @patient ["session.timeout.ms": 30_000]

  # A new connection is tried after a second at most, joining the group anew may take a session.
  @recover_ms 20_000

  # By default it is the thirty seconds of our socket.timeout.ms, below the session timeout of 45.
  @default_ms 40_000

  # A group with members waits for one that it knows and that is gone as long as its session: 45 seconds.
  @late_ms 300
  @moments 16
  @next_ms 5_000

  # Connections that have to be reset for a test to be worth it.
  @resets 5

  @faults [
    {"is cut", :cut, @config},
    {"takes two seconds each way", {:latency, 2_000}, @patient},
    {"resets one chunk in a hundred", {:reset, 0.01}, @config},
    {"swallows everything and closes nothing", :half_open, @config},
    {"forgets the connections there are", :forget, @config}
  ]

  for {what, fault, config} <- @faults do
    @tag fault: fault, config: config
    test "a network that #{what} costs no record, and holds up no stop", context do
      %{kafka: kafka, fault: fault} = context
      topic = create_topic(kafka, @partitions, replication: 3)
      {behind, proxies} = Brokers.proxied()
      history = History.start()
      options = options(history, context.config)
      first = TestPipeline.start(behind, [topic], options)
      await_assigned(first, @partitions)
      source = Source.start(kafka, topic, @partitions)
      handled(first, 200)
      go_on = fn -> await_all_go_on(first, kafka, topic) end

      harm(proxies, fault, history)
      await_effect(first, proxies, fault, go_on)
      heal(proxies, fault, history)
      report(fault, "goes on", go_on.())

      harm(proxies, fault, history)
      # Hardest is a stop before anybody has noticed that nothing is answered.
      if fault != :half_open, do: await_effect(first, proxies, fault, go_on)
      {micros, :ok} = :timer.tc(fn -> Broadway.stop(first.name) end)
      report(fault, "stops", div(micros, 1_000))
      assert micros < 1_000 * @stop_ms
      heal(proxies, fault, history)

      second = TestPipeline.start(behind, [topic], [group: first.group] ++ options)
      report(fault, "next member goes on", await_all_go_on(second, kafka, topic))
      ends = Source.stop(source)
      await_committed(kafka, first.group, ends, 60_000)
      stop(second)
      History.ask_produced(history, kafka, topic, @partitions)
      History.ask_committed(history, kafka, first.group, topic, @partitions)

      Checker.assert_sound!(history, at_end: :all_committed, stall: @recover_ms)
    end
  end

  test "by default, connections that the network forgot cost a while, and no partition",
       context do
    %{kafka: kafka} = context
    topic = create_topic(kafka, @partitions, replication: 3)
    {behind, proxies} = Brokers.proxied()
    %{name: name} = pipeline = TestPipeline.start(behind, [topic])
    await_assigned(pipeline, @partitions)
    source = Source.start(kafka, topic, @partitions)
    handled(pipeline, 200)

    for {_id, proxy} <- proxies, do: Proxy.forget(proxy)
    ms = await_all_go_on(pipeline, kafka, topic, @default_ms)
    report(:forget, "by default, goes on", ms)
    refute_received {:telemetry, ^name, :lost, _, _}
    refute_received {:telemetry, ^name, :revoked, _, _}

    ends = Source.stop(source)
    await_committed(kafka, pipeline.group, ends, 60_000)
    stop(pipeline)
  end

  test "a stop at any moment of a slow start keeps nobody waiting for its session", context do
    %{kafka: kafka} = context
    topic = create_topic(kafka, @partitions, replication: 3)
    quick = [producer: [config: ["heartbeat.interval.ms": 300]]]
    elders = for _ <- 1..@moments, do: TestPipeline.start(kafka, [topic], quick)
    for elder <- elders, do: await_assigned(elder, @partitions)
    {behind, proxies} = Brokers.proxied()
    for {_id, proxy} <- proxies, do: Proxy.late_answers(proxy, @late_ms)
    from = now()
    await_assigned(TestPipeline.start(behind, [topic]), @partitions)
    start_ms = now() - from
    firsts = for %{group: group} <- elders, do: TestPipeline.start(behind, [topic], group: group)

    stops =
      for %{name: name} <- firsts do
        pass(div(start_ms, @moments))
        Task.async(fn -> Broadway.stop(name) end)
      end

    Task.await_many(stops, 60_000)
    for {_id, proxy} <- proxies, do: Proxy.restore(proxy)

    waits =
      for elder <- elders do
        from = now()
        second = TestPipeline.start(kafka, [topic], [group: elder.group] ++ quick)
        await_assigned(second, div(@partitions, 2))
        stop(second)
        stop(elder)
        now() - from
      end

    IO.puts(
      "  stopped in a start of #{start_ms} ms: the next members were in after #{inspect(waits)}"
    )

    assert Enum.max(waits) < @next_ms
  end

  defp options(history, config) do
    [
      history: history,
      producer: [config: ["reconnect.backoff.max.ms": 1_000] ++ config],
      broadway: [shutdown: @shutdown_ms]
    ]
  end

  defp harm(proxies, fault, history) do
    History.begin_fault(history, fault)

    for {_id, proxy} <- proxies do
      case fault do
        {name, amount} -> apply(Proxy, name, [proxy, amount])
        name -> apply(Proxy, name, [proxy])
      end
    end
  end

  defp heal(proxies, fault, history) do
    for {_id, proxy} <- proxies, do: Proxy.restore(proxy)
    History.end_fault(history, fault)
  end

  # What shows that the fault is felt. A pipeline that can go on in spite of it does.
  defp await_effect(%{name: name}, _proxies, fault, _go_on) when fault in [:cut, :half_open] do
    assert_receive {:telemetry, ^name, :error, _, %{error: error}}, 30_000
    IO.puts("  #{inspect(fault)}: is told as #{error.code}")
  end

  defp await_effect(_pipeline, proxies, {:reset, _} = fault, go_on) do
    taken = taken(proxies)

    await(30_000, fn ->
      now = taken(proxies)
      if now < taken + @resets, do: {:not_yet, "#{now - taken} connections anew"}, else: :ok
    end)

    report(fault, "goes on meanwhile", go_on.())
  end

  defp await_effect(_pipeline, _proxies, fault, go_on),
    do: report(fault, "goes on meanwhile", go_on.())

  defp taken(proxies), do: Enum.sum(for {_id, proxy} <- proxies, do: Proxy.accepted(proxy))

  # Waits until every partition has handled a record that was produced after now: how many ms.
  defp await_all_go_on(pipeline, kafka, topic, limit \\ @recover_ms) do
    from = now()

    ends = ends(kafka, topic, @partitions)
    await_beyond(pipeline, ends, from + 2 * limit)
    ms = now() - from
    assert ms < limit
    ms
  end

  defp await_beyond(_pipeline, ends, _deadline) when ends == %{}, do: :ok

  defp await_beyond(%{name: name} = pipeline, ends, deadline) do
    receive do
      {:handled, ^name, _, %{metadata: %{topic: topic, partition: partition, offset: offset}}} ->
        at = {topic, partition}

        await_beyond(
          pipeline,
          if(offset >= ends[at], do: Map.delete(ends, at), else: ends),
          deadline
        )
    after
      max(deadline - now(), 0) -> flunk("did not go on: #{inspect(ends)}")
    end
  end

  defp report(fault, what, ms), do: IO.puts("  #{inspect(fault)}: #{what} after #{ms} ms")
  defp now, do: System.monotonic_time(:millisecond)
end
