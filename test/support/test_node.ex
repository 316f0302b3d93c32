defmodule OffBroadwayRustKafka.TestNode do
  @moduledoc false
  # A pipeline in an application of its own, on an Elixir node of its own, which does not talk to
  # the test: what it handles it writes to files, before it acknowledges it, and there it stays
  # when the node is killed.

  use Application

  alias OffBroadwayRustKafka.{History, Kafka, TestPipeline}

  @enforce_keys [:port, :pid, :dir, :group]
  defstruct @enforce_keys ++ [:history]

  @type t :: %__MODULE__{
          port: port(),
          pid: String.t(),
          dir: Path.t(),
          group: String.t(),
          history: History.t() | nil
        }

  @exit_ms 20_000

  @doc """
  Starts a node; `options` are those of `TestPipeline.start/3` that are data, and `:pause` (ms).

  With a `:history` its files become part of that, under the label `label/1`.
  """
  @spec start(Kafka.t(), [String.t()], keyword()) :: t()
  def start(kafka, topics, options) do
    {pause, options} = Keyword.pop(options, :pause, 0)
    {history, options} = Keyword.pop(options, :history)
    dir = new_dir()
    options = if history, do: [history: recorded(history)] ++ options, else: options
    pipeline = TestPipeline.new(Keyword.put(options, :name, __MODULE__.Pipeline))

    broadway =
      pipeline
      |> TestPipeline.broadway(kafka, topics, options)
      |> Keyword.put(:context, %{dir: dir, pause: pause})

    port = spawn_node(broadway)
    {:os_pid, pid} = Port.info(port, :os_pid)

    node = %__MODULE__{
      port: port,
      pid: "#{pid}",
      dir: dir,
      group: pipeline.group,
      history: history
    }

    ExUnit.Callbacks.on_exit(fn ->
      System.cmd("kill", ["-KILL", node.pid], stderr_to_stdout: true)
    end)

    node
  end

  @doc "Sends a signal to the node, waits until it is gone, and returns its exit status."
  @spec kill(t(), signal :: String.t()) :: non_neg_integer()
  def kill(%{port: port, history: history} = node, signal) do
    signal(node, signal)

    receive do
      {^port, {:exit_status, status}} ->
        if history, do: History.gone(history, label(node), "after SIG" <> signal)
        status
    after
      @exit_ms -> ExUnit.Assertions.flunk("the node did not end on #{signal}")
    end
  end

  @doc "Sends a signal to the node; while it is stopped (STOP, CONT) it need not serve anything."
  @spec signal(t(), String.t()) :: :ok
  def signal(%{pid: pid, history: history} = node, signal) do
    case {history, signal} do
      {nil, _} -> :ok
      {_, "STOP"} -> History.begin_fault(history, "stopped", label(node))
      {_, "CONT"} -> :ok
      {_, _} -> History.fault(history, "SIG" <> signal, label(node))
    end

    {_, 0} = System.cmd("kill", ["-" <> signal, pid])
    if history && signal == "CONT", do: History.end_fault(history, "stopped", label(node))
    :ok
  end

  @doc "What its members are called in a history."
  @spec label(t()) :: String.t()
  def label(%{pid: pid}), do: History.Member.node_label(pid)

  @spec recorded(History.t()) :: History.Sink.t()
  defp recorded(history) do
    dir = new_dir()
    :ok = History.add_dir(history, dir)
    {:dir, dir}
  end

  @spec new_dir() :: Path.t()
  defp new_dir do
    dir = Path.join(System.tmp_dir!(), Kafka.random_name("off_broadway_rust_kafka"))
    File.mkdir!(dir)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(dir) end)
    dir
  end

  @doc "The offsets that the node has handled, by topic and partition, in the order it did."
  @spec handled(t()) :: %{{String.t(), non_neg_integer()} => [non_neg_integer()]}
  def handled(%{dir: dir}) do
    lines = for path <- Path.wildcard(dir <> "/*"), line <- File.stream!(path), do: line

    lines
    |> Enum.map(fn line ->
      [topic, partition, offset] = String.split(line)
      {{topic, String.to_integer(partition)}, String.to_integer(offset)}
    end)
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
  end

  @spec spawn_node(keyword()) :: port()
  defp spawn_node(broadway) do
    ours = Mix.Project.build_path()

    paths =
      for path <- :code.get_path(), path = "#{path}", String.starts_with?(path, ours), do: path

    arg = broadway |> :erlang.term_to_binary() |> Base.encode64()
    code = "OffBroadwayRustKafka.TestNode.main(hd(System.argv()))"
    args = Enum.flat_map(paths, &["-pa", &1]) ++ ["--no-halt", "-e", code, "--", arg]
    elixir = System.find_executable("elixir")
    Port.open({:spawn_executable, elixir}, [:binary, :exit_status, :stderr_to_stdout, args: args])
  end

  @doc false
  @spec main(String.t()) :: :ok
  def main(arg) do
    broadway = arg |> Base.decode64!() |> :erlang.binary_to_term()

    application =
      {:application, :test_node,
       applications: [:logger, :off_broadway_rust_kafka], mod: {__MODULE__, broadway}, vsn: ~c"1"}

    :ok = :application.load(application)
    {:ok, _} = Application.ensure_all_started(:test_node)

    # A node whose test is gone must not stay.
    spawn(fn ->
      :eof = IO.read(:stdio, :line)
      System.halt(1)
    end)

    :ok
  end

  @impl Application
  def start(_type, broadway),
    do: Supervisor.start_link([{__MODULE__.Pipeline, broadway}], strategy: :one_for_one)

  defmodule Pipeline do
    @moduledoc false

    use Broadway

    @spec start_link(keyword()) :: GenServer.on_start()
    def start_link(broadway), do: Broadway.start_link(__MODULE__, broadway)

    @impl Broadway
    def handle_message(_processor, message, context) do
      work(message, context)
      History.handled(message)
      message
    end

    @impl Broadway
    def handle_batch(_batcher, messages, _info, _context), do: messages

    defp work(%{metadata: %{topic: topic, partition: partition, offset: offset}}, context) do
      Kafka.pass(context.pause)
      :ok = :file.write(file(context.dir), "#{topic} #{partition} #{offset}\n")
    end

    # Written through at once, by each process to a file of its own.
    defp file(dir) do
      with nil <- Process.get(:file) do
        path = Path.join(dir, "#{:erlang.pid_to_list(self())}")
        {:ok, file} = :file.open(path, [:append, :raw])
        Process.put(:file, file)
        file
      end
    end
  end
end
