defmodule OffBroadwayRustKafka.CorruptBatch do
  @moduledoc false
  # A record batch whose checksum does not match. A broker takes none, so there it is damaged in the
  # broker's own file, after it was taken; KAFKA_DATA is the folder below which that is. The mock
  # cluster keeps what it is sent.

  import ExUnit.Assertions

  alias OffBroadwayRustKafka.Kafka

  @timeout 5_000
  @not_leader 6

  @doc "Appends one record in such a batch to a partition, and returns its offset."
  @spec produce(Kafka.t(), String.t(), non_neg_integer(), binary()) :: non_neg_integer()
  def produce(%{cluster: nil} = kafka, topic, partition, value) do
    [offset] = Kafka.produce(kafka, topic, [[value: value, partition: partition]])
    damage(topic, partition, value)
    offset
  end

  def produce(kafka, topic, partition, value) do
    request = request(topic, partition, batch(value))

    answers = for address <- String.split(kafka.bootstrap, ","), do: ask(address, request)

    assert [offset] = for({0, offset} <- answers, do: offset)
    assert for({code, _} <- answers, code not in [0, @not_leader], do: code) == []
    offset
  end

  # Brokers serve a fetch from the file as it is.
  @spec damage(String.t(), non_neg_integer(), binary()) :: :ok
  defp damage(topic, partition, value) do
    segments = "KAFKA_DATA" |> System.fetch_env!() |> Path.join("**/#{topic}-#{partition}/*.log")

    found =
      for path <- Path.wildcard(segments, match_dot: true),
          match = :binary.match(File.read!(path), value),
          match != :nomatch,
          do: {path, elem(match, 0)}

    assert [{path, position}] = found
    {:ok, file} = :file.open(path, [:read, :write, :raw, :binary])
    <<first, _::binary>> = value
    :ok = :file.pwrite(file, position, <<Bitwise.bxor(first, 1)>>)
    :ok = :file.close(file)
  end

  @spec ask(String.t(), iodata()) :: {code :: integer(), offset :: integer()}
  defp ask(address, request) do
    [host, port] = String.split(address, ":")
    options = [:binary, active: false, packet: 4]

    {:ok, socket} =
      :gen_tcp.connect(to_charlist(host), String.to_integer(port), options, @timeout)

    :ok = :gen_tcp.send(socket, request)
    {:ok, answer} = :gen_tcp.recv(socket, 0, @timeout)
    :ok = :gen_tcp.close(socket)

    <<1::32, 1::32, size::16, _topic::binary-size(size), 1::32, _partition::32, code::signed-16,
      offset::signed-64, _::binary>> = answer

    {code, offset}
  end

  # Produce, version 3, from a client without a name: acks of all, five seconds.
  @spec request(String.t(), non_neg_integer(), binary()) :: iodata()
  defp request(topic, partition, batch) do
    head = <<0::16, 3::16, 1::32, -1::16, -1::16, -1::16, @timeout::32>>
    topic = <<1::32, byte_size(topic)::16, topic::binary>>
    [head, topic, <<1::32, partition::32, byte_size(batch)::32>>, batch]
  end

  # A batch of format 2 with one record, no key and no headers; its checksum, 0, is wrong.
  @spec batch(binary()) :: binary()
  defp batch(value) do
    record = <<0, varint(0)::binary, varint(0)::binary, varint(-1)::binary>>

    record =
      <<record::binary, varint(byte_size(value))::binary, value::binary, varint(0)::binary>>

    now = System.os_time(:millisecond)
    tail = <<0::16, 0::32, now::64, now::64, -1::64, -1::16, -1::32, 1::32>>
    tail = <<tail::binary, varint(byte_size(record))::binary, record::binary>>
    <<0::64, byte_size(tail) + 9::32, 0::32, 2, 0::32, tail::binary>>
  end

  # Zigzag, then seven bits a byte.
  @spec varint(integer()) :: binary()
  defp varint(number), do: bits(if number < 0, do: -2 * number - 1, else: 2 * number)

  @spec bits(non_neg_integer()) :: binary()
  defp bits(number) when number < 128, do: <<number>>
  defp bits(number), do: <<1::1, number::7, bits(div(number, 128))::binary>>
end
