defmodule :telemetry do
  @moduledoc """
  A stand-in for [telemetry](https://hex.pm/packages/telemetry), for machines without Hex. Not for
  production: each handler is a persistent term, and to detach one costs a global collection. Not
  here: spans, `list_handlers/1`, and the event about a handler that failed.
  """

  require Logger

  def attach(id, event, function, config), do: attach_many(id, [event], function, config)

  def attach_many(id, events, function, config) when is_function(function, 4) do
    if :persistent_term.get({__MODULE__, id}, nil),
      do: {:error, :already_exists},
      else: :persistent_term.put({__MODULE__, id}, {events, function, config})
  end

  def detach(id),
    do: if(:persistent_term.erase({__MODULE__, id}), do: :ok, else: {:error, :not_found})

  def execute(event, measurements, metadata \\ %{}) do
    for {{__MODULE__, id}, {events, function, config}} <- :persistent_term.get(),
        event in events do
      try do
        function.(event, measurements, metadata, config)
      catch
        kind, reason ->
          detach(id)
          why = Exception.format(kind, reason, __STACKTRACE__)
          Logger.error("Handler #{inspect(id)} has failed and has been detached. #{why}")
      end
    end

    :ok
  end
end
