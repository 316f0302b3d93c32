defmodule OffBroadwayRustKafka.RebalanceTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  @partitions 6

  defp options(assignor, options) do
    {producer, options} = Keyword.pop(options, :producer, [])
    config = ["partition.assignment.strategy": "#{assignor}"]
    [producer: [config: config] ++ producer] ++ options
  end

  # Waits until two members have all partitions between them, and returns those of the first.
  defp await_shared(first, second) do
    await(30_000, fn ->
      [of_first, of_second] = for pipeline <- [first, second], do: assigned(pipeline)

      if of_first != [] and of_second != [] and
           Enum.sort(of_first ++ of_second) == Enum.to_list(0..(@partitions - 1)),
         do: of_first,
         else: {:not_yet, "one has #{inspect(of_first)}, the other #{inspect(of_second)}"}
    end)
  end

  defp assigned(pipeline),
    do:
      for(%{partition: partition} <- OffBroadwayRustKafka.progress(pipeline.name), do: partition)

  # Mock brokers take no commit while members are on their way to join, and do not wait for one that
  # still drains, as brokers do. So there a member's last records may be handled again; and no commit
  # may be due when one joins.
  defp assert_once(%{cluster: nil}, offsets, expected),
    do: assert(Enum.sort(offsets) == Enum.to_list(expected))

  defp assert_once(_mock, offsets, expected),
    do: assert(Enum.to_list(expected) -- offsets == [])

  defp settle(%{cluster: nil}, _group, _topic, _count), do: :ok

  defp settle(kafka, group, topic, count),
    do: await_committed(kafka, group, each(topic, @partitions, count))

  for {assignor, exact_on} <- ["cooperative-sticky": :mock, range: :broker] do
    describe "under the assignor #{assignor}" do
      @describetag assignor: assignor

      test "members come and go, and nothing is lost nor, when drained, handled twice", %{
        kafka: kafka,
        assignor: assignor
      } do
        topic = create_topic(kafka, @partitions)
        group = random_name("group")
        options = options(assignor, group: group, processors: [concurrency: 3])

        first = TestPipeline.start(kafka, [topic], options)
        await_assigned(first, @partitions)

        # One joins in the middle of these.
        fill(kafka, topic, @partitions, 50)
        settle(kafka, group, topic, 50)
        second = TestPipeline.start(kafka, [topic], options)
        await_shared(first, second)

        # And one leaves in the middle of these.
        fill(kafka, topic, @partitions, 50)
        await_committed(kafka, group, each(topic, @partitions, 100), 30_000)
        fill(kafka, topic, @partitions, 50)
        settle(kafka, group, topic, 150)
        of_first = stop(first)

        fill(kafka, topic, @partitions, 50)
        await_committed(kafka, group, each(topic, @partitions, 200), 30_000)
        of_second = stop(second)
        assert of_first != []
        assert of_second != []
        assert_complete(of_first ++ of_second, all(topic, @partitions), 200)

        if unquote(exact_on) == :mock or kafka.cluster == nil do
          for {at, offsets} <- offsets(of_first ++ of_second),
              do: assert({at, Enum.sort(offsets)} == {at, Enum.to_list(0..199)})

          # Of each member's share no record overtook another.
          for {_, offsets} <- Enum.concat(offsets(of_first), offsets(of_second)),
              do: assert(offsets == Enum.sort(offsets))
        end
      end

      @tag exact_on
      test "a partition that moves waits for the records in flight", %{
        kafka: kafka,
        assignor: assignor
      } do
        topic = create_topic(kafka, @partitions)
        group = random_name("group")

        own = [
          producer: [max_in_flight: 1],
          processors: [concurrency: @partitions, max_demand: 1],
          handle: hold_once(0)
        ]

        first = TestPipeline.start(kafka, [topic], options(assignor, [group: group] ++ own))
        await_assigned(first, @partitions)
        fill(kafka, topic, @partitions, 3)

        held =
          for _ <- 1..@partitions do
            assert_receive {:held, handler, _}, 10_000
            handler
          end

        # The second gets nothing before those are through, and then goes on after them.
        %{name: name} =
          second = TestPipeline.start(kafka, [topic], options(assignor, group: group))

        await_rebalance()
        assert assigned(second) == []
        refute_received {:handled, ^name, _, _}
        Enum.each(held, &send(&1, :go))
        await_shared(first, second)

        fill(kafka, topic, @partitions, 3)
        await_committed(kafka, group, each(topic, @partitions, 6), 30_000)
        handled = handled_so_far(first) ++ handled_so_far(second)
        for {_, offsets} <- offsets(handled), do: assert_once(kafka, offsets, 0..5)
      end

      @tag exact_on
      test "what is in flight past the drain_timeout is handled again by the next owner", %{
        kafka: kafka,
        assignor: assignor
      } do
        topic = create_topic(kafka, @partitions)
        group = random_name("group")

        own = [
          producer: [drain_timeout: 200, max_in_flight: 1],
          processors: [concurrency: @partitions, max_demand: 1],
          handle: hold_once(1)
        ]

        %{name: name} =
          first = TestPipeline.start(kafka, [topic], options(assignor, [group: group] ++ own))

        await_assigned(first, @partitions)
        fill(kafka, topic, @partitions, 3)

        held =
          for _ <- 1..@partitions do
            assert_receive {:held, handler, _}, 10_000
            handler
          end

        settle(kafka, group, topic, 1)
        second = TestPipeline.start(kafka, [topic], options(assignor, group: group))
        assert_receive {:telemetry, ^name, :revoked, measurements, _}, 30_000
        assert measurements.drain_ms in 200..5_000
        assert measurements.unacked == measurements.count

        of_first = await_shared(first, second)
        of_second = Enum.to_list(0..(@partitions - 1)) -- of_first

        # The acks of the epoch before change nothing for the new owner.
        Enum.each(held, &send(&1, :go))
        await_committed(kafka, group, each(topic, @partitions, 3), 30_000)
        again = second |> handled_so_far() |> offsets()
        for partition <- of_second, do: assert_once(kafka, again[{topic, partition}], 1..2)
      end
    end
  end

  # A handler that holds each partition's record at `offset`, the first time it is delivered.
  defp hold_once(offset) do
    test = self()
    seen = :atomics.new(@partitions, [])

    fn %{metadata: %{partition: partition}} = message ->
      if message.metadata.offset == offset and :atomics.add_get(seen, partition + 1, 1) == 1,
        do: TestPipeline.hold(test, partition)

      message
    end
  end

  # So long that the members have met: a mock group waits the session out, less a second.
  defp await_rebalance, do: pass(1_500)

  test "a lost assignment is told, given up without a commit, and taken again" do
    kafka = own()
    topic = create_topic(kafka, 2)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, 2)
    fill(kafka, topic, 2, 5)
    await_committed(kafka, pipeline.group, each(topic, 2, 5))

    :ok = TestCluster.request_errors(kafka.cluster, :heartbeat, [:unknown_member_id])
    assert_receive {:telemetry, ^name, :lost, %{count: 2, unacked: 0}, %{partitions: _}}, 10_000
    await_assigned(pipeline, 2)
    fill(kafka, topic, 2, 5)
    await_committed(kafka, pipeline.group, each(topic, 2, 10))
    assert pipeline |> handled_so_far() |> offsets() == each(topic, 2, Enum.to_list(0..9))
  end

  test "a member that is fenced by another of its instance id gives all up, says so and stays out" do
    kafka = own()
    topic = create_topic(kafka, 2)
    producer = [instance_id: "a"]
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic], producer: producer)
    await_assigned(pipeline, 2)
    fill(kafka, topic, 2, 5)
    await_committed(kafka, pipeline.group, each(topic, 2, 5))

    :ok = TestCluster.request_errors(kafka.cluster, :heartbeat, [:fenced_instance_id])
    assert_receive {:telemetry, ^name, :error, _, %{error: %{fatal?: true} = error}}, 10_000
    assert error.code == :fenced_instance_id
    assert_receive {:telemetry, ^name, :lost, %{count: 2, unacked: 0}, %{partitions: _}}, 10_000
    handled(pipeline, 10)
    fill(kafka, topic, 2, 5)
    refute_receive {:handled, ^name, _, _}, 1_000
    assert assigned(pipeline) == []
    {micros, _} = :timer.tc(fn -> stop(pipeline) end)
    assert micros < 2_000_000
    assert committed(kafka, pipeline.group, topic, 2) == each(topic, 2, 5)
  end

  @tag :broker
  test "a static member that comes back within its session gets its partitions at once", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, @partitions)
    group = random_name("group")

    start = fn instance ->
      config = ["session.timeout.ms": 30_000]
      producer = [instance_id: instance, config: config]
      TestPipeline.start(kafka, [topic], group: group, producer: producer)
    end

    [first, second] = for instance <- ["first", "second"], do: start.(instance)
    await_shared(first, second)
    before = Enum.sort(assigned(first))
    stop(first)

    again = start.("first")
    await_assigned(again, length(before))
    assert Enum.sort(assigned(again)) == before
    %{name: name} = second
    fill(kafka, topic, @partitions, 2)
    await_committed(kafka, group, each(topic, @partitions, 2))
    refute_received {:telemetry, ^name, :lost, _, _}
  end

  @tag :broker
  test "the consumer protocol of KIP-848 works too", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions)
    group = random_name("group")
    options = [group: group, producer: [group_protocol: :consumer]]
    [first, second] = for _ <- 1..2, do: TestPipeline.start(kafka, [topic], options)
    await_shared(first, second)
    fill(kafka, topic, @partitions, 50)
    await_committed(kafka, group, each(topic, @partitions, 50))
    of_first = stop(first)
    fill(kafka, topic, @partitions, 50)
    await_committed(kafka, group, each(topic, @partitions, 100), 30_000)
    handled = of_first ++ stop(second)
    for {_, offsets} <- offsets(handled), do: assert(Enum.sort(offsets) == Enum.to_list(0..99))
  end
end
