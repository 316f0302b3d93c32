defmodule OffBroadwayRustKafka.Faults.GrowthTest do
  use OffBroadwayRustKafka.FaultCase, async: true

  @moduletag :broker

  @additions 12
  @protocols [
    {"eager", [config: ["partition.assignment.strategy": "range"]]},
    {"cooperative-sticky", []},
    {"KIP-848", [group_protocol: :consumer]}
  ]

  # Under eager, librdkafka joins again without a revoke while an assignment waits for its answer:
  # the next assignment comes on top of it.
  for {protocol, producer} <- @protocols do
    test "partitions added faster than the group settles are all read, in a #{protocol} group",
         %{kafka: kafka, history: history} = context do
      topic = create_topic(kafka, 1)
      refresh = ["topic.metadata.refresh.interval.ms": 30]
      producer = Keyword.update(unquote(producer), :config, refresh, &(&1 ++ refresh))
      {handle, _} = counting()
      options = [history: history, tell: false, handle: handle, producer: producer]
      pipeline = TestPipeline.start(kafka, [topic], options)
      await_assigned(pipeline, 1)

      for count <- 2..(@additions + 1) do
        :ok = TestClient.add_partitions(client(kafka), topic, count)
        fill(kafka, topic, count, 5)
        pass(Enum.random(0..60))
      end

      assert_all_committed(context, [pipeline], topic, @additions + 1, order: true)
    end
  end
end
