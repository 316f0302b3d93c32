defmodule Bench.Readme do
  @moduledoc false
  # The short form of the results in README.md, between two comments, so that both tell of one run.

  alias Bench.{Connector, Machine, Measure, Medians, Plan, Report, Shape, Table}
  alias Bench.Connectors.{BroadwayAlone, Nif}

  import Bench.Table, only: [decimal: 1, whole: 1]

  @file_name "README.md"
  @marked ~r/(<!-- written by bin\/bench -->\n).*(<!-- until here -->)/s

  @doc "README.md above the folder of the results, and its new text; nothing where there is none."
  @spec files(Plan.t(), Measure.results(), Path.t()) :: [{Path.t(), String.t()}]
  def files(plan, results, path) do
    name =
      path |> Path.expand() |> Path.dirname() |> Path.join("../#{@file_name}") |> Path.expand()

    with {:ok, text} <- File.read(name), true <- text =~ @marked do
      body = body(plan, results)
      [{name, Regex.replace(@marked, text, fn _, from, to -> "#{from}\n#{body}\n\n#{to}" end)}]
    else
      _ -> []
    end
  end

  @spec body(Plan.t(), Measure.results()) :: String.t()
  defp body(plan, results) do
    [{shape, _, rounds, ids} | _] = plan.reads
    head = ["", "records/s", "CPU of a record, µs", "p50 / p99 at 100 records/s, ms"]

    rows =
      for {connector, _} = subject <- Plan.readers(plan, shape, ids),
          connector not in [BroadwayAlone, Nif],
          %{} = read <- [Medians.of(results, shape, subject)] do
        latency = Medians.of(results, {:latency, 100}, subject) || %{}

        [Report.name(subject) <> version(connector), whole(read["rate"]), decimal(read["cpu_us"])] ++
          ["#{decimal(latency["p50_ms"])} / #{decimal(latency["p99_ms"])}"]
      end

    """
    #{Shape.title(shape)} records, #{plan.partitions} partitions, #{Machine.description()}, shared with the broker; \
    the median of #{rounds} runs, `bin/bench #{plan.form}`.#{noise()}

    """ <> Table.text(head, rows)
  end

  @spec noise() :: String.t()
  defp noise, do: if(noise = Machine.noise(), do: " " <> noise, else: "")

  @spec version(module()) :: String.t()
  defp version(connector) do
    with true <- connector in Connector.peers(), [{_, version} | _] <- connector.versions() do
      " (#{version})"
    else
      _ -> ""
    end
  end
end
