defmodule Bench.Profile do
  @moduledoc false
  # Where the time goes while this connector reads: `bin/bench profile` samples it with perf. The flame
  # graphs are beside the results, and what PROFILE.md says of them is part of those from then on.

  alias Bench.{Child, Command, Folded, Job, Measure, Report, Shape, Topics}
  alias Bench.Connectors.{Nif, Ours}
  alias Bench.Profile.Text
  alias OffBroadwayRustKafka.TestClient

  @section Path.expand("../../PROFILE.md", __DIR__)

  @short %Shape{bytes: 100}
  @long %Shape{bytes: 1024}
  # Each shape of records, how many of them, and what reads them.
  @profiles [
    {@short, 8_000_000, [{Ours, :tuned, "flame.svg"}, {Nif, :pulled, "flame-nif.svg"}]},
    {@long, 2_000_000, [{Ours, :batchers, "flame-batchers.svg"}]}
  ]
  @partitions 8
  @seconds 6
  @spare_ms 90_000

  @doc "What the last profile has told, if there was one."
  @spec section() :: String.t() | nil
  def section do
    case File.read(@section) do
      {:ok, text} -> String.trim_trailing(text)
      {:error, _} -> nil
    end
  end

  @doc "Samples each subject and writes its flame graph into the folder of the results."
  @spec run(String.t(), Path.t()) :: :ok | {:error, String.t()}
  def run(brokers, folder) do
    client = Topics.client(brokers)
    profiles = Enum.flat_map(@profiles, &profiles(&1, client, brokers, folder))

    with [] <- for({:error, reason} <- profiles, do: {:error, reason}) do
      texts = for {:ok, text} <- profiles, do: text
      File.write!(@section, Text.head(@seconds) <> Enum.join(texts))
    else
      [failed | _] -> failed
    end
  end

  @spec profiles(
          {Shape.t(), pos_integer(), [{module(), atom(), String.t()}]},
          TestClient.t(),
          String.t(),
          Path.t()
        ) :: [{:ok, String.t()} | {:error, String.t()}]
  defp profiles({shape, records, subjects}, client, brokers, folder) do
    topic = Topics.create(client, @partitions)

    try do
      :ok = Topics.load(brokers, topic, @partitions, shape, records)
      for subject <- subjects, do: profile(subject, shape, brokers, topic, folder)
    after
      Topics.delete(client, topic)
    end
  end

  @spec profile({module(), atom(), String.t()}, Shape.t(), String.t(), String.t(), Path.t()) ::
          {:ok, String.t()} | {:error, String.t()}
  defp profile({connector, id, name}, shape, brokers, topic, folder) do
    variant = Enum.find(connector.variants(), &(&1.id == id))
    subject = {connector, variant}

    with {:ok, figures} <- sample(subject, shape, brokers, topic) do
      stacks = Path.join(System.fetch_env!("BENCH_SCRATCH"), "stacks")
      :ok = shell("perf script -i \"$BENCH_PERF\" 2>/dev/null | inferno-collapse-perf >#{stacks}")
      title = "#{Report.name(subject)}, reading #{Shape.title(shape)} records"
      :ok = draw(stacks, title, Path.join(folder, name))
      forget(round(figures["pid"]))
      folded = stacks |> File.read!() |> Folded.parse()
      {:ok, Text.section(title, name, folded, objects())}
    end
  end

  # With the names of what the VM has compiled, for perf.
  @spec sample(Measure.subject(), Shape.t(), String.t(), String.t()) :: Measure.result()
  defp sample({connector, variant}, shape, brokers, topic) do
    %Job{
      kind: :profile,
      connector: connector,
      variant: variant,
      brokers: brokers,
      topic: topic,
      group: Topics.group(),
      partitions: @partitions,
      bytes: shape.bytes,
      seconds: @seconds
    }
    |> Child.command(["+JPperf true"])
    |> Command.run(@seconds * 1000 + @spare_ms)
  end

  @spec draw(Path.t(), String.t(), Path.t()) :: :ok
  defp draw(stacks, title, file) do
    shell("inferno-flamegraph --title \"#{title}\" --minwidth 0.4 #{stacks} >#{file}")
  end

  # The VM, the NIF with librdkafka in it, the C library, the kernel.
  @spec objects() :: [{String.t(), float()}]
  defp objects do
    {report, 0} =
      System.shell(
        "perf report -i \"$BENCH_PERF\" --no-children -g none --sort dso --stdio 2>/dev/null"
      )

    for [_, percent, object] <- Regex.scan(~r/^ +([0-9.]+)% +(.+?) *$/m, report),
        do: {object, String.to_float(percent) / 100}
  end

  # What the VM wrote for perf, where perf looks for it.
  @spec forget(pos_integer()) :: :ok
  defp forget(pid) do
    for name <- ["perf-#{pid}.map", "jit-#{pid}.dump"], do: File.rm(Path.join("/tmp", name))
    :ok
  end

  @spec shell(String.t()) :: :ok
  defp shell(line) do
    {_, 0} = System.shell("set -e; " <> line, into: IO.stream(:stdio, :line))
    :ok
  end
end
