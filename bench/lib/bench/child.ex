defmodule Bench.Child do
  @moduledoc false
  # The VM in which one pipeline is measured.

  alias Bench.{Figures, Pipeline, Usage}

  @patience_ms 30_000
  # How often it looks whether enough has been read.
  @poll_ms 5

  @spec main() :: no_return()
  def main do
    [job] = System.argv()
    job = Bench.Job.decode(job)
    spawn(&end_with_input/0)
    prepare(job.connector.applications())
    measure(job)
    System.halt(0)
  end

  # Whoever started this is gone.
  @spec end_with_input() :: no_return()
  defp end_with_input do
    if IO.read(:stdio, :line) in [:eof, {:error, :terminated}],
      do: System.halt(1),
      else: end_with_input()
  end

  # As in a release, all code is loaded before anything starts.
  @spec prepare([atom()]) :: :ok
  defp prepare(applications) do
    started = Enum.flat_map([:logger | applications], &start/1)
    Logger.configure(level: :warning)

    for application <- started,
        module <- Application.spec(application, :modules) || [],
        do: Code.ensure_loaded(module)

    :ok
  end

  @spec start(atom()) :: [atom()]
  defp start(application) do
    {:ok, started} = Application.ensure_all_started(application)
    started
  end

  @spec measure(Bench.Job.t()) :: :ok
  defp measure(%{kind: :read} = job) do
    counter = :counters.new(1, [:write_concurrency])
    started = now_us()
    count = if job.variant.batchers == [], do: :count, else: :count_batches
    :ok = Pipeline.start(job, {count, counter})
    first = await(counter, 1, started + @patience_ms * 1000, 1)
    if first == 0, do: give_up()
    {since, cpu} = {now_us(), Usage.cpu_us()}
    last = await(counter, job.records, since + job.seconds * 1_000_000, @poll_ms)
    {elapsed, cpu} = {now_us() - since, Usage.cpu_us() - cpu}
    read = max(last - first, 1)

    Figures.print(
      first_ms: (since - started) / 1000,
      records: read,
      rate: read * 1_000_000 / elapsed,
      cpu_us: cpu / read,
      peak_mib: Usage.peak_mib()
    )
  end

  defp measure(%{kind: :latency} = job) do
    started = now_us()
    :ok = Pipeline.start(job, {:tell, self(), job.connector})

    receive do
      {:age, _} -> :ok
    after
      @patience_ms -> give_up()
    end

    since = now_us()
    ages(since + job.warm_up * 1_000_000, [])
    ages = ages(since + (job.warm_up + job.seconds) * 1_000_000, [])
    sorted = ages |> Enum.sort() |> List.to_tuple()

    Figures.print(
      first_ms: (since - started) / 1000,
      records: tuple_size(sorted),
      p50_ms: percentile(sorted, 0.50),
      p99_ms: percentile(sorted, 0.99)
    )
  end

  @spec await(:counters.counters_ref(), pos_integer(), until :: integer(), pos_integer()) ::
          non_neg_integer()
  defp await(counter, enough, until, poll) do
    count = :counters.get(counter, 1)

    if count >= enough or now_us() >= until do
      count
    else
      Process.sleep(poll)
      await(counter, enough, until, poll)
    end
  end

  @spec ages(until :: integer(), [integer()]) :: [integer()]
  defp ages(until, ages) do
    left = until - now_us()

    if left <= 0 do
      ages
    else
      receive do
        {:age, age} -> ages(until, [age | ages])
      after
        div(left, 1000) + 1 -> ages
      end
    end
  end

  @spec percentile(tuple(), float()) :: float()
  defp percentile({}, _share), do: give_up()

  defp percentile(sorted, share) do
    rank = ceil(tuple_size(sorted) * share)
    elem(sorted, rank - 1) / 1_000_000
  end

  @spec now_us() :: integer()
  defp now_us, do: System.monotonic_time(:microsecond)

  @spec give_up() :: no_return()
  defp give_up do
    IO.puts("no record within #{div(@patience_ms, 1000)} s")
    System.halt(1)
  end
end
