defmodule OffBroadwayRustKafka.Sockets do
  @moduledoc false
  # The connections that this VM has to a cluster, as the operating system tells them.

  import ExUnit.Assertions

  alias OffBroadwayRustKafka.Kafka

  # librdkafka drops the one that it began with a little after it knows the brokers.
  @steady_ms 1_500
  @look_ms 100
  @await_ms 30_000

  @doc "How many there are, once that stays the same for a while."
  @spec await_steady(Kafka.t(), timeout_ms :: pos_integer()) :: non_neg_integer()
  def await_steady(kafka, timeout) do
    ports = ports(kafka)
    steady(ports, count(ports), @steady_ms, timeout)
  end

  @spec steady(MapSet.t(), non_neg_integer(), integer(), integer()) :: non_neg_integer()
  defp steady(_ports, count, left, _timeout) when left <= 0, do: count

  defp steady(ports, count, left, timeout) do
    if timeout <= 0, do: flunk("connections come and go, now #{count}")
    Kafka.pass(@look_ms)

    case count(ports) do
      ^count -> steady(ports, count, left - @look_ms, timeout - @look_ms)
      other -> steady(ports, other, @steady_ms, timeout - @look_ms)
    end
  end

  @doc """
  How many more there are after `fun`: at least one to each broker, and two more at most, or it flunks. It
  has to need all brokers; the test's own client has its connections before it begins.
  """
  @spec assert_few_opened(Kafka.t(), (() -> term())) :: pos_integer()
  def assert_few_opened(kafka, fun) do
    Kafka.committed(kafka, Kafka.random_name("group"), Kafka.create_topic(kafka, 1), 1)
    before = await_steady(kafka, @await_ms)
    fun.()
    opened = await_steady(kafka, @await_ms) - before
    brokers = brokers(kafka)
    IO.puts("  #{opened} connections to #{brokers} brokers")
    assert opened in brokers..(brokers + 2)
    opened
  end

  @doc "How many brokers there are."
  @spec brokers(Kafka.t()) :: pos_integer()
  def brokers(kafka), do: kafka |> ports() |> MapSet.size()

  @spec ports(Kafka.t()) :: MapSet.t(non_neg_integer())
  defp ports(%{bootstrap: bootstrap}) do
    for host <- String.split(bootstrap, ","), into: MapSet.new() do
      host |> String.split(":") |> List.last() |> String.to_integer()
    end
  end

  @spec count(MapSet.t(non_neg_integer())) :: non_neg_integer()
  defp count(ports) do
    own =
      for fd <- File.ls!("/proc/self/fd"),
          {:ok, "socket:[" <> inode} <- [File.read_link("/proc/self/fd/" <> fd)],
          into: MapSet.new(),
          do: String.trim_trailing(inode, "]")

    Enum.count(established(), fn {port, inode} -> port in ports and inode in own end)
  end

  # The other end's port, and the socket of each that is established.
  @spec established() :: [{:inet.port_number(), inode :: String.t()}]
  defp established do
    for table <- ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        {:ok, text} <- [File.read(table)],
        line <- text |> String.split("\n", trim: true) |> tl(),
        [_, _, remote, "01" | _] = fields <- [String.split(line)] do
      [_, port] = String.split(remote, ":")
      {String.to_integer(port, 16), Enum.at(fields, 9)}
    end
  end
end
