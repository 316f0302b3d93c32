defmodule OffBroadwayRustKafka.OtherClientsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  # What each commits beside an offset: brod its group member, klife nothing. All mean the offset of
  # the next record.
  @metadata [
    brod: "+1/nonode@nohost/<0.345.0>",
    klife: ""
  ]

  # Once the group has no member any more, as the brokers see it.
  defp commit(kafka, group, offsets, metadata) do
    await(15_000, fn ->
      with {:error, error} <-
             TestClient.commit(client(kafka), group, offsets, metadata: metadata),
           do: {:not_yet, Exception.message(error)}
    end)
  end

  for {other, metadata} <- @metadata do
    test "a group that #{other} committed for goes on at the same offsets", %{kafka: kafka} do
      topic = create_topic(kafka, 3)
      fill(kafka, topic, 3, 20)
      group = random_name("group")
      commit(kafka, group, [{topic, 0, 4}, {topic, 1, 20}], unquote(metadata))

      pipeline = TestPipeline.start(kafka, [topic], group: group)
      expected = %{{topic, 0} => 4, {topic, 1} => 20, {topic, 2} => 0}
      assert await_assigned(pipeline, 3) == expected
      messages = handled(pipeline, 36)
      assert messages ++ stop(pipeline) == messages
      assert_exact(messages, expected, committed(kafka, group, topic, 3))
      assert committed(kafka, group, topic, 3) == each(topic, 3, 20)
    end

    # The mock cluster takes no commit from outside for a group that ever had a member.
    @tag :broker
    test "a group that moves back to #{other} goes on at what was committed here", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      group = random_name("group")
      commit(kafka, group, [{topic, 0, 3}], unquote(metadata))

      here = TestPipeline.start(kafka, [topic], group: group)
      assert [{_, [3, 4, 5, 6, 7, 8, 9]}] = here |> handled(7) |> offsets() |> Map.to_list()
      stop(here)
      assert committed(kafka, group, topic, 1) == %{{topic, 0} => 10}

      # The other reads five, and its group comes here again.
      fill(kafka, topic, 1, 10)
      commit(kafka, group, [{topic, 0, 15}], unquote(metadata))
      again = TestPipeline.start(kafka, [topic], group: group)
      assert await_assigned(again, 1) == %{{topic, 0} => 15}
      assert [{_, [15, 16, 17, 18, 19]}] = again |> handled(5) |> offsets() |> Map.to_list()
      stop(again)
      assert committed(kafka, group, topic, 1) == %{{topic, 0} => 20}
    end
  end
end
