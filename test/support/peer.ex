defmodule OffBroadwayRustKafka.Peer do
  @moduledoc false
  # Other nodes, told what to do over their standard input: the node of the tests stays alone.

  alias OffBroadwayRustKafka.TestPipeline

  @type t :: pid()

  @call_ms 30_000

  @doc "Starts a node for as long as the test runs; `options` are those of `:peer.start_link/1`."
  @spec start(keyword()) :: {t(), node()}
  def start(options \\ []) do
    {args, options} = Keyword.pop(options, :args, [])
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    own = %{connection: :standard_io, args: paths ++ args}
    {:ok, peer, node} = :peer.start_link(Map.merge(own, Map.new(options)))
    {:ok, _} = call(peer, Application, :ensure_all_started, [:mix])
    {peer, node}
  end

  @spec call(t(), module(), atom(), [term()]) :: term()
  def call(peer, module, function, args),
    do: :peer.call(peer, module, function, args, @call_ms)

  @doc "Starts a pipeline there, which outlives the call."
  @spec run(t(), keyword()) :: :ok
  def run(peer, broadway), do: call(peer, __MODULE__, :run_here, [broadway])

  @doc "Runs a mix task there: what it printed, or why it did not."
  @spec task(t(), module(), [String.t()]) :: String.t()
  def task(peer, task, argv), do: call(peer, __MODULE__, :task_here, [task, argv])

  @doc false
  @spec run_here(keyword()) :: :ok
  def run_here(broadway) do
    {:ok, _} = Application.ensure_all_started(:off_broadway_rust_kafka)
    caller = self()

    spawn(fn ->
      send(caller, TestPipeline.start_link(broadway))
      receive do: (:never -> :ok)
    end)

    receive do: ({:ok, _} -> :ok)
  end

  @doc false
  @spec task_here(module(), [String.t()]) :: String.t()
  def task_here(task, argv) do
    {:ok, io} = StringIO.open("")
    Process.group_leader(self(), io)
    task.run(argv)
    {_, printed} = StringIO.contents(io)
    printed
  rescue
    error in Mix.Error -> error.message
  end
end
