defmodule OffBroadwayRustKafka.HeartbeatTest do
  # Answers to heartbeats of KIP-848 that come too late: librdkafka does not wait for them, and the
  # brokers tell of a change once.
  use OffBroadwayRustKafka.ClusterCase, async: false

  @partitions 5

  # A heartbeat's answer is waited for until the next one is due: a second at most in this cluster.
  @late_ms 3_000

  # Some heartbeats later, and a while for a busy machine.
  @recover_ms 20_000

  @effect_ms 60_000

  # What members do for their group is told by librdkafka's own log only.
  @producer [group_protocol: :consumer, drain_timeout: @effect_ms, config: [debug: "cgrp"]]

  test "an assignment whose answer was lost comes all the same", %{kafka: kafka} do
    own = create_topic(kafka, 1)
    shared = create_topic(kafka, @partitions)
    fill(kafka, shared, @partitions, 1)
    test = self()

    first =
      TestPipeline.start(kafka, [shared],
        handle: &tap(&1, fn _ -> TestPipeline.hold(test, :first) end),
        processors: [concurrency: @partitions, max_demand: 1],
        producer: @producer
      )

    await_assigned(first, @partitions)
    held = for _ <- 1..@partitions, do: receive_held()
    read_log(first)

    # The second joins, which a topic of its own tells, and waits for what the first holds.
    {behind, proxies} = Brokers.proxied()
    second = TestPipeline.start(behind, [own, shared], group: first.group, producer: @producer)
    assert Map.keys(await_assigned(second, 1)) == [{own, 0}]
    read_log(second)
    await_log(first, "Reconciliation starts")

    delay_answers(second, proxies)
    for pid <- held, do: send(pid, :go)
    await_lost_answer(second)
    heal(proxies)
    await_log(second, "closed the connection to the coordinator")

    {moved, kept} = Enum.split_with(await_more_assigned(second), &(&1 != {own, 0}))
    assert kept == [] and moved != []
    refute_given_up(second)

    fill(kafka, shared, @partitions, 1)
    for _ <- 1..(@partitions - length(moved)), do: send(receive_held(), :go)
    await_committed(kafka, first.group, each(shared, @partitions, 2))
  end

  test "a new epoch whose answer was lost costs no partition", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    other = create_topic(kafka, 1)
    {behind, proxies} = Brokers.proxied()
    member = TestPipeline.start(behind, [topic], producer: @producer)
    await_assigned(member, @partitions)

    read_log(member)
    delay_answers(member, proxies)
    joining = TestPipeline.start(kafka, [other], group: member.group, producer: @producer)
    await_assigned(joining, 1)
    await_lost_answer(member)
    heal(proxies)

    await_log(member, "ConsumerGroupHeartbeat response received")
    refute_given_up(member)
    fill(kafka, topic, @partitions, 1)
    await_committed(kafka, member.group, each(topic, @partitions, 1))
    refute_given_up(member)
  end

  # Right after a heartbeat, so that there is time before the next.
  defp delay_answers(pipeline, proxies) do
    forget_log(pipeline)
    await_log(pipeline, "ConsumerGroupHeartbeat response received")
    for {_id, proxy} <- proxies, do: Proxy.late_answers(proxy, @late_ms)
  end

  defp heal(proxies), do: for({_id, proxy} <- proxies, do: Proxy.restore(proxy))

  defp await_lost_answer(pipeline),
    do: await_log(pipeline, "Timed out ConsumerGroupHeartbeatRequest in flight")

  defp receive_held do
    assert_receive {:held, pid, :first}, @effect_ms
    pid
  end

  # The places that are assigned next.
  defp await_more_assigned(%{name: name}) do
    assert_receive {:telemetry, ^name, :assigned, _, %{partitions: partitions}}, @recover_ms
    for partition <- partitions, do: {partition.topic, partition.partition}
  end

  defp refute_given_up(%{name: name}) do
    refute_received {:telemetry, ^name, :lost, _, _}
    refute_received {:telemetry, ^name, :revoked, _, _}
  end

  # From now on the test is told what the pipeline's consumer logs.
  defp read_log(%{name: name}) do
    config = %{test: self(), name: name, prefix: "Kafka consumer of #{inspect(name)}: "}
    :ok = :logger.add_handler(name, __MODULE__, %{level: :all, config: config})
    on_exit(fn -> :logger.remove_handler(name) end)
  end

  @doc false
  def log(%{msg: {:string, line}}, %{config: %{test: test, name: name, prefix: prefix}}) do
    line = IO.chardata_to_string(line)
    if String.starts_with?(line, prefix), do: send(test, {:logged, name, line})
  end

  def log(_event, _config), do: :ok

  # Passes over all that was logged before.
  defp await_log(%{name: name} = pipeline, words) do
    assert_receive {:logged, ^name, line}, @effect_ms, "#{words}: not logged"
    if line =~ words, do: :ok, else: await_log(pipeline, words)
  end

  defp forget_log(%{name: name} = pipeline) do
    receive do
      {:logged, ^name, _} -> forget_log(pipeline)
    after
      0 -> :ok
    end
  end
end
