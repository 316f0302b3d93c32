defmodule OffBroadwayRustKafka.Source do
  @moduledoc false
  # Records that keep coming while a test does harm: some to every partition of a topic, again and
  # again. The brokers take each once, whatever becomes of them meanwhile, so that a partition
  # holds exactly what `stop/1` says.

  alias OffBroadwayRustKafka.{Kafka, TestClient}

  # Below librdkafka's own `message.timeout.ms`: what it gives up on may be there, or not.
  @produce_ms 240_000

  @doc """
  Begins, until it is stopped or the test ends.

  `:batch` is how many records each partition is given at once (5), `:every` how long to wait once
  the brokers have them (20 ms).
  """
  @spec start(Kafka.t(), String.t(), partitions :: pos_integer(), keyword()) :: Task.t()
  def start(kafka, topic, partitions, options \\ []) do
    options = Keyword.validate!(options, batch: 5, every: 20)

    records =
      for _ <- 1..options[:batch],
          {_, id} <- Kafka.all(topic, partitions),
          do: [partition: id, value: "x"]

    Task.async(fn ->
      {:ok, client} = TestClient.start(kafka.bootstrap, "enable.idempotence": true)
      rounds = produce(client, topic, records, options[:every], 0)
      Kafka.each(topic, partitions, rounds * options[:batch])
    end)
  end

  @doc "Ends it: the offset after the last record of every partition."
  @spec stop(Task.t()) :: Kafka.offsets()
  def stop(%Task{pid: pid} = source) do
    send(pid, :stop)
    Task.await(source, 2 * @produce_ms)
  end

  @spec produce(
          TestClient.t(),
          String.t(),
          [TestClient.record()],
          non_neg_integer(),
          non_neg_integer()
        ) ::
          rounds :: pos_integer()
  defp produce(client, topic, records, every, rounds) do
    {:ok, _} = TestClient.produce(client, topic, records, @produce_ms)

    receive do
      :stop -> rounds + 1
    after
      every -> produce(client, topic, records, every, rounds + 1)
    end
  end
end
