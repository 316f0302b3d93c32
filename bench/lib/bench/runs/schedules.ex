defmodule Bench.Runs.Schedules do
  @moduledoc false
  # Processes that kept a normal scheduler for more than a millisecond while a pipeline ran, as the VM
  # itself tells: ours, and those of all others. The VM counts by the clock on the wall, so that a
  # thread which the machine set aside is among them.

  @behaviour Bench.Child

  alias Bench.{Await, Pipeline, Variant}

  @long_ms 1

  @impl Bench.Child
  def measure(job) do
    counter = :counters.new(1, [:write_concurrency])
    :ok = job.connector.start(job, {Variant.kind(job.variant), counter})

    with {:ok, _first} <- Await.first(fn -> :counters.get(counter, 1) end) do
      own = own_processes()
      :erlang.system_monitor(self(), [{:long_schedule, @long_ms}])
      long = gather(own, Await.now_us() + job.seconds * 1_000_000, [])
      :erlang.system_monitor(:undefined)
      {ours, others} = Enum.split_with(long, &match?({:ours, _}, &1))

      {:ok,
       ours: length(ours) / job.seconds,
       others: length(others) / job.seconds,
       longest_ms: longest(ours),
       others_longest_ms: longest(others)}
    end
  end

  # Producers, and whatever they have started.
  @spec own_processes() :: MapSet.t(pid())
  defp own_processes do
    producers = for name <- Broadway.producer_names(Pipeline), do: Process.whereis(name)

    for pid <- Process.list(),
        pid in producers or initial_module(pid) =~ "OffBroadwayRustKafka",
        into: MapSet.new(),
        do: pid
  end

  @spec initial_module(pid()) :: String.t()
  defp initial_module(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {module, _, _} <- dictionary[:"$initial_call"] do
      inspect(module)
    else
      _ -> ""
    end
  end

  @spec gather(MapSet.t(pid()), integer(), [{:ours | :others, non_neg_integer()}]) ::
          [{:ours | :others, non_neg_integer()}]
  defp gather(own, until, long) do
    receive do
      {:monitor, pid, :long_schedule, info} when is_pid(pid) ->
        whose = if pid in own or in_our_code?(info), do: :ours, else: :others
        gather(own, until, [{whose, info[:timeout]} | long])

      {:monitor, _port, :long_schedule, info} ->
        gather(own, until, [{:others, info[:timeout]} | long])
    after
      max(div(until - Await.now_us(), 1000), 0) -> long
    end
  end

  # Acks run in Broadway's processes.
  @spec in_our_code?(keyword()) :: boolean()
  defp in_our_code?(info) do
    Enum.any?([info[:in], info[:out]], fn
      {module, _, _} -> inspect(module) =~ "OffBroadwayRustKafka"
      :undefined -> false
    end)
  end

  @spec longest([{atom(), non_neg_integer()}]) :: non_neg_integer()
  defp longest(long), do: long |> Enum.map(&elem(&1, 1)) |> Enum.max(fn -> 0 end)
end
