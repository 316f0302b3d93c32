defmodule OffBroadwayRustKafka.FailureTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias Broadway.Message

  defp fail_every_third(message) do
    if rem(message.metadata.offset, 3) == 0, do: Message.failed(message, "no"), else: message
  end

  test "failed messages reach handle_failed/2 and let the offset advance", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 9)
    pipeline = TestPipeline.start(kafka, [topic], handle: &fail_every_third/1)

    await_committed(kafka, pipeline.group, each(topic, 2, 9))
    assert pipeline |> failed_so_far() |> offsets() == each(topic, 2, [0, 3, 6])
  end

  test "messages that fail in a batch reach it too", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 9)

    pipeline =
      TestPipeline.start(kafka, [topic],
        batchers: [default: [batch_size: 4, batch_timeout: 20]],
        handle_batch: &Enum.map(&1, fn message -> fail_every_third(message) end)
      )

    await_committed(kafka, pipeline.group, each(topic, 2, 9))
    assert pipeline |> failed_so_far() |> offsets() == each(topic, 2, [0, 3, 6])
  end

  test "a handler that raises, throws or exits fails its message alone", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 7)

    misbehave = fn message ->
      case message.metadata.offset do
        1 -> raise "raised"
        3 -> throw(:thrown)
        5 -> exit(:exited)
        _ -> message
      end
    end

    pipeline = TestPipeline.start(kafka, [topic], handle: misbehave)

    await_committed(kafka, pipeline.group, each(topic, 1, 7))
    failed = failed_so_far(pipeline)
    assert offsets(failed) == each(topic, 1, [1, 3, 5])

    assert [
             {:error, %RuntimeError{message: "raised"}, _},
             {:throw, :thrown, _},
             {:exit, :exited, _}
           ] = Enum.map(failed, & &1.status)

    assert pipeline |> handled_so_far() |> offsets() == each(topic, 1, [0, 2, 4, 6])
  end

  test "a batch that raises fails, and lets the offset advance", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 6)

    pipeline =
      TestPipeline.start(kafka, [topic],
        batchers: [default: [batch_size: 3, batch_timeout: 20]],
        handle_batch: fn _ -> raise "no batch" end
      )

    await_committed(kafka, pipeline.group, each(topic, 1, 6))
    assert pipeline |> failed_so_far() |> offsets() == each(topic, 1, Enum.to_list(0..5))
  end

  test "an unhandled record holds back the commits of its partition, and of no other", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    test = self()

    pipeline =
      TestPipeline.start(kafka, [topic],
        # A processor acknowledges what it asked for at once, when it has handled all of it.
        processors: [max_demand: 1],
        handle: fn
          %{metadata: %{partition: 0, offset: 2}} = message ->
            TestPipeline.hold(test, :third)
            message

          message ->
            message
        end
      )

    assert_receive {:held, handler, :third}, 10_000
    await_committed(kafka, pipeline.group, %{{topic, 0} => 2, {topic, 1} => 5})
    send(handler, :go)
    await_committed(kafka, pipeline.group, each(topic, 2, 5))
  end

  for times <- 1..3 do
    test "a producer that crashes loses nothing (#{times})", %{kafka: kafka} do
      topic = create_topic(kafka, 6)
      fill(kafka, topic, 6, 300)

      pipeline =
        TestPipeline.start(kafka, [topic],
          concurrency: 3,
          processors: [concurrency: 4, max_demand: 20]
        )

      # One after another, in the middle of the records.
      before =
        for producer <- Broadway.producer_names(pipeline.name) do
          handled = handled(pipeline, 200)
          monitor = Process.monitor(producer)
          Process.exit(Process.whereis(producer), :kill)
          assert_receive {:DOWN, ^monitor, _, _, :killed}
          handled
        end

      await_committed(kafka, pipeline.group, each(topic, 6, 300))
      after_it = handled_so_far(pipeline)
      assert_complete(Enum.concat(before) ++ after_it, all(topic, 6), 300)

      # And it goes on.
      fill(kafka, topic, 6, 10)
      await_committed(kafka, pipeline.group, each(topic, 6, 310))
    end
  end

  test "a consumer that crashes loses nothing", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    fill(kafka, topic, 4, 100)
    pipeline = TestPipeline.start(kafka, [topic])
    before = handled(pipeline, 100)

    consumer = consumer(pipeline)
    monitor = Process.monitor(consumer)
    Process.exit(consumer, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}

    await_committed(kafka, pipeline.group, each(topic, 4, 100))
    assert_complete(before ++ handled_so_far(pipeline), all(topic, 4), 100)
    fill(kafka, topic, 4, 10)
    await_committed(kafka, pipeline.group, each(topic, 4, 110))
    assert consumer(pipeline) != consumer
  end

  defp failed_so_far(%{name: name} = pipeline) do
    receive do
      {:failed, ^name, messages} -> messages ++ failed_so_far(pipeline)
    after
      0 -> []
    end
  end
end
