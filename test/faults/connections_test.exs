defmodule OffBroadwayRustKafka.Faults.ConnectionsTest do
  # Counts what is opened: alone.
  use OffBroadwayRustKafka.ClusterCase

  alias OffBroadwayRustKafka.{Sockets, TestGroup}

  test "three brokers have two connections more at most, with 50 partitions and 4 producers, and with 50 pipelines",
       %{kafka: kafka} do
    topic = create_topic(kafka, 50)
    fill(kafka, topic, 50, 1)

    Sockets.assert_few_opened(kafka, fn ->
      pipeline = TestPipeline.start(kafka, [topic], concurrency: 4, processors: [concurrency: 10])
      handled(pipeline, 50)
    end)

    Sockets.assert_few_opened(kafka, fn ->
      group = TestGroup.start(kafka, [topic], processors: [concurrency: 1])
      handled(group, 50)
    end)
  end
end
