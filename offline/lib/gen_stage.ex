defmodule GenStage do
  @moduledoc """
  A stand-in for [GenStage](https://hex.pm/packages/gen_stage), for machines without Hex. Not for
  production.

  Here: producers, consumers and producer-consumers with counted demand, automatic and manual
  subscriptions, `GenStage.DemandDispatcher`, `GenStage.PartitionDispatcher` (with a `:hash`) and
  `async_info/2`. Not here: broadcasting, streams, `demand: :accumulate`, hibernation, and a bound
  on the events that are emitted before anyone has asked for them.
  """

  @callback init(args :: term()) :: tuple() | :ignore
  @callback handle_demand(demand :: pos_integer(), state :: term()) :: tuple()
  @callback handle_events(events :: [term()], from :: tuple(), state :: term()) :: tuple()
  @callback handle_subscribe(atom(), keyword(), from :: tuple(), state :: term()) :: tuple()
  @callback handle_cancel(why :: tuple(), from :: tuple(), state :: term()) :: tuple()
  @callback handle_call(term(), GenServer.from(), state :: term()) :: tuple()
  @callback handle_cast(term(), state :: term()) :: tuple()
  @callback handle_info(term(), state :: term()) :: tuple()
  @callback terminate(reason :: term(), state :: term()) :: term()
  @optional_callbacks handle_demand: 2, handle_events: 3, handle_subscribe: 4, handle_cancel: 3
  @optional_callbacks handle_call: 3, handle_cast: 2, handle_info: 2, terminate: 2

  defmacro __using__(opts) do
    quote location: :keep do
      @behaviour GenStage

      def child_spec(arg) do
        spec = %{id: __MODULE__, start: {__MODULE__, :start_link, [arg]}}
        Supervisor.child_spec(spec, unquote(Macro.escape(opts)))
      end

      defoverridable child_spec: 1
    end
  end

  @spec start_link(module(), term(), GenServer.options()) :: GenServer.on_start()
  def start_link(module, args, options \\ []),
    do: GenServer.start_link(GenStage.Server, {module, args, []}, options)

  @spec sync_subscribe(GenServer.server(), keyword()) :: {:ok, reference()}
  def sync_subscribe(stage, opts), do: call(stage, {GenStage, {:subscribe, opts}})

  @spec async_subscribe(GenServer.server(), keyword()) :: :ok
  def async_subscribe(stage, opts), do: cast(stage, {GenStage, {:subscribe, opts}})

  @doc "Sends the stage `message` once every event it has emitted so far has left it."
  @spec async_info(GenServer.server(), term()) :: :ok
  def async_info(stage, message), do: cast(stage, {GenStage, {:info, message}})

  @spec ask({pid(), reference()}, non_neg_integer()) :: :ok
  def ask({pid, ref}, demand) do
    if demand > 0, do: send(pid, {:"$gen_producer", {self(), ref}, {:ask, demand}})
    :ok
  end

  defdelegate call(stage, request, timeout \\ 5_000), to: GenServer
  defdelegate cast(stage, request), to: GenServer
  defdelegate reply(client, reply), to: GenServer
  defdelegate stop(stage, reason \\ :normal, timeout \\ :infinity), to: GenServer
end
