defmodule Bench.Runs.Latency do
  @moduledoc false
  # How soon after it was sent a record is in the handler.

  @behaviour Bench.Child

  alias Bench.{Await, Histogram}

  @impl Bench.Child
  def measure(job) do
    ages = Histogram.new()
    started = Await.now_us()
    :ok = job.connector.start(job, {:age, ages, job.connector})

    with {:ok, _first} <- Await.first(fn -> if Histogram.max_ns(ages) > 0, do: 1, else: 0 end) do
      since = Await.now_us()
      Process.sleep(job.warm_up * 1000)
      :ok = Histogram.reset(ages)
      from = Await.now_us()
      Process.sleep(job.seconds * 1000)
      {received, elapsed} = {Histogram.count(ages), Await.now_us() - from}
      figures(ages, received, (since - started) / 1000, elapsed)
    end
  end

  @spec figures(Histogram.t(), non_neg_integer(), float(), pos_integer()) ::
          {:ok, keyword(number())} | {:error, String.t()}
  defp figures(_ages, 0, _first_ms, _elapsed), do: {:error, "no record after the first"}

  defp figures(ages, received, first_ms, elapsed) do
    {:ok,
     first_ms: first_ms,
     received: received * 1_000_000 / elapsed,
     p50_ms: Histogram.percentile_ns(ages, 0.50) / 1_000_000,
     p99_ms: Histogram.percentile_ns(ages, 0.99) / 1_000_000}
  end
end
