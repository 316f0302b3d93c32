defmodule OffBroadwayRustKafka.Faults.BrokerLossTest do
  use OffBroadwayRustKafka.ClusterCase
  import OffBroadwayRustKafka.FaultCase

  alias OffBroadwayRustKafka.History

  @moduletag timeout: 600_000

  @partitions 8
  # From the heal until what was there then is committed. Mostly librdkafka's own pauses between
  # attempts to connect, which grow to ten seconds.
  @heal_ms 30_000
  # Whether one is executed too late is chance.
  @late_commits 5

  setup %{kafka: kafka} do
    topic = create_topic(kafka, @partitions, replication: 3)
    history = History.start()
    {handle, counted} = counting()
    %{history: history, topic: topic, handle: handle, counted: counted}
  end

  test "a broker that is killed and comes back costs nothing", context do
    run(context, [], fn _pipeline ->
      broker = Brokers.leader(context.topic, Enum.random(0..(@partitions - 1)))

      while_down(context, broker, fn ->
        await_others(broker, fn -> Brokers.leader(context.topic, 0) end)
        flow(context)
      end)
    end)
  end

  test "a rolling restart of all brokers costs nothing", context do
    run(context, either_protocol(), fn _pipeline ->
      for broker <- Enum.shuffle(Brokers.ids()) do
        during(context, "broker #{broker} restarts", fn ->
          Brokers.stop(broker)
          Brokers.start(broker)
          Brokers.await_healthy()
        end)
      end
    end)
  end

  test "the loss of the group's coordinator costs nothing", context do
    run(context, either_protocol(), fn pipeline ->
      broker = Brokers.coordinator(pipeline.group)

      while_down(context, broker, fn ->
        await_others(broker, fn -> Brokers.coordinator(pipeline.group) end)
        # What could not be committed meanwhile is, before the broker is back.
        await_caught_up(context, pipeline, "after another broker coordinates")
      end)
    end)
  end

  test "all brokers killed at once cost nothing once they are back", context do
    # They may be away for longer than a session, and the next waits for that one to end.
    run(context, [config: ["session.timeout.ms": 10_000]], fn _pipeline ->
      during(context, "all brokers are down", fn ->
        for broker <- Brokers.ids(), do: Brokers.kill(broker)
        Brokers.heal()
      end)
    end)
  end

  test "partitions that change their leader while they are fetched cost nothing", context do
    run(context, [], fn _pipeline ->
      for partition <- Enum.take_random(0..(@partitions - 1), 3) do
        to = Enum.random(Brokers.ids() -- [Brokers.leader(context.topic, partition)])
        History.fault(context.history, "broker #{to} leads partition #{partition}")
        Brokers.move_leader(context.topic, partition, to)
        flow(context)
      end
    end)
  end

  # While followers are stopped nothing is committed, and the coordinator answers nothing. Librdkafka
  # gives up connections then; what it had sent on them may be executed after what it sent later.
  test "a commit that is executed late moves nobody back", context do
    %{kafka: kafka, topic: topic} = context
    group = Kafka.random_name("group")
    fill_big(kafka, topic, @partitions, 15_000)

    slowly = fn message ->
      pass(1)
      context.handle.(message)
    end

    # Enough is fetched before that there is something to commit.
    ahead = [max_buffered_bytes: 512 * 1024 * 1024]
    options = [group: group, producer: [group_protocol: :consumer, commit_interval: 0] ++ ahead]

    for _ <- 1..@late_commits do
      %{name: name} = pipeline = start(%{context | handle: slowly}, options)
      await_assigned(pipeline, @partitions)
      flow(context)
      followers = Brokers.ids() -- [Brokers.coordinator(group)]

      during(context, "brokers #{inspect(followers)} are paused", fn ->
        Enum.each(followers, &Brokers.pause/1)
        assert_receive {:telemetry, ^name, :commit_failed, _, _}, 8_000
        stop = Task.async(fn -> Broadway.stop(name) end)
        pass(Enum.random(300..1_000))
        Enum.each(followers, &Brokers.resume/1)
        Task.await(stop, 30_000)
      end)
    end

    last = start(context, options)
    assert_all_committed(context, [last], topic, @partitions, order: true)
  end

  # Left to the seed, as these take long.
  defp either_protocol do
    protocol = Enum.random([:classic, :consumer])
    IO.puts("\nwith the protocol #{protocol}")
    [group_protocol: protocol]
  end

  # Harm is done while records come and go; after it the pipeline goes on by itself, and was never
  # anything else than one member that handles each record once and in order.
  defp run(%{kafka: kafka, topic: topic} = context, producer, harm) do
    pipeline = start(context, producer: producer)
    await_assigned(pipeline, @partitions)
    source = Source.start(kafka, topic, @partitions)
    flow(context)
    harm.(pipeline)
    await_caught_up(context, pipeline, "after the heal")
    Source.stop(source)
    options = [order: true, stall: @heal_ms]
    report = assert_all_committed(context, [pipeline], topic, @partitions, options)
    assert report.members == 1
  end

  defp start(%{kafka: kafka, topic: topic} = context, options) do
    own = [history: context.history, tell: false, handle: context.handle]
    TestPipeline.start(kafka, [topic], own ++ options)
  end

  defp while_down(context, broker, fun) do
    during(context, "broker #{broker} is down", fn ->
      Brokers.kill(broker)
      fun.()
      Brokers.heal()
    end)
  end

  defp during(%{history: history}, what, fun) do
    History.begin_fault(history, what)
    fun.()
    History.end_fault(history, what)
  end

  defp await_others(broker, who) do
    await(60_000, fn ->
      if who.() == broker, do: {:not_yet, "it is still broker #{broker}"}, else: :ok
    end)
  end

  defp flow(%{counted: counted}), do: await_count(counted, counted.() + 200)

  defp await_caught_up(%{kafka: kafka, topic: topic, history: history}, %{group: group}, since) do
    ends = record_produced(history, kafka, topic, @partitions)
    began = System.monotonic_time(:millisecond)

    await(2 * @heal_ms, fn ->
      with {:ok, committed} <- TestClient.committed(client(kafka), group, Map.keys(ends)),
           true <- Enum.all?(ends, fn {place, next} -> (committed[place] || 0) >= next end),
           do: :ok,
           else: (other -> {:not_yet, "of #{inspect(ends)}: #{inspect(other)}"})
    end)

    took = System.monotonic_time(:millisecond) - began
    IO.puts("\n#{took} ms #{since} all that was there is committed")
    assert took <= @heal_ms
  end
end
