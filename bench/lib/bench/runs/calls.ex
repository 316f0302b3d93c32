defmodule Bench.Runs.Calls do
  @moduledoc false
  # How long each call into the NIF keeps its scheduler. Pulls are made as the producer makes them, acks
  # as the acknowledger does; what runs on a dirty scheduler is there to compare with.

  @behaviour Bench.Child

  alias Bench.{Await, Histogram}
  alias Bench.Connectors.Nif
  alias OffBroadwayRustKafka.{Acknowledger, Message, Native}

  @few 100
  @many 500
  @large 10_000
  @close_ms 10_000
  @long_ns 1_000_000
  # Rounds of small calls for each of the large ones.
  @rounds 50

  @calls [
    pull_short: "`pull_short`, #{@few} records",
    ack_few: "`ack`, what a `pull_short` brought",
    ack_many: "`ack`, #{@many} records",
    ack_ranges: "`ack_ranges`, all of #{@large} records",
    slot: "`slot`",
    check: "`check`, five properties",
    redeliver: "`redeliver`",
    close: "`close`"
  ]

  @besides [
    pull: "`pull`, #{@many} records (a dirty scheduler)",
    attach: "`attach` (a dirty scheduler)",
    acknowledger: "the acknowledger, #{@large} messages: #{div(@large, @many)} calls of `ack`",
    nothing: "nothing: the clock read twice, for a second"
  ]

  @properties [
    {"bootstrap.servers", "localhost:9092"},
    {"group.id", "orders"},
    {"session.timeout.ms", "45000"},
    {"fetch.wait.max.ms", "500"},
    {"compression.codec", "zstd"}
  ]

  @doc "The calls on normal schedulers, by the name of their figures."
  @spec calls() :: keyword(title :: String.t())
  def calls, do: @calls

  @doc "What is measured besides."
  @spec besides() :: keyword(title :: String.t())
  def besides, do: @besides

  @impl Bench.Child
  def measure(job) do
    times = Map.new(@calls ++ @besides, fn {name, _} -> {name, Histogram.new()} end)
    consumer = Nif.open(job)
    # Once it has its partitions.
    :ok = Native.ack(consumer, consumer |> Nif.pull_all(1) |> Nif.acks())
    cycles = div(job.records, @rounds * (@few + @many) + 2 * @large)
    cycle(consumer, job, times, {cycles, Await.now_us() + job.seconds * 1_000_000})
    do_nothing(times, Await.now_us() + 1_000_000)
    timed(times, :close, fn -> Native.close(consumer, @close_ms) end)
    {:ok, Enum.flat_map(times, &figures/1)}
  end

  # As long as there is time, and as there are records.
  @spec cycle(Native.consumer(), Bench.Job.t(), map(), {cycles :: integer(), until :: integer()}) ::
          :ok
  defp cycle(consumer, job, times, {cycles, until}) do
    for n <- 1..@rounds do
      short(consumer, times)
      long(consumer, times)
      timed(times, :slot, fn -> Native.slot(consumer, job.topic, rem(n, job.partitions)) end)
    end

    messages = consumer |> Nif.pull_all(@large) |> Message.from_runs(consumer)
    timed(times, :acknowledger, fn -> Acknowledger.ack(consumer, messages, []) end)
    ranges = consumer |> Nif.pull_all(@large) |> Nif.ranges()
    timed(times, :ack_ranges, fn -> Native.ack_ranges(consumer, ranges) end)
    # Nothing is in flight: neither brings anything again.
    timed(times, :redeliver, fn -> Native.redeliver(consumer, [0]) end)
    timed(times, :attach, fn -> Native.attach(consumer, 0) end)
    timed(times, :check, fn -> Native.check(@properties) end)

    if cycles > 1 and Await.now_us() < until,
      do: cycle(consumer, job, times, {cycles - 1, until}),
      else: :ok
  end

  @spec short(Native.consumer(), map()) :: :ok
  defp short(consumer, times) do
    {status, _count, runs} =
      timed(times, :pull_short, fn -> Native.pull_short(consumer, 0, @few) end)

    acks = Nif.acks(runs)
    timed(times, :ack_few, fn -> Native.ack(consumer, acks) end)
    if status == :armed, do: Nif.await_wake(), else: :ok
  end

  @spec long(Native.consumer(), map()) :: :ok
  defp long(consumer, times) do
    {status, _count, runs} = timed(times, :pull, fn -> Native.pull(consumer, 0, @many) end)
    acks = Nif.acks(runs)
    timed(times, :ack_many, fn -> Native.ack(consumer, acks) end)
    if status == :armed, do: Nif.await_wake(), else: :ok
  end

  @spec do_nothing(map(), until :: integer()) :: :ok
  defp do_nothing(times, until) do
    for _ <- 1..1000, do: timed(times, :nothing, fn -> :ok end)
    if Await.now_us() < until, do: do_nothing(times, until), else: :ok
  end

  @spec timed(map(), atom(), (() -> result)) :: result when result: term()
  defp timed(times, name, fun), do: Histogram.timed(Map.fetch!(times, name), fun)

  @spec figures({atom(), Histogram.t()}) :: [{String.t(), number()}]
  defp figures({name, times}) do
    [
      {"#{name}.count", Histogram.count(times)},
      {"#{name}.p50_us", Histogram.percentile_ns(times, 0.50) / 1000},
      {"#{name}.p99_us", Histogram.percentile_ns(times, 0.99) / 1000},
      {"#{name}.max_us", Histogram.max_ns(times) / 1000},
      {"#{name}.long", Histogram.count_above(times, @long_ns)}
    ]
  end
end
