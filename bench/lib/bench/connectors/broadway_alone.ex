defmodule Bench.Connectors.BroadwayAlone do
  @moduledoc false
  # Broadway with records out of memory: what no connector under it can be cheaper than.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Child, Connector, Memory, Pipeline, Variant}

  @impl Connector
  def title, do: "Broadway alone"

  @impl Connector
  def variants do
    full = %Variant{id: :full, title: "max_demand 100, messages with all that ours carry"}
    full = %{full | producer: [messages: :full], processors: [max_demand: 100]}
    Variant.all("max_demand 100") ++ [full]
  end

  @impl Connector
  def versions, do: [{"Broadway", Bench.Machine.broadway()}]

  @impl Connector
  def missing, do: nil

  @impl Connector
  def takes_part?(:read, _variant, shape), do: shape.codec == "none"
  # What the others are compared with.
  def takes_part?(kind, variant, _shape), do: kind == :schedules and variant.id == :tuned

  @impl Connector
  defdelegate command(job), to: Child

  @impl Connector
  defdelegate start(job, context), to: Pipeline

  @impl Connector
  def applications, do: Bench.Machine.broadway_applications()

  @impl Pipeline
  def options(job) do
    module = {Memory, [partitions: job.partitions, bytes: job.bytes] ++ job.variant.producer}

    stages =
      for {kind, [{name, options}]} <- Variant.stages(job.variant),
          do: {kind, [{name, [{:partition_by, &Memory.partition/1} | options]}]}

    [{:producer, [module: module]} | stages]
  end

  @impl Pipeline
  def value(message), do: message.data
end
