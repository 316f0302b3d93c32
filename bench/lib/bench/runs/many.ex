defmodule Bench.Runs.Many do
  @moduledoc false
  # Ten pipelines in one VM, each in a group of its own, all at full speed.

  @behaviour Bench.Child

  alias Bench.{Await, Pipeline}

  @pipelines 10
  @poll_ms 10

  @impl Bench.Child
  def measure(job) do
    counters =
      for n <- 1..@pipelines do
        counter = :counters.new(1, [:write_concurrency])
        options = job.connector.options(%{job | group: "#{job.group}-#{n}"})
        name = Module.concat(Pipeline, "N#{n}")

        {:ok, _} =
          Broadway.start_link(Pipeline, [name: name, context: {:count, counter}] ++ options)

        counter
      end

    with {:ok, _} <- Await.first(fn -> counters |> counts() |> Enum.min() end) do
      before = counts(counters)
      since = Await.now_us()
      longest_us = watch(counters, before, since, job.seconds * 1_000_000)
      elapsed = Await.now_us() - since
      read = for {now, was} <- Enum.zip(counts(counters), before), do: now - was

      {:ok,
       rate: Enum.sum(read) * 1_000_000 / elapsed,
       slowest: Enum.min(read) * 1_000_000 / elapsed,
       pause_ms: longest_us / 1000}
    end
  end

  # The longest time in which some pipeline handled nothing.
  @spec watch([:counters.counters_ref()], [non_neg_integer()], integer(), pos_integer()) ::
          non_neg_integer()
  defp watch(counters, before, since, duration) do
    states = for was <- before, do: {was, since, 0}
    watch_until(counters, states, since + duration)
  end

  @spec watch_until([:counters.counters_ref()], [tuple()], integer()) :: non_neg_integer()
  defp watch_until(counters, states, until) do
    Process.sleep(@poll_ms)
    now = Await.now_us()

    states =
      for {count, {was, moved, longest}} <- Enum.zip(counts(counters), states) do
        longest = max(longest, now - moved)
        if count > was, do: {count, now, longest}, else: {was, moved, longest}
      end

    if now >= until,
      do: states |> Enum.map(&elem(&1, 2)) |> Enum.max(),
      else: watch_until(counters, states, until)
  end

  @spec counts([:counters.counters_ref()]) :: [non_neg_integer()]
  defp counts(counters), do: for(counter <- counters, do: :counters.get(counter, 1))
end
