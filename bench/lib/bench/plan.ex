defmodule Bench.Plan do
  @moduledoc false
  # What each form of the bench measures.

  alias Bench.{Connector, Shape}
  alias Bench.Connectors.{BroadwayAlone, Ours, Raw}

  @partitions 8
  @rounds 5
  @variants [:defaults, :tuned, :batchers]
  @small %Shape{bytes: 100}

  @enforce_keys [:form, :seconds, :reads, :connectors]
  defstruct @enforce_keys ++ [latencies: [], checks: [], partitions: @partitions]

  @typedoc "Records a second, or a share of the most that our defaults handle of the first shape."
  @type load :: pos_integer() | float()

  @type read ::
          {Shape.t(), records :: pos_integer(), rounds :: pos_integer(), [variant :: atom()]}
  @type latency :: {load(), rounds :: pos_integer(), seconds :: pos_integer()}
  @type check :: {:calls | :schedules | :many, rounds :: pos_integer(), seconds :: pos_integer()}

  @type t :: %__MODULE__{
          form: :quick | :full | :smoke,
          seconds: pos_integer(),
          reads: [read()],
          connectors: [module()],
          latencies: [latency()],
          checks: [check()],
          partitions: pos_integer()
        }

  @spec form(String.t()) :: t()
  def form("quick") do
    %__MODULE__{
      form: :quick,
      seconds: 3,
      reads: [
        {@small, 2_000_000, @rounds,
         [:defaults, :headers, :tuned, :full, :pulled, :chunks, :bare_chunks]},
        {%Shape{bytes: 1024}, 600_000, @rounds, [:batchers]},
        {%Shape{bytes: 10_240}, 100_000, @rounds, [:batchers]},
        {%Shape{bytes: 1024, codec: "lz4"}, 600_000, @rounds, [:batchers]},
        {%Shape{bytes: 1024, codec: "zstd"}, 600_000, @rounds, [:batchers]}
      ],
      connectors: Connector.all(),
      latencies: [{100, @rounds, 4}, {0.2, @rounds, 3}, {0.5, @rounds, 3}],
      checks: [{:calls, @rounds, 3}, {:schedules, @rounds, 4}, {:many, @rounds, 5}]
    }
  end

  def form("full") do
    %__MODULE__{
      form: :full,
      seconds: 10,
      reads: [
        {@small, 6_000_000, @rounds,
         @variants ++ [:headers, :full, :pulled, :chunks, :bare_chunks]},
        {%Shape{bytes: 1024}, 2_000_000, @rounds, @variants ++ [:chunks, :bare_chunks]},
        {%Shape{bytes: 10_240}, 200_000, @rounds, @variants},
        {%Shape{bytes: 1024, codec: "lz4"}, 2_000_000, @rounds, @variants},
        {%Shape{bytes: 1024, codec: "zstd"}, 2_000_000, @rounds, @variants}
      ],
      connectors: Connector.all(),
      latencies: [{100, @rounds, 20}, {0.2, @rounds, 10}, {0.5, @rounds, 10}],
      checks: [{:calls, @rounds, 10}, {:schedules, @rounds, 10}, {:many, @rounds, 15}]
    }
  end

  def form("smoke") do
    %__MODULE__{
      form: :smoke,
      seconds: 2,
      reads: [{@small, 1_000_000, 3, [:defaults, :tuned]}],
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
        # All are compared with it.
        variant.id in ids or {connector, variant.id} == {Raw, :defaults},
        connector.takes_part?(:read, variant, shape),
        do: {connector, variant}
  end

  @doc "Whose latency is measured. A share of our own rate is more than the others can do."
  @spec listeners(t(), load()) :: [{module(), Bench.Variant.t()}]
  def listeners(plan, load) when is_integer(load), do: subjects(plan, :latency)

  def listeners(plan, load) when is_float(load) do
    for {connector, variant} <- subjects(plan, :latency),
        connector in [Raw, Ours] and variant.id == :defaults,
        do: {connector, variant}
  end

  @doc "What takes part in a measurement that is of no shape."
  @spec subjects(t(), Bench.Job.kind()) :: [{module(), Bench.Variant.t()}]
  def subjects(plan, kind) do
    for {connector, variant} <- subjects(plan),
        connector.takes_part?(kind, variant, nil),
        do: {connector, variant}
  end

  @spec subjects(t()) :: [{module(), Bench.Variant.t()}]
  defp subjects(plan) do
    {connectors, _missing} = here(plan)
    for connector <- connectors, variant <- connector.variants(), do: {connector, variant}
  end
end
