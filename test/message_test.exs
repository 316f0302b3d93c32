defmodule OffBroadwayRustKafka.MessageTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Acknowledger, Message}

  test "a record becomes a message with exactly the documented metadata" do
    consumer = make_ref()
    record = {42, 1_700_000_000_000, "key", "value", [{"h", "1"}, {"h", nil}]}

    assert Message.from_runs([{"orders", 3, 7, 2, [record]}], consumer) == [
             %Broadway.Message{
               data: "value",
               metadata: %{
                 topic: "orders",
                 partition: 3,
                 offset: 42,
                 key: "key",
                 ts: 1_700_000_000_000,
                 headers: [{"h", "1"}, {"h", nil}]
               },
               acknowledger: {Acknowledger, consumer, {7, 2, 42}},
               batch_key: {"orders", 3}
             }
           ]
  end

  test "a tombstone and an empty value differ, and so do no key and an empty key" do
    records = [{0, nil, nil, nil, []}, {1, nil, "", "", []}]

    assert [{nil, nil, nil}, {"", "", nil}] =
             for(
               %{data: data, metadata: %{key: key, ts: ts}} <-
                 Message.from_runs([{"t", 0, 0, 1, records}], make_ref()),
               do: {data, key, ts}
             )
  end

  test "runs keep their order, and the records within them too" do
    runs =
      for {topic, partition, offsets} <- [
            {"a", 0, 0..2},
            {"b", 1, []},
            {"a", 1, [5]},
            {"a", 0, [3]}
          ] do
        {topic, partition, partition, 1, for(offset <- offsets, do: {offset, nil, nil, "", []})}
      end

    assert [{"a", 0, 0}, {"a", 0, 1}, {"a", 0, 2}, {"a", 1, 5}, {"a", 0, 3}] ==
             for(
               %{metadata: %{topic: topic, partition: partition, offset: offset}} <-
                 Message.from_runs(runs, make_ref()),
               do: {topic, partition, offset}
             )
  end

  test "no runs are no messages" do
    assert Message.from_runs([], make_ref()) == []
  end
end
