defmodule Bench.Plan do
  @moduledoc false
  # What each form of the bench measures.

  alias Bench.{Connector, Shape}
  alias Bench.Connectors.{BroadwayAlone, Ours, Raw}

  @partitions 8
  @variants [:defaults, :tuned, :batchers]

  @enforce_keys [:form, :rounds, :seconds, :reads, :connectors]
  defstruct @enforce_keys ++
              [latency_rate: nil, latency_seconds: 0, partitions: @partitions]

  @type t :: %__MODULE__{
          form: :quick | :full | :smoke,
          rounds: pos_integer(),
          seconds: pos_integer(),
          reads: [{Shape.t(), records :: pos_integer(), [variant :: atom()]}],
          connectors: [module()],
          latency_rate: pos_integer() | nil,
          latency_seconds: non_neg_integer(),
          partitions: pos_integer()
        }

  @spec form(String.t()) :: t()
  def form("quick") do
    %__MODULE__{
      form: :quick,
      rounds: 3,
      seconds: 4,
      reads: [
        {%Shape{bytes: 100}, 1_500_000, [:defaults, :tuned]},
        {%Shape{bytes: 1024}, 500_000, [:tuned, :batchers]}
      ],
      connectors: Connector.all(),
      latency_rate: 100,
      latency_seconds: 5
    }
  end

  def form("full") do
    %__MODULE__{
      form: :full,
      rounds: 5,
      seconds: 10,
      reads: [
        {%Shape{bytes: 100}, 4_000_000, @variants},
        {%Shape{bytes: 1024}, 1_500_000, @variants},
        {%Shape{bytes: 10_240}, 200_000, @variants},
        {%Shape{bytes: 1024, codec: "lz4"}, 1_500_000, @variants},
        {%Shape{bytes: 1024, codec: "zstd"}, 1_500_000, @variants}
      ],
      connectors: Connector.all(),
      latency_rate: 100,
      latency_seconds: 20
    }
  end

  def form("smoke") do
    %__MODULE__{
      form: :smoke,
      rounds: 3,
      seconds: 2,
      reads: [{%Shape{bytes: 100}, 1_000_000, [:defaults, :tuned]}],
      connectors: [Raw, BroadwayAlone, Ours]
    }
  end

  @doc "The connectors that are here, and what is missing of the others."
  @spec here(t()) :: {[module()], missing :: [String.t()]}
  def here(plan) do
    {here, missing} = Enum.split_with(plan.connectors, &(&1.missing() == nil))
    {here, Enum.map(missing, & &1.missing())}
  end

  @doc "What takes turns in reading a topic of such records: connectors, set up in those ways."
  @spec readers(t(), Shape.t(), [atom()]) :: [{module(), Bench.Variant.t()}]
  def readers(plan, shape, ids) do
    for {connector, variant} <- subjects(plan),
        # There is only one way to set librdkafka up.
        variant.id in ids or connector == Raw,
        connector.takes_part?(:read, variant, shape),
        do: {connector, variant}
  end

  @doc "Whose latency is measured."
  @spec listeners(t()) :: [{module(), Bench.Variant.t()}]
  def listeners(plan) do
    for {connector, variant} <- subjects(plan),
        connector.takes_part?(:latency, variant, nil),
        do: {connector, variant}
  end

  @spec subjects(t()) :: [{module(), Bench.Variant.t()}]
  defp subjects(plan) do
    {connectors, _missing} = here(plan)
    for connector <- connectors, variant <- connector.variants(), do: {connector, variant}
  end
end
