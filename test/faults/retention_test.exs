defmodule OffBroadwayRustKafka.RetentionTest do
  # Records are deleted by request, which moves a partition's first offset as retention does.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, History}

  @moduletag :broker

  # A consumer that fetches little ahead, of records that are each a batch.
  @config ["queued.min.messages": 5, "fetch.message.max.bytes": 1_000]

  defp records(kafka, count) do
    {:ok, client} = TestClient.start(kafka.bootstrap, "batch.num.messages": 1, "linger.ms": 0)
    topic = create_topic(kafka, 1)
    values = for n <- 1..count, do: [value: :binary.copy("#{n}", 500), ts: 1_000 * n]
    produce(%{kafka | client: client}, topic, values)
    topic
  end

  defp start(kafka, topic, policy, options) do
    test = self()
    held = Keyword.fetch!(options, :hold)

    hold = fn %{metadata: %{offset: offset}} = message ->
      if offset == held and :persistent_term.get({test, topic}, :first) == :first do
        :persistent_term.put({test, topic}, :again)
        TestPipeline.hold(test, offset)
        if options[:crash], do: Process.exit(self(), :kill)
      end

      message
    end

    group = random_name("group")
    :ok = TestClient.commit(client(kafka), group, [{topic, 0, 0}])

    TestPipeline.start(kafka, [topic],
      group: group,
      handle: hold,
      history: options[:history],
      processors: [concurrency: 1, max_demand: 5],
      producer: [offset_reset_policy: policy, max_in_flight: 5, config: @config]
    )
  end

  for {policy, to} <- [{:earliest, 80}, {{:timestamp, 91_000}, 90}, {:latest, 100}] do
    test "a pipeline that retention overtakes goes on where #{inspect(policy)} says, and tells",
         %{
           kafka: kafka
         } do
      topic = records(kafka, 100)
      history = History.start()

      %{name: name} =
        pipeline = start(kafka, topic, unquote(Macro.escape(policy)), hold: 1, history: history)

      assert_receive {:held, handler, 1}, 15_000
      :ok = TestClient.delete_records(client(kafka), topic, 0, 80)
      send(handler, :go)
      assert_receive {:telemetry, ^name, :reset, offsets, %{topic: ^topic, partition: 0}}, 20_000
      %{from_offset: from, to_offset: to} = offsets
      assert from < 80
      assert to == unquote(to)
      produce(kafka, topic, ["next"])
      await_committed(kafka, pipeline.group, each(topic, 1, 101))
      # What had been fetched is handled, and all that exists from the new position on.
      assert offsets(stop(pipeline)) ==
               %{{topic, 0} => Enum.concat(0..(from - 1), to..100)}

      History.ask_produced(history, kafka, topic, 1)
      gone = unless to == 80, do: %{{topic, 0} => to}
      Checker.assert_sound!(history, from: gone || :earliest, at_end: :all_committed)
    end
  end

  test "what retention took of a crashed processor's records costs none of those that exist", %{
    kafka: kafka
  } do
    topic = records(kafka, 100)
    pipeline = start(kafka, topic, :latest, hold: 2, crash: true)
    assert_receive {:held, handler, 2}, 15_000
    :ok = TestClient.delete_records(client(kafka), topic, 0, 4)
    send(handler, :go)
    await_committed(kafka, pipeline.group, each(topic, 1, 100))
    handled = pipeline |> stop() |> offsets() |> Map.fetch!({topic, 0})
    assert Enum.uniq(for offset <- handled, offset >= 4, do: offset) == Enum.to_list(4..99)
  end

  test "a pipeline whose records are all deleted goes on with the next one", %{kafka: kafka} do
    topic = records(kafka, 100)
    %{name: name} = pipeline = start(kafka, topic, :earliest, hold: 1)
    assert_receive {:held, handler, 1}, 15_000
    :ok = TestClient.delete_records(client(kafka), topic, 0, 100)
    send(handler, :go)
    assert_receive {:telemetry, ^name, :reset, %{to_offset: 100}, _}, 20_000
    produce(kafka, topic, ["next"])
    await_committed(kafka, pipeline.group, each(topic, 1, 101))
    assert List.last(handled_so_far(pipeline)).data == "next"
  end
end
