defmodule OffBroadwayRustKafka.BrokerTest do
  use OffBroadwayRustKafka.ClusterCase

  @partitions 8

  test "a broker that is killed and started again costs no record", %{kafka: kafka} do
    topic = create_topic(kafka, @partitions, replication: 3)
    pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, @partitions)
    source = Source.start(kafka, topic, @partitions)
    before = handled(pipeline, 200)

    broker = Brokers.leader(topic, 0)
    Brokers.kill(broker)
    # Others lead what it led, and records go on.
    await(30_000, fn ->
      case Brokers.leader(topic, 0) do
        ^broker -> {:not_yet, "broker #{broker} still leads"}
        _other -> :ok
      end
    end)

    without = handled(pipeline, 400)
    Brokers.start(broker)
    Brokers.await_healthy()
    again = handled(pipeline, 200)

    ends = Source.stop(source)
    await_committed(kafka, pipeline.group, ends, 60_000)
    messages = before ++ without ++ again ++ stop(pipeline)
    assert_exact(messages, each(topic, @partitions, 0), ends)
  end

  test "a group's coordinator is the broker that Kafka's own tool names", %{kafka: kafka} do
    topic = create_topic(kafka, 1, replication: 3)
    group = "käse-" <> random_name("group")
    pipeline = TestPipeline.start(kafka, [topic], group: group)
    await_assigned(pipeline, 1)
    to = Enum.random(Brokers.ids() -- [Brokers.coordinator(group)])
    Brokers.move_coordinator(group, to)
    asked = ~w(consumer.group.ConsumerGroupCommand --describe --state --group) ++ [group]
    assert Brokers.tool(asked) =~ "(#{to})"
  end
end
