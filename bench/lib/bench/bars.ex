defmodule Bench.Bars do
  @moduledoc false
  # What the project has set itself, each bar with what was measured.

  alias Bench.{Measure, Medians, Paced, Scaled, Shape}
  alias Bench.Connectors.{BroadwayAlone, Nif, Ours, Raw}
  alias Bench.Runs.Calls

  @type bar :: {text :: String.t(), measured :: String.t(), met :: String.t()}

  @small %Shape{bytes: 100}
  @through 0.95

  @spec all(Measure.results()) :: [bar()]
  def all(results) do
    [
      &throughput/1,
      &defaults/1,
      &batchers/1,
      &latency/1,
      &pulled/1,
      &chunks/1,
      &calls/1,
      &scaled/1
    ]
    |> Enum.flat_map(& &1.(results))
    |> Enum.sort_by(fn {text, _, _} -> String.first(text) end)
  end

  @spec throughput(Measure.results()) :: [bar()]
  defp throughput(results) do
    peer_rate = Medians.best_peer(results, @small, :tuned, "rate", &Enum.max/1)
    peer_cpu = Medians.best_peer(results, @small, :tuned, "cpu_us", &Enum.min/1)
    cpu = ours(results, :tuned, "cpu_us")
    raw = Medians.figure(results, @small, Raw, :defaults, "cpu_us")
    broadway = broadway(results, :tuned)

    [
      "1. `max_demand: 100`: records/s to the best tuned peer's"
      |> at_least(5.0, fn -> ours(results, :tuned, "rate") / peer_rate end)
      |> beside("librdkafka and Broadway by turns, with nothing between them", fn ->
        by_turns(results, :tuned) / peer_rate
      end),
      at_most("1. – CPU of a record to the best tuned peer's", 1 / 3, fn -> cpu / peer_cpu end),
      "1. – CPU of a record to raw librdkafka's and Broadway's together"
      |> at_most(1.10, fn -> cpu / (raw + broadway) end)
      |> beside("with Broadway's messages as full as ours, and headers read", fn ->
        cpu /
          (Medians.figure(results, @small, Raw, :headers, "cpu_us") + broadway(results, :full))
      end)
    ]
  end

  # No connector can be faster, as each record has to go through both.
  @spec by_turns(Measure.results(), atom()) :: float()
  defp by_turns(results, id) do
    raw = Medians.figure(results, @small, Raw, :defaults, "rate")
    1 / (1 / raw + 1 / Medians.figure(results, @small, BroadwayAlone, id, "rate"))
  end

  @spec defaults(Measure.results()) :: [bar()]
  defp defaults(results) do
    peer_rate = Medians.best_peer(results, @small, :defaults, "rate", &Enum.max/1)

    [
      "2. Defaults: records/s to the best peer's"
      |> at_least(4.0, fn -> ours(results, :defaults, "rate") / peer_rate end)
      |> beside("librdkafka and Broadway by turns, with nothing between them", fn ->
        by_turns(results, :defaults) / peer_rate
      end),
      at_least(
        "2. – CPU efficiency to our own at `max_demand: 100`, without what Broadway's costs more",
        0.8,
        fn ->
          more = broadway(results, :defaults) - broadway(results, :tuned)
          (ours(results, :tuned, "cpu_us") + more) / ours(results, :defaults, "cpu_us")
        end
      )
    ]
  end

  @spec batchers(Measure.results()) :: [bar()]
  defp batchers(results) do
    for {bytes, codec} <- [{1024, "none"}, {10_240, "none"}, {1024, "lz4"}, {1024, "zstd"}] do
      shape = %Shape{bytes: bytes, codec: codec}

      peer = Medians.best_peer(results, shape, :batchers, "rate", &Enum.max/1)

      "3. #{Shape.title(shape)}, batchers of 1000: records/s to the best peer's"
      |> at_least(3.0, fn -> Medians.figure(results, shape, Ours, :batchers, "rate") / peer end)
      |> beside("librdkafka itself", fn ->
        Medians.figure(results, shape, Raw, :defaults, "rate") / peer
      end)
    end
  end

  @spec latency(Measure.results()) :: [bar()]
  defp latency(results) do
    percentiles =
      for load <- [100, 0.2, 0.5], name <- ["p50", "p99"] do
        "4. Defaults, #{Paced.title(load)}: #{name} to raw librdkafka's"
        |> at_most(1.5, fn ->
          Medians.figure(results, {:latency, load}, Ours, :defaults, name <> "_ms") /
            Medians.figure(results, {:latency, load}, Raw, :defaults, name <> "_ms")
        end)
        |> with_backlog(results, load)
      end

    first =
      at_most("8. Start to first record, an existing group, in seconds", 0.5, fn ->
        Medians.figure(results, {:latency, 100}, Ours, :defaults, "first_ms") / 1000
      end)

    percentiles ++ [first]
  end

  @spec pulled(Measure.results()) :: [bar()]
  defp pulled(results),
    do: [to_raw("5. NIF level, no Broadway", 0.9, Nif, :pulled, :headers, results)]

  @spec chunks(Measure.results()) :: [bar()]
  defp chunks(results) do
    [
      to_raw("6. Chunks of 500", 0.75, Ours, :chunks, :headers, results),
      to_raw("6. – without headers", 0.75, Ours, :bare_chunks, :defaults, results)
    ]
  end

  # librdkafka parses headers only when somebody asks for them.
  @spec to_raw(String.t(), float(), module(), atom(), atom(), Measure.results()) :: bar()
  defp to_raw(text, bar, connector, id, like, results) do
    to = fn raw ->
      Medians.figure(results, @small, connector, id, "rate") /
        Medians.figure(results, @small, Raw, raw, "rate")
    end

    bar = at_least("#{text}: records/s to raw librdkafka's", bar, fn -> to.(:defaults) end)

    if like == :headers,
      do: beside(bar, "to those of one that reads headers", fn -> to.(:headers) end),
      else: bar
  end

  @spec calls(Measure.results()) :: [bar()]
  defp calls(results) do
    [
      at_most(
        "9. The longest call on a normal scheduler in the quietest round, in milliseconds",
        1.0,
        fn -> Enum.max(for {name, _} <- Calls.calls(), do: longest(results, name)) / 1000 end
      ),
      at_most("9. Ten pipelines in one VM: the longest pause of one, in seconds", 1.0, fn ->
        Medians.figure(results, :many, Ours, :tuned, "pause_ms") / 1000
      end)
    ]
  end

  # A call that is long is so in each round; where the machine did something else, it was in one.
  @spec longest(Measure.results(), atom()) :: float() | nil
  defp longest(results, call) do
    runs = Medians.runs(results, :calls, Nif, :pulled)
    Enum.min(for(run <- runs, do: run["#{call}.max_us"]), fn -> nil end)
  end

  # Of the last `bin/bench scale`, which takes longer than all else.
  @spec scaled(Measure.results()) :: [bar()]
  defp scaled(_results) do
    [
      at_most(
        "7. CPU of a record with 1 to 1000 partitions, 1 to 20 topics, 1 and 4 producers, to that with 8 " <>
          "partitions (and memory: #{Scaled.link()})",
        1.15,
        fn -> Enum.max(Scaled.figures("CPU ×"), fn -> nil end) / 1 end
      ),
      at_most("8. Idle with 1000 partitions, in percent of a core", 0.5, fn ->
        Enum.max(Scaled.figures("idle CPU %", "idle"), fn -> nil end) / 1
      end)
    ]
  end

  @spec at_least(String.t(), float(), (() -> float())) :: bar()
  defp at_least(text, bar, measure), do: bar(text, "≥ #{shown(bar)}", measure, &(&1 >= bar))

  @spec at_most(String.t(), float(), (() -> float())) :: bar()
  defp at_most(text, bar, measure), do: bar(text, "≤ #{shown(bar)}", measure, &(&1 <= bar))

  # Arithmetic on a figure that is missing raises.
  @spec bar(String.t(), String.t(), (() -> float()), (float() -> boolean())) :: bar()
  defp bar(text, bound, measure, met?) do
    value = measure.()
    {"#{text}: #{bound}", shown(value), if(met?.(value), do: "met", else: "**not met**")}
  rescue
    ArithmeticError -> {"#{text}: #{bound}", "not measured in this run", "–"}
  end

  # Where not all that was sent came through, latency is that of a queue which grows.
  @spec with_backlog(bar(), Measure.results(), Bench.Plan.load()) :: bar()
  defp with_backlog({text, measured, met} = bar, results, load) do
    [sent, received] =
      for name <- ["sent", "received"],
          do: Medians.figure(results, {:latency, load}, Ours, :defaults, name)

    if sent && received < @through * sent do
      share = round(100 * received / sent)
      {text, "#{measured} (a backlog: #{share} % of what was sent came through)", met}
    else
      bar
    end
  end

  # What bounds it, by the same measure.
  @spec beside(bar(), String.t(), (() -> float())) :: bar()
  defp beside({text, measured, met}, what, measure) do
    {text, "#{measured} (#{what}: #{shown(measure.())})", met}
  rescue
    ArithmeticError -> {text, measured, met}
  end

  @spec ours(Measure.results(), atom(), String.t()) :: float() | nil
  defp ours(results, id, name), do: Medians.figure(results, @small, Ours, id, name)

  @spec broadway(Measure.results(), atom()) :: float() | nil
  defp broadway(results, id),
    do: Medians.figure(results, @small, BroadwayAlone, id, "cpu_us")

  @spec shown(float()) :: String.t()
  defp shown(number), do: :erlang.float_to_binary(number * 1.0, decimals: 2)
end
