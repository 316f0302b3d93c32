defmodule OffBroadwayRustKafka.PartitionTest do
  use ExUnit.Case, async: true

  alias Broadway.Message
  alias OffBroadwayRustKafka.{Acknowledger, Chunk, Consumer, Partition}

  setup do
    table = Consumer.new_table()
    %{table: table, partition_by: Partition.partition_by(table)}
  end

  defp ours(slot) do
    %Message{
      data: "value",
      metadata: %{topic: "orders", partition: 3, offset: 0, key: nil, ts: nil, headers: []},
      acknowledger: {Acknowledger, make_ref(), {slot, 1, 0}},
      batch_key: {"orders", 3}
    }
  end

  defp immediately_acked(message), do: %{message | acknowledger: {SomeAcknowledger, nil, nil}}

  test "a message goes where its partition's slot says", %{partition_by: partition_by} do
    for slot <- [0, 1, 999], do: assert(partition_by.(ours(slot)) == slot)
  end

  test "the partitions of a part of a member are counted without gaps, the same each time", %{
    table: table
  } do
    partition_by = Partition.partition_by_rank(table)
    slots = [4, 0, 999]
    ranks = for slot <- slots ++ slots, do: partition_by.(ours(slot))
    assert ranks == [0, 1, 2, 0, 1, 2]

    others = for slot <- slots, do: Task.async(fn -> partition_by.(ours(slot)) end)
    assert Task.await_many(others) == [0, 1, 2]
    :ets.delete(table)
    assert is_integer(partition_by.(ours(7)))
  end

  test "a chunk, and each part of one, goes where its partition's slot says", context do
    records = for offset <- 0..9, do: {offset, nil, nil, "", []}

    chunk = %{
      ours(5)
      | data: records,
        acknowledger: {Acknowledger, make_ref(), {5, 1, [{0, 9}]}}
    }

    {some, others} = Chunk.split(chunk, fn {offset, _, _, _, _} -> rem(offset, 2) == 0 end)
    for part <- [chunk] ++ some ++ others, do: assert(context.partition_by.(part) == 5)
  end

  test "what the user does to the data, metadata or batch key moves no message", context do
    message = ours(5)

    for changed <- [
          %{message | data: :other},
          %{message | metadata: :gone},
          %{message | metadata: %{topic: "other", partition: 9}},
          %{message | batch_key: :own, batcher: :own}
        ] do
      assert context.partition_by.(changed) == 5
    end
  end

  test "without the acknowledger all of a partition's messages still go one way", context do
    message = immediately_acked(ours(5))
    number = context.partition_by.(message)

    assert number == :erlang.phash2({"orders", 3})
    assert context.partition_by.(%{message | data: :other}) == number
    assert context.partition_by.(%{message | metadata: nil}) == number
    assert context.partition_by.(%{message | batch_key: :own}) == number
  end

  test "a test message goes to the first processor, before and after its data changes", context do
    message = %Message{
      data: 1,
      metadata: %{},
      acknowledger: Broadway.CallerAcknowledger.init({self(), make_ref()}, :ok),
      batch_mode: :flush
    }

    assert context.partition_by.(message) == 0
    assert context.partition_by.(%{message | data: 2, metadata: %{id: 2}}) == 0
  end

  test "a consumer that is gone, or a table, raises nothing", context do
    message = immediately_acked(ours(5))
    number = context.partition_by.(message)

    :ets.insert(context.table, {:consumer, make_ref()})
    assert context.partition_by.(message) == number

    :ets.delete(context.table)
    assert context.partition_by.(message) == number
  end

  test "rubbish gets a number too, and always the same one", context do
    :rand.seed(:exsss, {0, 0, ExUnit.configuration()[:seed]})

    for _ <- 1..5_000 do
      message = rubbish_message()
      number = context.partition_by.(message)

      assert is_integer(number) and number >= 0, "#{inspect(number)} for #{inspect(message)}"
      assert context.partition_by.(message) == number
    end
  end

  defp rubbish_message do
    message = %Message{
      data: rubbish(2),
      metadata: metadata(),
      acknowledger: acknowledger(),
      batch_key: pick([:default, {rubbish(0), rubbish(0)}, rubbish(1)])
    }

    pick([message, message, message, Map.delete(message, :acknowledger), rubbish(2)])
  end

  defp acknowledger do
    slot = pick([0, 7, -1, 1.0, nil, rubbish(1)])
    pick([{Acknowledger, make_ref(), {slot, 1, 0}}, {Acknowledger, nil, slot}, rubbish(2)])
  end

  defp metadata do
    topic = pick(["orders", "", <<255>>, :orders, rubbish(1)])
    partition = pick([0, 3, -1, Bitwise.bsl(1, 70), "3", rubbish(1)])
    pick([%{topic: topic, partition: partition}, %{topic: topic}, rubbish(2)])
  end

  defp rubbish(0),
    do: pick([nil, :a, 0, -1, 1.5, "s", <<1::3>>, make_ref(), self(), &rubbish/1, ~c"c"])

  defp rubbish(depth) do
    case :rand.uniform(5) do
      1 -> for _ <- 1..:rand.uniform(3), do: rubbish(depth - 1)
      2 -> {rubbish(depth - 1), rubbish(depth - 1)}
      3 -> %{topic: rubbish(depth - 1), partition: rubbish(depth - 1)}
      4 -> [rubbish(depth - 1) | rubbish(depth - 1)]
      5 -> rubbish(0)
    end
  end

  defp pick(choices), do: Enum.at(choices, :rand.uniform(length(choices)) - 1)
end
