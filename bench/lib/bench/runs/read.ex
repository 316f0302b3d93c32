defmodule Bench.Runs.Read do
  @moduledoc false
  # How fast, and for how much CPU time.

  @behaviour Bench.Child

  alias Bench.{Await, Usage, Variant}

  # How often it looks whether enough has been read.
  @poll_ms 5

  @impl Bench.Child
  def measure(job) do
    counter = :counters.new(1, [:write_concurrency])
    counted = fn -> :counters.get(counter, 1) end
    started = Await.now_us()
    :ok = job.connector.start(job, {Variant.kind(job.variant), counter})

    with {:ok, first} <- Await.first(counted) do
      {since, cpu} = {Await.now_us(), Usage.cpu_us()}
      last = Await.count(counted, job.records, since + job.seconds * 1_000_000, @poll_ms)
      {elapsed, cpu} = {Await.now_us() - since, Usage.cpu_us() - cpu}
      read = max(last - first, 1)

      {:ok,
       first_ms: (since - started) / 1000,
       records: read,
       rate: read * 1_000_000 / elapsed,
       cpu_us: cpu / read,
       peak_mib: Usage.peak_mib()}
    end
  end
end
