defmodule OffBroadwayRustKafka.MessageFormat do
  @moduledoc false
  # The `:message_format` option: what the messages of a pull carry. It is chosen once for a producer;
  # the default leaves messages as they are made, so that a record's way pays nothing for the others.

  alias Broadway.Message
  alias OffBroadwayRustKafka.Record

  # Klife is no dependency: its struct is that of the user's own version.
  @klife Klife.Record

  @type name :: :value | :record | :klife
  @typep klife_record :: %{required(:__struct__) => module(), optional(atom()) => term()}
  @type t :: :value | :record | {:klife, klife_record()}

  @spec parse(term(), klife_module :: module()) :: {:ok, name()} | {:error, String.t()}
  def parse(format, klife \\ @klife)
  def parse(format, _klife) when format in [:value, :record], do: {:ok, format}

  def parse(:klife, klife) do
    if Code.ensure_loaded?(klife) and function_exported?(klife, :__struct__, 0) do
      {:ok, :klife}
    else
      {:error,
       ":klife, the default of off_broadway_klife's options, needs klife as a dependency, as data " <>
         "is a %Klife.Record{}; without it there are :record and :value"}
    end
  end

  def parse(format, _klife),
    do: {:error, "expected :value, :record or :klife, got: #{inspect(format)}"}

  @spec new(name()) :: t()
  def new(:klife), do: {:klife, struct(@klife)}
  def new(format), do: format

  @spec put([Message.t()], t()) :: [Message.t()]
  def put(messages, :value), do: messages

  def put(messages, :record) do
    for %{data: value, metadata: metadata} = message <- messages do
      %{topic: topic, partition: partition, offset: offset} = metadata
      %{key: key, ts: ts, headers: headers} = metadata

      record = %Record{
        topic: topic,
        partition: partition,
        offset: offset,
        ts: ts,
        key: key,
        value: value,
        headers: headers
      }

      %{message | data: record}
    end
  end

  def put(messages, {:klife, empty}) do
    for %{data: value, metadata: metadata} = message <- messages do
      %{topic: topic, partition: partition, offset: offset} = metadata
      %{key: key, ts: ts, headers: headers} = metadata

      record = %{
        empty
        | topic: topic,
          partition: partition,
          offset: offset,
          timestamp: ts,
          key: key,
          value: value,
          headers: for({key, value} <- headers, do: %{key: key, value: value}),
          is_aborted: false
      }

      %{message | data: record, metadata: %{}}
    end
  end
end
