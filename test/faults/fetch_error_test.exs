defmodule OffBroadwayRustKafka.FetchErrorTest do
  # Needs a cluster that answers with errors when it is told to.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History}

  @partitions 4

  test "an error of a partition, then a rebalance, leaves no gap and brings nothing twice" do
    kafka = own(brokers: 1)
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 50)
    history = History.start()
    start = fn group -> TestPipeline.start(kafka, [topic], group: group, history: history) end
    first = start.(random_name("group"))
    await_committed(kafka, first.group, each(topic, @partitions, 50))
    assert_told(kafka)
    fill(kafka, topic, @partitions, 50)

    # Right behind the error, with records under way.
    second = start.(first.group)
    await_assigned(second, 2)
    assert_told(kafka)
    fill(kafka, topic, @partitions, 50)
    await_committed(kafka, first.group, each(topic, @partitions, 150), 30_000)
    assert_told(kafka)
    handled = stop(second)
    fill(kafka, topic, @partitions, 50)
    await_committed(kafka, first.group, each(topic, @partitions, 200), 30_000)
    assert_complete(handled ++ stop(first), all(topic, @partitions), 200)
    History.ask_produced(history, kafka, topic, @partitions)
    Checker.assert_sound!(history, at_end: :all_committed, fencing: false)
  end

  # A fetch is answered with an error, which its member tells of, and the next with others.
  defp assert_told(kafka) do
    # The first and the last are handed to the application; the others librdkafka tries again by itself.
    errors = [
      :topic_authorization_failed,
      :not_leader_for_partition,
      :unknown_topic_or_part,
      :topic_authorization_failed
    ]

    forget_errors()
    :ok = TestCluster.request_errors(kafka.cluster, :fetch, errors)
    assert_receive {:telemetry, _, :error, _, %{error: %Error{} = error}}, 15_000
    assert error.code == :topic_authorization_failed
    assert error.partition in 0..(@partitions - 1)
  end

  defp forget_errors do
    receive do
      {:telemetry, _, :error, _, _} -> forget_errors()
    after
      0 -> :ok
    end
  end
end
