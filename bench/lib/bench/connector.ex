defmodule Bench.Connector do
  @moduledoc false
  # What is compared. Each is measured in an OS process of its own, so that CPU time and memory are
  # its own: `command/1` says which, and it prints `figure NAME VALUE` lines.

  alias Bench.{Job, Variant}

  @type command :: {program :: String.t(), arguments :: [String.t()]}

  @callback title() :: String.t()
  @callback variants() :: [Variant.t()]
  @callback versions() :: [{name :: String.t(), version :: String.t()}]
  @doc "What to do without, when the connector cannot be measured here."
  @callback missing() :: String.t() | nil
  @doc "Whether the connector takes part in such a measurement."
  @callback takes_part?(Job.kind(), Variant.t(), Bench.Shape.t() | nil) :: boolean()
  @callback command(Job.t()) :: command()
  @doc "What must run before it is started; only of connectors in a VM."
  @callback applications() :: [atom()]
  @doc "Starts it inside its VM: it counts, or tells the age of, what it handles."
  @callback start(Job.t(), Bench.Pipeline.context()) :: :ok
  @optional_callbacks applications: 0, start: 2

  @all [
    Bench.Connectors.Raw,
    Bench.Connectors.BroadwayAlone,
    Bench.Connectors.Ours,
    Bench.Connectors.Nif,
    Bench.Connectors.BroadwayKafka,
    Bench.Connectors.Klife
  ]

  @spec all() :: [module()]
  def all, do: @all

  @spec peers() :: [module()]
  def peers, do: [Bench.Connectors.BroadwayKafka, Bench.Connectors.Klife]

  @doc "The version of a library, `nil` when it is not here."
  @spec version(atom()) :: String.t() | nil
  def version(library) do
    case Application.load(library) do
      :ok -> vsn(library)
      {:error, {:already_loaded, _}} -> vsn(library)
      {:error, _reason} -> nil
    end
  end

  @spec vsn(atom()) :: String.t()
  defp vsn(library), do: library |> Application.spec(:vsn) |> to_string()
end
