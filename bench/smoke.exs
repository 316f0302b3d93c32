# How many records a second one pipeline handles, and the CPU time of each, on a broker of your own:
#
#     cd bench && mix deps.get && KAFKA_BROKERS=localhost:9092 mix run smoke.exs
#
# RECORDS (1000000), BYTES of a value (100) and MAX_DEMAND (100) may be set. It makes a topic of 8 partitions with a
# random name and removes it again. The whole VM's CPU time counts; figures from different machines, or from different
# times on a busy one, do not compare.

defmodule Bench.Smoke do
  use Broadway

  alias OffBroadwayRustKafka.TestClient

  @partitions 8
  @chunk 50_000

  @impl Broadway
  def handle_message(_processor, message, counter) do
    :counters.add(counter, 1, 1)
    message
  end

  def run do
    brokers = System.fetch_env!("KAFKA_BROKERS")

    {records, bytes, max_demand} =
      {env("RECORDS", 1_000_000), env("BYTES", 100), env("MAX_DEMAND", 100)}

    {:ok, client} = TestClient.start(brokers, [{"linger.ms", "20"}])
    topic = "bench-" <> Base.encode16(:crypto.strong_rand_bytes(6), case: :lower)
    :ok = TestClient.create_topic(client, topic, partitions: @partitions)
    load(client, topic, records, String.duplicate("x", bytes))

    {micros, cpu_micros} = consume(brokers, topic, records, max_demand)
    :ok = TestClient.delete_topic(client, topic)

    IO.puts(
      "#{records} records of #{bytes} B, max_demand #{max_demand}: " <>
        "#{round(records / micros * 1_000_000)} records/s, " <>
        "#{Float.round(cpu_micros / records, 2)} µs of CPU each"
    )
  end

  defp load(client, topic, records, value) do
    0..(records - 1)
    |> Stream.map(&%{partition: rem(&1, @partitions), key: "#{&1}", value: value})
    |> Stream.chunk_every(@chunk)
    |> Enum.each(fn chunk -> {:ok, _offsets} = TestClient.produce(client, topic, chunk) end)
  end

  defp consume(brokers, topic, records, max_demand) do
    counter = :counters.new(1, [:write_concurrency])

    {:ok, pipeline} =
      Broadway.start_link(__MODULE__,
        name: __MODULE__,
        context: counter,
        producer: [
          module:
            {OffBroadwayRustKafka.Producer,
             hosts: brokers, group_id: topic, topics: [topic], offset_reset_policy: :earliest}
        ],
        processors: [default: [concurrency: 4, max_demand: max_demand]]
      )

    await(counter, 1)
    from = {System.monotonic_time(:microsecond), cpu_micros()}
    await(counter, records)
    to = {System.monotonic_time(:microsecond), cpu_micros()}
    Broadway.stop(pipeline)
    {elem(to, 0) - elem(from, 0), elem(to, 1) - elem(from, 1)}
  end

  defp await(counter, count) do
    if :counters.get(counter, 1) < count do
      Process.sleep(1)
      await(counter, count)
    end
  end

  # User and system time of this process, all threads of it, in ticks of 10 ms.
  defp cpu_micros do
    stat = File.read!("/proc/self/stat")
    fields = stat |> String.split(") ") |> List.last() |> String.split()
    ticks = String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))
    ticks * 10_000
  end

  defp env(name, default), do: name |> System.get_env("#{default}") |> String.to_integer()
end

Bench.Smoke.run()
