defmodule :telemetry do
  @moduledoc """
  A stand-in for [telemetry](https://hex.pm/packages/telemetry), for machines without Hex. Not for
  production: the handlers are in one persistent term, and attaching one costs a global collection.
  Not here: spans, and the event about a handler that failed.
  """

  require Logger

  def attach(id, event, function, config), do: attach_many(id, [event], function, config)

  def attach_many(id, events, function, config) when is_function(function, 4) do
    new = for name <- events, do: %{id: id, event_name: name, function: function, config: config}

    update(id, fn
      [], handlers -> {:ok, handlers ++ new}
      _taken, _handlers -> {:error, :already_exists}
    end)
  end

  def detach(id) do
    update(id, fn
      [], _handlers -> {:error, :not_found}
      mine, handlers -> {:ok, handlers -- mine}
    end)
  end

  def list_handlers(prefix),
    do: Enum.filter(handlers(), &List.starts_with?(&1.event_name, prefix))

  def execute(event, measurements, metadata \\ %{}) do
    for %{event_name: ^event} = handler <- handlers() do
      try do
        handler.function.(event, measurements, metadata, handler.config)
      catch
        kind, reason ->
          detach(handler.id)
          why = Exception.format(kind, reason, __STACKTRACE__)
          Logger.error("Handler #{inspect(handler.id)} has failed and has been detached. #{why}")
      end
    end

    :ok
  end

  defp handlers, do: :persistent_term.get(__MODULE__, [])

  # The lock makes read, change and write one step.
  defp update(id, change) do
    lock = {__MODULE__, self()}

    :global.trans(lock, fn ->
      with {:ok, handlers} <- change.(Enum.filter(handlers(), &(&1.id == id)), handlers()),
           do: :persistent_term.put(__MODULE__, handlers)
    end)
  end
end
