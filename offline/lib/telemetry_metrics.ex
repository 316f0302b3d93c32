defmodule Telemetry.Metrics do
  @moduledoc """
  A stand-in for [telemetry_metrics](https://hex.pm/packages/telemetry_metrics), for machines without
  Hex: definitions that say which measurement of which event they are of. Not here: names that are
  lists, units, reporters.
  """

  defstruct [:kind, :name, :event_name, :measurement, :tag_values, :description] ++
              [tags: [], reporter_options: []]

  @type t :: %__MODULE__{}

  for kind <- [:counter, :sum, :last_value, :summary, :distribution] do
    @spec unquote(kind)(String.t(), keyword()) :: t()
    def unquote(kind)(name, options \\ []), do: new(unquote(kind), name, options)
  end

  @spec new(atom(), String.t(), keyword()) :: t()
  defp new(kind, name, options) do
    name = for part <- String.split(name, "."), do: String.to_atom(part)
    {event, [measurement]} = Enum.split(name, -1)
    own = [kind: kind, name: name, event_name: event, measurement: measurement]
    struct!(__MODULE__, own ++ options)
  end
end
