defmodule Broadway do
  @moduledoc """
  A stand-in for [Broadway](https://hex.pm/packages/broadway) 1.3, for machines without Hex. Not for
  production.

  Here: producers, one set of processors, batchers, `partition_by`, acknowledgement, failed messages,
  restarts, the drain on stop, `test_message/3` and `test_batch/3`. Without a `partition_by` all
  messages go to the first processor and the first batch processor; after a crash past the producers
  all processors and batchers start anew. Not here: `prepare_messages/2`, rate limiting, the
  transformer, batch sizes that are functions, names that are not atoms, and all telemetry.
  """

  alias Broadway.{CallerAcknowledger, Message, Options, Topology}

  @callback handle_message(processor :: atom(), Message.t(), context :: term()) :: Message.t()
  @callback handle_batch(batcher :: atom(), [Message.t()], struct(), context :: term()) ::
              [Message.t()]
  @callback handle_failed([Message.t()], context :: term()) :: [Message.t()]
  @optional_callbacks handle_batch: 4, handle_failed: 2

  defmacro __using__(_opts) do
    quote do
      @behaviour Broadway

      def child_spec(arg),
        do: %{id: __MODULE__, start: {__MODULE__, :start_link, [arg]}, shutdown: :infinity}
    end
  end

  @spec start_link(module(), keyword()) :: GenServer.on_start()
  def start_link(module, opts) do
    opts = Options.validate!(opts)
    GenServer.start_link(Topology, {module, opts}, name: opts[:name])
  end

  @spec producer_names(atom()) :: [atom()]
  defdelegate producer_names(broadway), to: Topology

  @spec all_running() :: [atom()]
  defdelegate all_running, to: Topology

  @spec test_message(atom(), term(), keyword()) :: reference()
  def test_message(broadway, data, opts \\ []),
    do: test_batch(broadway, [data], Keyword.put_new(opts, :batch_mode, :flush))

  @spec test_batch(atom(), [term()], keyword()) :: reference()
  def test_batch(broadway, batch, opts \\ []) do
    opts = Keyword.validate!(opts, metadata: [], batch_mode: :bulk)
    ref = make_ref()
    acknowledger = CallerAcknowledger.init({self(), ref}, :ok)
    fields = [metadata: Map.new(opts[:metadata]), batch_mode: opts[:batch_mode]]
    message = struct!(Message, [data: nil, acknowledger: acknowledger] ++ fields)
    messages = for data <- batch, do: %{message | data: data}
    broadway |> producer_names() |> hd() |> GenServer.cast({:emit, messages})
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
