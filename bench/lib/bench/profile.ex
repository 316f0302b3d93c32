defmodule Bench.Profile do
  @moduledoc false
  # Where the time goes while this connector reads: `bin/bench profile` samples it with perf. The flame
  # graph is beside the results, and what PROFILE.md says of it is part of them from then on.

  alias Bench.{Child, Command, Folded, Job, Shape, Table, Topics}
  alias Bench.Connectors.Ours

  @section Path.expand("../../PROFILE.md", __DIR__)

  @shape %Shape{bytes: 100}
  @partitions 8
  @records 4_000_000
  @seconds 6
  @spare_ms 90_000
  @largest 3
  @listed 12
  # A stripped VM, and what nobody wrote a map of.
  @nameless ["[beam.smp]", "[unknown]"]

  @doc "What the last profile has told, if there was one."
  @spec section() :: String.t() | nil
  def section do
    case File.read(@section) do
      {:ok, text} -> String.trim_trailing(text)
      {:error, _} -> nil
    end
  end

  @doc "Samples a pipeline and writes the flame graph into the folder of the results."
  @spec run(String.t(), Path.t()) :: :ok | {:error, String.t()}
  def run(brokers, folder) do
    client = Topics.client(brokers)
    topic = Topics.create(client, @partitions)

    try do
      :ok = Topics.load(brokers, topic, @partitions, @shape, @records)

      with {:ok, figures} <- sample(brokers, topic) do
        stacks = Path.join(System.fetch_env!("BENCH_SCRATCH"), "stacks")

        :ok =
          shell("perf script -i \"$BENCH_PERF\" 2>/dev/null | inferno-collapse-perf >#{stacks}")

        :ok = draw(stacks, Path.join(folder, "flame.svg"))
        File.write!(@section, stacks |> File.read!() |> Folded.parse() |> text(objects()))
        forget(round(figures["pid"]))
      end
    after
      Topics.delete(client, topic)
    end
  end

  # With the names of what the VM has compiled, and frame pointers, for perf.
  @spec sample(String.t(), String.t()) :: {:ok, Bench.Figures.t()} | {:error, String.t()}
  defp sample(brokers, topic) do
    %Job{
      kind: :profile,
      connector: Ours,
      variant: Enum.find(Ours.variants(), &(&1.id == :tuned)),
      brokers: brokers,
      topic: topic,
      group: Topics.group(),
      partitions: @partitions,
      bytes: @shape.bytes,
      seconds: @seconds
    }
    |> Child.command(["+JPperf true"])
    |> Command.run(@seconds * 1000 + @spare_ms)
  end

  # What the VM wrote for perf, where perf looks for it.
  @spec forget(pos_integer()) :: :ok
  defp forget(pid) do
    for name <- ["perf-#{pid}.map", "jit-#{pid}.dump"], do: File.rm(Path.join("/tmp", name))
    :ok
  end

  @spec draw(Path.t(), Path.t()) :: :ok
  defp draw(stacks, file) do
    title = "Reading #{Shape.title(@shape)} records, max_demand 100"
    shell("inferno-flamegraph --title '#{title}' --minwidth 0.4 #{stacks} >#{file}")
  end

  @spec shell(String.t()) :: :ok
  defp shell(line) do
    {_, 0} = System.shell("set -e; " <> line, into: IO.stream(:stdio, :line))
    :ok
  end

  @spec text([Folded.stack()], [{String.t(), float()}]) :: String.t()
  defp text(stacks, objects) do
    {nameless, itself} =
      stacks
      |> Folded.shares(&List.last/1)
      |> Enum.split_with(fn {name, _} -> name in @nameless end)

    largest =
      for {{name, share}, n} <- itself |> Enum.take(@largest) |> Enum.with_index(1),
          do: "#{n}. `#{name(name)}`: #{percent(share)}\n"

    """
    ## Where the time goes

    Written by `bin/bench profile` on #{Date.utc_today()}: perf on the VM of a pipeline that reads \
    #{Shape.title(@shape)} records at full speed with `max_demand: 100`, for #{@seconds} s. Native code \
    has no frame pointers, so that a caller of it may be missing from a stack. [The flame \
    graph](flame.svg)'s largest entries, by the samples in which a function itself was at work (the VM's own \
    functions without a symbol are #{percent(nameless |> Enum.map(&elem(&1, 1)) |> Enum.sum())} together):

    #{largest}
    The next ones:

    #{shares(Enum.drop(itself, @largest))}

    By where their code is, `[JIT]` being that of Elixir and Erlang:

    #{shares(objects)}

    By thread:

    #{shares(Folded.shares(stacks, &thread/1))}
    """
  end

  @spec shares([{String.t(), float()}]) :: String.t()
  defp shares(shares) do
    rows =
      for {name, share} <- Enum.take(shares, @listed), do: ["`#{name(name)}`", percent(share)]

    Table.text(["", "of all samples"], rows)
  end

  # The VM, the NIF with librdkafka in it, the C library, the kernel.
  @spec objects() :: [{String.t(), float()}]
  defp objects do
    {report, 0} =
      System.shell(
        "perf report -i \"$BENCH_PERF\" --no-children -g none --sort dso --stdio 2>/dev/null"
      )

    for [_, percent, object] <- Regex.scan(~r/^ +([0-9.]+)% +(.+?) *$/m, report),
        do:
          {String.replace(object, ~r/^\[?(JIT)\b.*|^perf-\d+\.map$/, "[JIT]"),
           String.to_float(percent) / 100}
  end

  # As perf has them from the VM: $'Elixir.Enum':each/2, $lists:reverse/1, $global::call.
  @spec name(String.t()) :: String.t()
  defp name(frame) do
    case Regex.run(~r/^\$'?(?:Elixir\.)?([^:]+?)'?:'?([^:']+?)'?(\/\d+)?$/, frame) do
      [_, module, function | arity] -> "#{module}.#{function}#{arity}"
      nil -> String.trim_leading(frame, "$")
    end
  end

  # Threads of one kind differ by a number.
  @spec thread([String.t()]) :: String.t()
  defp thread([name | _]), do: String.replace(name, ~r/[0-9]+/, "N")

  @spec percent(float()) :: String.t()
  defp percent(share), do: Table.decimal(share * 100) <> " %"
end
