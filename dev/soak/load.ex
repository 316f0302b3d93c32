defmodule Soak.Load do
  @moduledoc false
  # Records that keep coming, unevenly, some to some partitions at a time. The brokers take each
  # once, whatever becomes of them meanwhile.

  alias OffBroadwayRustKafka.{History, Kafka, TestClient}
  alias Soak.Screen

  @tick_ms 100
  @produce_ms 60_000
  # Of the partitions, how many get records at a time.
  @some 0.3

  @enforce_keys [:task, :count]
  defstruct @enforce_keys

  @type t :: %__MODULE__{task: Task.t(), count: :counters.counters_ref()}

  @doc "Begins, at a rate of records a second; what it does is left to chance, from a seed."
  @spec start(Kafka.t(), History.t(), String.t(), pos_integer(), pos_integer(), integer()) :: t()
  def start(kafka, history, topic, partitions, rate, seed) do
    count = :counters.new(1, [])

    task =
      Task.async(fn ->
        :rand.seed(:exsss, seed)

        go_on(%{
          client: client(kafka),
          kafka: kafka,
          history: history,
          topic: topic,
          partitions: partitions,
          each: rate * @tick_ms / 1000 / (partitions * @some),
          count: count,
          next: %{}
        })
      end)

    %__MODULE__{task: task, count: count}
  end

  @doc "How many records the brokers have taken so far."
  @spec count(t()) :: non_neg_integer()
  def count(%{count: count}), do: :counters.get(count, 1)

  @doc "The topic has more partitions now."
  @spec spread(t(), partitions :: pos_integer()) :: :ok
  def spread(%{task: %{pid: pid}}, partitions) do
    send(pid, {:partitions, partitions})
    :ok
  end

  @doc "Ends it, once the brokers have what is under way."
  @spec stop(t()) :: :ok
  def stop(%{task: task}) do
    send(task.pid, :stop)
    Task.await(task, 2 * @produce_ms)
  end

  @spec go_on(map()) :: :ok
  defp go_on(load) do
    receive do
      :stop -> :ok
      # A client that knows of them.
      {:partitions, n} -> go_on(%{load | partitions: n, client: client(load.kafka)})
    after
      @tick_ms -> load |> produce(records(load)) |> go_on()
    end
  end

  @spec records(map()) :: [keyword()]
  defp records(%{partitions: partitions, each: each}) do
    for id <- 0..(partitions - 1),
        :rand.uniform() < @some,
        _ <- 1..max(round(each * 2 * :rand.uniform()), 1),
        do: [partition: id, value: "record"]
  end

  # One that did not arrive in time may or may not be there: the brokers are asked in the end.
  @spec produce(map(), [keyword()]) :: map()
  defp produce(load, []), do: load

  defp produce(load, records) do
    case TestClient.produce(load.client, load.topic, records, @produce_ms) do
      {:ok, offsets} ->
        :counters.add(load.count, 1, length(records))
        told(load, records, offsets)

      {:error, error} ->
        Screen.say("producing failed, and goes on: #{Exception.message(error)}")
        %{load | client: client(load.kafka)}
    end
  end

  @spec told(map(), [keyword()], [non_neg_integer()]) :: map()
  defp told(load, records, offsets) do
    last =
      records |> Enum.zip(offsets) |> Map.new(fn {record, at} -> {record[:partition], at} end)

    for {id, at} <- last, reduce: load do
      load ->
        History.produced(load.history, {load.topic, id}, Map.get(load.next, id, 0), at + 1)
        put_in(load.next[id], at + 1)
    end
  end

  @spec client(Kafka.t()) :: TestClient.t()
  defp client(kafka) do
    {:ok, client} = TestClient.start(kafka.bootstrap, "enable.idempotence": true)
    client
  end
end
