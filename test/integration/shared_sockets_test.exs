defmodule OffBroadwayRustKafka.SharedSocketsTest do
  # Connections do not grow with partitions, producers, pipelines or stages. It runs alone, as it counts
  # what is opened, and on a mock cluster of its own: members of tests before it may still be leaving.

  use OffBroadwayRustKafka.KafkaCase

  alias OffBroadwayRustKafka.{SharedMember, StageGroup, TestGroup, TestSubscriber}

  import OffBroadwayRustKafka.Sockets, only: [assert_few_opened: 2]

  @moduletag timeout: 120_000

  setup %{kafka: kafka} do
    %{kafka: if(kafka.cluster, do: Kafka.own(brokers: 3), else: kafka)}
  end

  for partitions <- [50, 1_000] do
    for producers <- [1, 4] do
      test "#{partitions} partitions and #{producers} producers have two connections more than brokers",
           %{kafka: kafka} do
        topic = create_topic(kafka, unquote(partitions))
        fill(kafka, topic, unquote(partitions), 1)

        assert_few_opened(kafka, fn ->
          options = [concurrency: unquote(producers), processors: [concurrency: 10]]
          pipeline = TestPipeline.start(kafka, [topic], options)
          handled(pipeline, unquote(partitions))
        end)
      end
    end

    test "#{partitions} partitions have a pipeline each, and no more connections than brokers and two",
         %{kafka: kafka} do
      topic = create_topic(kafka, unquote(partitions))
      fill(kafka, topic, unquote(partitions), 1)

      assert_few_opened(kafka, fn ->
        group = TestGroup.start(kafka, [topic], processors: [concurrency: 1])
        TestGroup.await_started(group, unquote(partitions))

        assert group |> handled(unquote(partitions)) |> offsets() ==
                 each(topic, unquote(partitions), [0])
      end)
    end

    test "#{partitions} partitions have a stage each, and no more connections than brokers and two",
         %{kafka: kafka} do
      topic = create_topic(kafka, unquote(partitions))
      fill(kafka, topic, unquote(partitions), 1)

      assert_few_opened(kafka, fn ->
        group = StageGroup.start(kafka, [topic])
        records = TestSubscriber.got(group.name, unquote(partitions))

        assert records |> Enum.map(& &1.partition) |> Enum.sort() ==
                 Enum.to_list(0..(unquote(partitions) - 1))
      end)
    end
  end

  test "two pipelines that share a member have no more connections than one", %{kafka: kafka} do
    topics = for _ <- 1..2, do: create_topic(kafka, 4)
    for topic <- topics, do: fill(kafka, topic, 4, 10)
    name = :"#{__MODULE__}.Member"

    assert_few_opened(kafka, fn ->
      options = [name: name, hosts: kafka.bootstrap, group_id: random_name("group")]
      more = [topics: topics, offset_reset_policy: :earliest]
      start_supervised!({SharedMember, options ++ more})

      for topic <- topics do
        pipeline = TestPipeline.start(kafka, [topic], consumer: name)
        assert pipeline |> handled(40) |> offsets() == each(topic, 4, Enum.to_list(0..9))
      end
    end)
  end
end
