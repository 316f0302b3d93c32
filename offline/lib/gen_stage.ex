defmodule GenStage do
  @moduledoc """
  A stand-in for [GenStage](https://hex.pm/packages/gen_stage), for machines without Hex. Not for
  production.

  Here: the callbacks of a stage in a Broadway pipeline, and `call/3`. They return
  `{:noreply, events, state}` or `{:reply, reply, events, state}`. Not here: stages outside of a
  pipeline, dispatchers, casts, `terminate/2`, and a bound on the events that are emitted before
  anyone has asked for them.
  """

  @callback init(args :: term()) :: {kind :: atom(), state :: term()}
  @callback handle_demand(demand :: pos_integer(), state :: term()) :: tuple()
  @callback handle_events([term()], from :: tuple(), state :: term()) :: tuple()
  @callback handle_call(term(), GenServer.from(), state :: term()) :: tuple()
  @callback handle_info(term(), state :: term()) :: tuple()
  @optional_callbacks handle_demand: 2, handle_events: 3, handle_call: 3, handle_info: 2

  defmacro __using__(_opts) do
    quote do
      @behaviour GenStage
    end
  end

  @spec call(GenServer.server(), term(), timeout()) :: term()
  defdelegate call(stage, request, timeout \\ 5_000), to: GenServer
end
