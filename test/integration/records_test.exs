defmodule OffBroadwayRustKafka.RecordsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  defp consume(kafka, records, options \\ []) do
    topic = create_topic(kafka, 1)
    produce(kafka, topic, records)
    pipeline = TestPipeline.start(kafka, [topic], options)
    {topic, handled(pipeline, length(records))}
  end

  test "a message has the record's value as its data and all else in its metadata", context do
    record = [key: "order-1", value: "paid", headers: [{"trace", "a"}], ts: 1_700_000_000_123]
    {topic, [message]} = consume(context.kafka, [record])

    assert message.data == "paid"

    assert message.metadata == %{
             topic: topic,
             partition: 0,
             offset: 0,
             key: "order-1",
             ts: 1_700_000_000_123,
             headers: [{"trace", "a"}]
           }

    assert message.batch_key == {topic, 0}
  end

  test "a tombstone, an empty value and a value differ", %{kafka: kafka} do
    {_, messages} = consume(kafka, [nil, "", "value"])
    assert Enum.map(messages, & &1.data) == [nil, "", "value"]
  end

  test "no key, an empty key and a key differ", %{kafka: kafka} do
    {_, messages} = consume(kafka, for(key <- [nil, "", "key"], do: [key: key, value: "value"]))
    assert Enum.map(messages, & &1.metadata.key) == [nil, "", "key"]
  end

  test "headers keep their order, their duplicates, and a null apart from nothing", %{
    kafka: kafka
  } do
    headers = [{"b", "1"}, {"a", "2"}, {"b", "3"}, {"b", "1"}, {"null", nil}, {"empty", ""}]

    {_, messages} =
      consume(kafka, [[value: "with", headers: headers], [value: "without", headers: []]])

    assert Enum.map(messages, & &1.metadata.headers) == [headers, []]
  end

  test "any bytes arrive as they were sent", %{kafka: kafka} do
    bytes = for byte <- 0..255, into: <<>>, do: <<byte>>
    large = :binary.copy(bytes, 2_000)
    header = {"bytes", bytes}

    {_, [first, second]} =
      consume(kafka, [[key: bytes, value: large, headers: [header]], [value: bytes]])

    assert first.data == large
    assert first.metadata.key == bytes
    assert first.metadata.headers == [header]
    assert second.data == bytes
  end

  test "who keeps a record keeps at most 128 KiB of those that came with it", %{kafka: kafka} do
    values = for number <- 1..300, do: :binary.copy(<<number::16>>, 5_000)
    {_, messages} = consume(kafka, values, processors: [max_demand: 300])

    assert Enum.map(messages, & &1.data) == values
    for message <- messages, do: assert(:binary.referenced_byte_size(message.data) <= 131_072)
  end

  test "the timestamp is the one the record was created with", %{kafka: kafka} do
    before = System.system_time(:millisecond)
    {_, [given, now]} = consume(kafka, [[value: "given", ts: 1_600_000_000_000], "now"])

    assert given.metadata.ts == 1_600_000_000_000
    assert_in_delta now.metadata.ts, before, 10_000
  end

  @tag :broker
  test "the timestamp is the broker's where the topic says so", %{kafka: kafka} do
    topic = create_topic(kafka, 1, config: ["message.timestamp.type": "LogAppendTime"])
    before = System.system_time(:millisecond)
    produce(kafka, topic, [[value: "created long ago", ts: 1_600_000_000_000]])

    assert [message] = kafka |> TestPipeline.start([topic]) |> handled(1)
    assert_in_delta message.metadata.ts, before, 10_000
  end

  for codec <- ~w(gzip snappy lz4 zstd) do
    test "records compressed with #{codec} arrive like others", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      # All of a partition's records in one batch, so that there is something to compress.
      config = ["compression.type": unquote(codec), "linger.ms": 50]
      {:ok, packing} = TestClient.start(kafka.bootstrap, config)

      values = for n <- 1..500, do: "#{n} " <> String.duplicate("the same again and again ", 8)
      produce(%{kafka | client: packing}, topic, values)
      messages = kafka |> TestPipeline.start([topic]) |> handled(500)

      assert messages |> Enum.map(& &1.data) |> Enum.sort() == Enum.sort(values)
    end
  end

  describe "hosts" do
    test "may be given in every shape", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      produce(kafka, topic, ["value"])

      addresses =
        for address <- String.split(kafka.bootstrap, ",") do
          [host, port] = String.split(address, ":")
          {host, String.to_integer(port)}
        end

      shapes = [
        kafka.bootstrap,
        String.replace(kafka.bootstrap, ",", ", "),
        String.to_charlist(kafka.bootstrap),
        String.split(kafka.bootstrap, ","),
        addresses,
        for({host, port} <- addresses, do: {String.to_charlist(host), port}),
        for({host, port} <- addresses, do: {String.to_atom(host), port}),
        for({host, port} <- addresses, do: {host, Integer.to_string(port)}),
        hd(addresses),
        # One that is out of service before one that is there.
        [{"127.0.0.1", 1} | addresses]
      ]

      for hosts <- shapes do
        pipeline = TestPipeline.start(kafka, [topic], producer: [hosts: hosts])
        assert [%{data: "value"}] = handled(pipeline, 1)
      end
    end
  end

  test "several topics are read by one pipeline", %{kafka: kafka} do
    topics = for _ <- 1..3, do: create_topic(kafka, 2)
    for topic <- topics, do: fill(kafka, topic, 2, 5)
    pipeline = TestPipeline.start(kafka, topics)
    messages = handled(pipeline, 30)

    assert_complete(messages, Enum.flat_map(topics, &all(&1, 2)), 5)

    await_committed(
      kafka,
      pipeline.group,
      for(t <- topics, at <- all(t, 2), into: %{}, do: {at, 5})
    )
  end
end
