defmodule OffBroadwayRustKafka.StageFatalTest do
  # Needs clusters that refuse when they are told to.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Error, Stage, TestStage, TestSubscriber}

  setup do
    kafka = Kafka.own()
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 5)
    %{kafka: kafka, topic: topic}
  end

  defp refuse(kafka, request, times) do
    codes = List.duplicate(:group_authorization_failed, times)
    :ok = TestCluster.request_errors(kafka.cluster, request, codes)
  end

  test "a stage that is refused ends where on_fatal: :stop has it", context do
    stage = TestStage.start(context.kafka, [context.topic], on_fatal: :stop)
    await_committed(context.kafka, stage.group, each(context.topic, 1, 0))
    monitor = Process.monitor(stage.name)
    refuse(context.kafka, :offset_commit, 1)
    TestSubscriber.start(stage.name, [])
    assert_receive {:DOWN, ^monitor, _, _, {:shutdown, %Error{} = error}}, 15_000
    assert %{code: :group_authorization_failed, fatal?: true} = error
  end

  test "a stream that is refused raises where on_fatal: :stop has it", context do
    # Refused once, it might have its first record before it is told to end.
    refuse(context.kafka, :find_coordinator, 1_000)
    options = TestStage.options(context.kafka, [context.topic], on_fatal: :stop)

    assert_raise Error, ~r/group_authorization_failed/, fn ->
      options |> OffBroadwayRustKafka.stream() |> Enum.take(1)
    end
  end

  test "a commit that is refused says so to who waits for it, and is made once it is permitted",
       %{kafka: kafka, topic: topic} do
    stage = TestStage.start(kafka, [topic], commit_strategy: :none)
    TestSubscriber.start(stage.name, handle: fn _ -> :ok end)
    records = TestSubscriber.got(5)
    refuse(kafka, :offset_commit, 1)
    assert {:error, %Error{code: :group_authorization_failed} = error} = Stage.commit(records)
    assert %{fatal?: true, retryable?: false, topic: ^topic, partition: 0} = error
    await_committed(kafka, stage.group, %{{topic, 0} => 5})
  end
end
