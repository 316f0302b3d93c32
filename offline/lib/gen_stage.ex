defmodule GenStage do
  @moduledoc """
  A stand-in for [GenStage](https://hex.pm/packages/gen_stage), for machines without Hex. Not for
  production.

  Here: the callbacks of a stage in a Broadway pipeline, and producers and consumers that are started by
  themselves, whose messages are the real ones. Callbacks return `{:noreply, events, state}`,
  `{:reply, reply, events, state}` or `{:stop, reason, state}`. Not here: producer-consumers, a
  dispatcher of its own, a buffer (what nobody has asked for is an error), `:hibernate`, streams.
  """

  @type stage :: GenServer.server()
  @type from :: {pid(), reference()}

  @callback init(args :: term()) :: tuple()
  @callback handle_demand(demand :: pos_integer(), state :: term()) :: tuple()
  @callback handle_events([term()], from(), state :: term()) :: tuple()
  @callback handle_subscribe(:consumer | :producer, keyword(), from(), state :: term()) :: tuple()
  @callback handle_cancel({:cancel | :down, term()}, from(), state :: term()) :: tuple()
  @callback handle_call(term(), GenServer.from(), state :: term()) :: tuple()
  @callback handle_info(term(), state :: term()) :: tuple()
  @callback terminate(reason :: term(), state :: term()) :: term()
  @optional_callbacks handle_demand: 2,
                      handle_events: 3,
                      handle_subscribe: 4,
                      handle_cancel: 3,
                      handle_call: 3,
                      handle_info: 2,
                      terminate: 2

  defmodule Dispatcher do
    @moduledoc "What a dispatcher does."

    @callback init(keyword()) :: {:ok, term()}
    @callback subscribe(keyword(), GenStage.from(), term()) :: {:ok, non_neg_integer(), term()}
    @callback ask(integer(), GenStage.from(), term()) :: {:ok, non_neg_integer(), term()}
    @callback cancel(GenStage.from(), term()) :: {:ok, non_neg_integer(), term()}
    @callback dispatch([term()], non_neg_integer(), term()) :: {:ok, [term()], term()}
    @callback info(term(), term()) :: {:ok, term()}
  end

  defmacro __using__(opts) do
    quote do
      @behaviour GenStage

      @doc false
      def child_spec(arg) do
        default = %{id: __MODULE__, start: {__MODULE__, :start_link, [arg]}}
        Supervisor.child_spec(default, unquote(opts))
      end

      defoverridable child_spec: 1
    end
  end

  @spec start_link(module(), term(), GenServer.options()) :: GenServer.on_start()
  def start_link(module, arg, options \\ []),
    do: GenServer.start_link(GenStage.Process, {module, arg}, options)

  @spec start(module(), term(), GenServer.options()) :: GenServer.on_start()
  def start(module, arg, options \\ []),
    do: GenServer.start(GenStage.Process, {module, arg}, options)

  @spec stop(stage(), term(), timeout()) :: :ok
  defdelegate stop(stage, reason \\ :normal, timeout \\ :infinity), to: GenServer

  @spec call(stage(), term(), timeout()) :: term()
  defdelegate call(stage, request, timeout \\ 5_000), to: GenServer

  @spec sync_subscribe(stage(), keyword(), timeout()) :: {:ok, reference()}
  def sync_subscribe(stage, options, timeout \\ 5_000),
    do: call(stage, {:"$subscribe", Keyword.pop!(options, :to)}, timeout)

  @spec ask(from(), non_neg_integer()) :: :ok
  def ask({pid, ref}, demand) when is_integer(demand) and demand >= 0 do
    send(pid, {:"$gen_producer", {self(), ref}, {:ask, demand}})
    :ok
  end

  @spec cancel(from(), term()) :: :ok
  def cancel({pid, ref}, reason) do
    send(pid, {:"$gen_producer", {self(), ref}, {:cancel, reason}})
    :ok
  end

  # There is no buffer to estimate.
  @spec estimate_buffered_count(stage()) :: 0
  def estimate_buffered_count(_stage), do: 0
end
