defmodule Bench.Main do
  @moduledoc false
  # Started by bin/bench, which has checked the arguments and started the broker.

  alias Bench.{Charts, Measure, Plan, Profile, Ratios, Readme, Report}

  @spec run() :: no_return()
  def run do
    ["--form", form, "--brokers", brokers, "--results", path] = System.argv()
    {:ok, _} = Application.ensure_all_started(:off_broadway_rust_kafka)
    form |> run(brokers, path) |> System.halt()
  end

  @spec run(String.t(), String.t(), Path.t()) :: 0 | 1
  defp run("profile", brokers, path) do
    case Profile.run(brokers, Path.dirname(path)) do
      :ok ->
        0

      {:error, reason} ->
        IO.puts(:stderr, "bin/bench: " <> reason)
        1
    end
  end

  defp run(form, brokers, path) do
    plan = Plan.form(form)
    {_here, missing} = Plan.here(plan)
    for name <- missing, do: IO.puts(:stderr, "bin/bench: skipped, as it is not here: #{name}")
    results = Measure.all(plan, brokers)
    finish(plan, results, path)
  end

  @spec finish(Plan.t(), Measure.results(), Path.t()) :: 0 | 1
  defp finish(%{form: :smoke} = plan, results, _path) do
    [{shape, _records, _rounds, _variants}] = plan.reads
    if Ratios.hold?(Ratios.measured(results, shape), Ratios.committed()), do: 0, else: 1
  end

  defp finish(plan, results, path) do
    files =
      [{path, Report.text(plan, results)}] ++
        Charts.files(plan, results, path) ++ Readme.files(plan, results, path)

    for {name, text} <- files do
      File.write!(name, text)
      IO.puts(name)
    end

    if Enum.any?(Map.values(results), &failed?/1), do: 1, else: 0
  end

  @spec failed?([{:ok, map()} | {:error, String.t()}]) :: boolean()
  defp failed?(runs), do: Enum.any?(runs, &match?({:error, _}, &1))
end
