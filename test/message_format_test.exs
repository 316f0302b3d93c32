defmodule OffBroadwayRustKafka.MessageFormatTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Message, MessageFormat, Record}

  @headers [{"h", "1"}, {"h", nil}]
  @runs [{"orders", 3, 7, 2, [{42, 1_700_000_000_000, "key", "value", @headers}]}]

  defp message(format) do
    {:ok, format} = MessageFormat.parse(format)

    [message] =
      @runs |> Message.from_runs(make_ref()) |> MessageFormat.put(MessageFormat.new(format))

    message
  end

  test "by default the data is the value, and the metadata and batch key are broadway_kafka's" do
    assert %{data: "value", metadata: metadata, batch_key: {"orders", 3}} = message(:value)

    assert metadata == %{
             topic: "orders",
             partition: 3,
             offset: 42,
             key: "key",
             ts: 1_700_000_000_000,
             headers: @headers
           }
  end

  test "the default leaves the messages of a pull as they are, not even copied" do
    messages = Message.from_runs(@runs, make_ref())
    assert :erts_debug.same(MessageFormat.put(messages, MessageFormat.new(:value)), messages)
  end

  test "a record has all that the metadata has, and the value" do
    assert %{data: record, batch_key: {"orders", 3}} = message = message(:record)

    assert record == %Record{
             topic: "orders",
             partition: 3,
             offset: 42,
             ts: 1_700_000_000_000,
             key: "key",
             value: "value",
             headers: @headers
           }

    assert message.metadata == message(:value).metadata
  end

  test "Klife's record is as off_broadway_klife fills it, with empty metadata and the same batch key" do
    assert %{data: record, metadata: metadata, batch_key: {"orders", 3}} = message(:klife)
    assert metadata == %{}

    assert record == %Klife.Record{
             topic: "orders",
             partition: 3,
             offset: 42,
             timestamp: 1_700_000_000_000,
             key: "key",
             value: "value",
             headers: [%{key: "h", value: "1"}, %{key: "h", value: nil}],
             is_aborted: false
           }
  end

  test "acknowledges the same whatever the data is" do
    acknowledgers = for format <- [:value, :record, :klife], do: message(format).acknowledger
    assert [{7, 2, 42}] == acknowledgers |> Enum.map(&elem(&1, 2)) |> Enum.uniq()
  end

  test "without klife its record is refused, and the others are named" do
    assert {:error, message} = MessageFormat.parse(:klife, NoSuch.Record)
    assert message =~ "needs klife as a dependency"
    assert message =~ ":record and :value"
  end
end
