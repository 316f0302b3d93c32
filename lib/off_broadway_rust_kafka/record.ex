defmodule OffBroadwayRustKafka.Record do
  @moduledoc """
  A record of Kafka: a struct with `message_format: :record`, from an `OffBroadwayRustKafka.Stage` or an
  `OffBroadwayRustKafka.stream/1`; a tuple in a chunk.

  ## As data of a message

  With the option `message_format: :record` the data of a `Broadway.Message` is a record with all that
  its metadata has too:

      def handle_message(_processor, %{data: %OffBroadwayRustKafka.Record{} = record} = message, _) do
        MyApp.handle(record.key, record.value)
        message
      end

  ## In a chunk

  With a `:chunk_size` (see `OffBroadwayRustKafka.Chunk`) it is the tuple
  `{offset, ts, key, value, headers}`: what the consumer in Rust makes, with nothing in between, so that
  a record costs nothing more on its way. Take it apart by a pattern:

      for {_offset, _ts, key, value, _headers} <- message.data, do: {key, value}

  or by these, which may be used in guards:

      require OffBroadwayRustKafka.Record, as: Record

      Enum.reject(message.data, &is_nil(Record.value(&1)))
  """

  alias OffBroadwayRustKafka.{Commits, Native}

  defstruct [:topic, :partition, :offset, :ts, :key, :value, :source, headers: []]

  @typedoc """
  Its topic, partition and offset; its timestamp in milliseconds since the Unix epoch, or `nil`; its key,
  a binary or `nil`; its value, `nil` for a tombstone; its headers, as in a chunk. `:source` is for
  `OffBroadwayRustKafka.Stage.ack/1` and `OffBroadwayRustKafka.Stage.commit/3`, and `nil` in a Broadway
  message.
  """
  @type t :: %__MODULE__{
          topic: String.t(),
          partition: non_neg_integer(),
          offset: non_neg_integer(),
          ts: integer() | nil,
          key: binary() | nil,
          value: binary() | nil,
          headers: [{String.t(), binary() | nil}],
          source: source() | nil
        }

  @typedoc false
  @type source :: {Native.consumer(), Commits.strategy(), Native.slot(), Native.epoch()}

  @typedoc """
  In a chunk: its offset; its timestamp in milliseconds since the Unix epoch, or `nil`; its key, a binary or `nil`;
  its value, `nil` for a tombstone; its headers, `{name, value}` in the record's order, where a name may
  repeat and a value may be `nil`.
  """
  @type in_chunk ::
          {offset :: non_neg_integer(), ts :: integer() | nil, key :: binary() | nil,
           value :: binary() | nil, headers :: [{String.t(), binary() | nil}]}

  @doc "Its offset."
  defguard offset(record) when elem(record, 0)

  @doc "Its timestamp in milliseconds since the Unix epoch, or `nil`."
  defguard ts(record) when elem(record, 1)

  @doc "Its key, a binary or `nil`."
  defguard key(record) when elem(record, 2)

  @doc "Its value, a binary, or `nil` for a tombstone."
  defguard value(record) when elem(record, 3)

  @doc "Its headers, a list of `{name, value}`."
  defguard headers(record) when elem(record, 4)

  defimpl Inspect do
    import Inspect.Algebra

    # Its source says nothing to a reader.
    @shown [:topic, :partition, :offset, :ts, :key, :value, :headers]

    @spec inspect(OffBroadwayRustKafka.Record.t(), Inspect.Opts.t()) :: Inspect.Algebra.t()
    def inspect(record, opts) do
      fields = for key <- @shown, do: {key, Map.fetch!(record, key)}
      container_doc("%OffBroadwayRustKafka.Record{", fields, "}", opts, &field/2)
    end

    @spec field({atom(), term()}, Inspect.Opts.t()) :: Inspect.Algebra.t()
    defp field({key, value}, opts), do: concat("#{key}: ", to_doc(value, opts))
  end
end
