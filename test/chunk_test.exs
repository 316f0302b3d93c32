defmodule OffBroadwayRustKafka.ChunkTest do
  use ExUnit.Case, async: true

  require OffBroadwayRustKafka.Record, as: Record

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, Chunk}
  alias OffBroadwayRustKafka.Message, as: Messages

  setup do
    :rand.seed(:exsss, {0, 0, ExUnit.configuration()[:seed]})
    :ok
  end

  defp record(offset), do: {offset, 1_700_000_000_000, "key", "value", [{"h", nil}]}

  defp chunk(offsets) do
    {first, last} = Enum.min_max(offsets)
    records = Enum.map(offsets, &record/1)
    native = {"orders", 3, 7, 2, first, last, length(records), records}
    [message] = Messages.from_runs([native], make_ref())
    message
  end

  defp offsets(%{data: records}), do: Enum.map(records, &elem(&1, 0))

  defp acked(messages) do
    for %{acknowledger: {_, _, {7, 2, ranges}}} <- messages,
        {first, last} <- ranges,
        offset <- first..last,
        do: offset
  end

  test "a chunk becomes a message with its records and exactly the documented metadata" do
    consumer = make_ref()
    records = [record(40), record(42)]

    assert Messages.from_runs([{"orders", 3, 7, 2, 40, 42, 2, records}], consumer) == [
             %Message{
               data: records,
               metadata: %{topic: "orders", partition: 3, offset: 40, last_offset: 42, count: 2},
               acknowledger: {Acknowledger, consumer, {7, 2, [{40, 42}]}},
               batch_key: {"orders", 3}
             }
           ]
  end

  test "a record's fields are there by name, in guards too" do
    record = record(5)
    assert {Record.offset(record), Record.ts(record)} == {5, 1_700_000_000_000}
    assert {Record.key(record), Record.value(record)} == {"key", "value"}
    assert Record.headers(record) == [{"h", nil}]

    tombstone? = fn
      record when is_nil(Record.value(record)) -> true
      _record -> false
    end

    assert Enum.map([record, {6, nil, nil, nil, []}], tombstone?) == [false, true]
  end

  test "the parts of a chunk have its records and metadata of their own" do
    chunk = chunk([5, 6, 7, 9])
    assert {[good], [bad]} = Chunk.split(chunk, &(Record.offset(&1) in [5, 7, 9]))
    assert {offsets(good), offsets(bad)} == {[5, 7, 9], [6]}
    assert good.metadata == %{chunk.metadata | offset: 5, last_offset: 9, count: 3}
    assert bad.metadata == %{chunk.metadata | offset: 6, last_offset: 6, count: 1}
    assert {good.batch_key, bad.batch_key} == {chunk.batch_key, chunk.batch_key}
    assert {_, _, {7, 2, [{5, 5}, {7, 9}]}} = good.acknowledger
    assert {_, _, {7, 2, [{6, 6}]}} = bad.acknowledger
  end

  test "a chunk whose records are all on one side stays as it is" do
    chunk = chunk([5, 6])
    assert Chunk.split(chunk, fn _ -> :truthy end) == {[chunk], []}
    assert Chunk.split(chunk, fn _ -> nil end) == {[], [chunk]}
    empty = %{chunk | data: []}
    assert Chunk.split(empty, fn _ -> false end) == {[empty], []}
  end

  test "however often chunks are split, each record is acknowledged by the part that has it, once" do
    for _ <- 1..500 do
      offsets = 0..200 |> Enum.take_random(Enum.random(1..60)) |> Enum.sort()
      chunk = chunk(offsets)

      parts =
        for _ <- 1..4, reduce: [chunk] do
          parts -> Enum.flat_map(parts, &split_at_random/1)
        end

      assert parts |> Enum.flat_map(&offsets/1) |> Enum.sort() == offsets
      {first, last} = Enum.min_max(offsets)
      assert parts |> acked() |> Enum.sort() == Enum.to_list(first..last)
      for part <- parts, do: assert(offsets(part) -- acked([part]) == [])
    end
  end

  defp split_at_random(message) do
    {some, others} = Chunk.split(message, fn _ -> Enum.random([true, true, false]) end)
    some ++ others
  end

  test "what was taken out of the data is acknowledged with a part, and the order is the pipeline's" do
    for _ <- 1..200 do
      offsets = Enum.to_list(10..40)
      kept = offsets |> Enum.take_random(Enum.random(1..31)) |> Enum.map(&{&1, :own})
      message = %{chunk(offsets) | data: kept}
      {some, others} = Chunk.split(message, fn {_, :own} -> Enum.random([true, false]) end)
      assert (some ++ others) |> acked() |> Enum.sort() == offsets
      for part <- some ++ others, do: assert(offsets(part) -- acked([part]) == [])

      for part <- some ++ others,
          do: assert(offsets(part) == for({o, _} <- kept, o in offsets(part), do: o))
    end
  end

  test "a message of a test, or one acknowledged already, is split too" do
    message = %Message{
      data: [record(0), record(1)],
      acknowledger: Broadway.CallerAcknowledger.init({self(), make_ref()}, :ok)
    }

    assert {[one], [two]} = Chunk.split(message, &(Record.offset(&1) == 1))
    assert {offsets(one), offsets(two)} == {[1], [0]}
    assert one.acknowledger == message.acknowledger and two.acknowledger == message.acknowledger
  end

  test "data that does not begin with offsets cannot be split, and the error quotes it" do
    message = %{chunk([0, 1]) | data: [{"a"}, {"b"}]}

    assert_raise ArgumentError, ~r/tuples that begin with the offset, got: {"[ab]"}/, fn ->
      Chunk.split(message, &(&1 == {"a"}))
    end
  end
end
