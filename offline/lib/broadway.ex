defmodule Broadway do
  @moduledoc """
  A stand-in for [Broadway](https://hex.pm/packages/broadway) 1.3, for machines without Hex. Not for
  production.

  Here: producers, one set of processors, batchers, `partition_by`, acknowledgement, failed messages,
  restarts, the drain on stop, `test_message/3` and `test_batch/3`. Not here: rate limiting, the
  transformer, names that are not atoms, `hibernate_after` and `spawn_opt` (taken and ignored), and
  all telemetry but `[:broadway, :topology, :init]`.
  """

  alias Broadway.{CallerAcknowledger, Message, Options, Topology}

  @callback handle_message(processor :: atom(), Message.t(), context :: term()) :: Message.t()
  @callback handle_batch(batcher :: atom(), [Message.t()], struct(), context :: term()) :: [
              Message.t()
            ]
  @callback handle_failed([Message.t()], context :: term()) :: [Message.t()]
  @callback prepare_messages([Message.t()], context :: term()) :: [Message.t()]
  @optional_callbacks handle_batch: 4, handle_failed: 2, prepare_messages: 2

  defmacro __using__(opts) do
    quote location: :keep do
      @behaviour Broadway

      def child_spec(arg) do
        start = {__MODULE__, :start_link, [arg]}
        spec = %{id: __MODULE__, start: start, shutdown: :infinity}
        Supervisor.child_spec(spec, unquote(Macro.escape(opts)))
      end

      defoverridable child_spec: 1
    end
  end

  @spec start_link(module(), keyword()) :: GenServer.on_start()
  def start_link(module, opts) do
    case NimbleOptions.validate(opts, Options.definition()) do
      {:ok, opts} ->
        GenServer.start_link(Topology, {module, Options.carry_over(opts)}, name: opts[:name])

      {:error, %{keys_path: path, message: message}} ->
        where = if path == [], do: "", else: " for key #{inspect(path)}"
        text = "invalid configuration given to Broadway.start_link/2#{where}, #{message}"
        raise ArgumentError, text
    end
  end

  @spec producer_names(atom()) :: [atom()]
  def producer_names(broadway), do: Topology.info(broadway).producer_names

  @spec topology(atom()) :: keyword([map()])
  def topology(broadway), do: Topology.info(broadway).topology

  @spec all_running() :: [atom()]
  def all_running, do: Enum.filter(Topology.names(), &Process.whereis/1)

  @spec push_messages(atom(), [Message.t()]) :: :ok
  def push_messages(broadway, messages) do
    producer = broadway |> producer_names() |> Enum.random()
    GenStage.call(producer, {GenStage, {:emit, messages}})
  end

  @spec test_message(atom(), term(), keyword()) :: reference()
  def test_message(broadway, data, opts \\ []),
    do: test_batch(broadway, [data], [batch_mode: :flush] ++ opts)

  @spec test_batch(atom(), [term()], keyword()) :: reference()
  def test_batch(broadway, batch, opts \\ []) do
    ref = make_ref()
    acknowledger = opts[:acknowledger] || fn _, from -> CallerAcknowledger.init(from, :ok) end
    fields = %{metadata: Map.new(opts[:metadata] || []), batch_mode: opts[:batch_mode] || :bulk}

    messages =
      for data <- batch do
        message = %Message{data: data, acknowledger: acknowledger.(data, {self(), ref})}
        Map.merge(message, fields)
      end

    :ok = push_messages(broadway, messages)
    ref
  end

  @spec stop(GenServer.server(), term(), timeout()) :: :ok
  defdelegate stop(broadway, reason \\ :normal, timeout \\ :infinity), to: GenServer
end

defmodule Broadway.Producer do
  @moduledoc "What a GenStage producer may add for Broadway; both callbacks are optional."

  @callback prepare_for_start(module(), keyword()) :: {[Supervisor.child_spec()], keyword()}
  @callback prepare_for_draining(state :: term()) :: tuple()
  @optional_callbacks prepare_for_start: 2, prepare_for_draining: 1
end
