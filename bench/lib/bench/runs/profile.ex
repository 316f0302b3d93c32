defmodule Bench.Runs.Profile do
  @moduledoc false
  # A pipeline at full speed, with perf looking at its VM.

  @behaviour Bench.Child

  alias Bench.Await

  # Off the beat of what the VM does every so many milliseconds.
  @hertz "997"

  @impl Bench.Child
  def measure(job) do
    counter = :counters.new(1, [:write_concurrency])
    :ok = job.connector.start(job, {:count, counter})

    with {:ok, first} <- Await.first(fn -> :counters.get(counter, 1) end),
         :ok <- record(System.fetch_env!("BENCH_PERF"), job.seconds),
         do:
           {:ok, pid: String.to_integer(System.pid()), records: :counters.get(counter, 1) - first}
  end

  @spec record(Path.t(), pos_integer()) :: :ok | {:error, String.t()}
  defp record(file, seconds) do
    sampling = ["record", "-F", @hertz, "-g", "-p", System.pid(), "-o", file]

    case System.cmd("perf", sampling ++ ["--", "sleep", "#{seconds}"], stderr_to_stdout: true) do
      {_, 0} -> :ok
      {said, status} -> {:error, "perf ended with status #{status}\n#{said}"}
    end
  end
end
