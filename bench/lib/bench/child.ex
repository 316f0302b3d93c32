defmodule Bench.Child do
  @moduledoc false
  # The VM in which one measurement is made.

  alias Bench.{Connector, Figures, Job, Runs}

  @runs %{
    read: Runs.Read,
    latency: Runs.Latency,
    calls: Runs.Calls,
    schedules: Runs.Schedules,
    many: Runs.Many,
    profile: Runs.Profile
  }

  @doc "Makes the measurement, in a VM that has all of the connector's code."
  @callback measure(Job.t()) ::
              {:ok, [{name :: atom() | String.t(), number()}]} | {:error, String.t()}

  @doc "A VM of its own for the job, with `flags` of the emulator."
  @spec command(Job.t(), [String.t()]) :: Connector.command()
  def command(job, flags \\ []) do
    # Mix itself would be half of the start.
    paths = Path.wildcard(Path.join(Mix.Project.build_path(), "lib/*/ebin"))

    {"elixir",
     Enum.flat_map(paths, &["-pa", &1]) ++
       Enum.flat_map(flags, &["--erl", &1]) ++ ["-e", "Bench.Child.main()", "--", Job.encode(job)]}
  end

  @spec main() :: no_return()
  def main do
    [job] = System.argv()
    job = Job.decode(job)
    spawn(&end_with_input/0)
    prepare(job.connector.applications())

    case Map.fetch!(@runs, job.kind).measure(job) do
      {:ok, figures} ->
        Figures.print(figures)
        System.halt(0)

      {:error, reason} ->
        IO.puts(reason)
        System.halt(1)
    end
  end

  @doc "Ends this VM when whoever started it is gone."
  @spec end_with_input() :: no_return()
  def end_with_input do
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
end
