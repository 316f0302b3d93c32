defmodule Bench.Connectors.Ours do
  @moduledoc false
  # This project. Its one setting that matters to speed is Broadway's max_demand.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Connector, Machine, Pipeline, Variant}

  @impl Connector
  def title, do: "off_broadway_rust_kafka"

  @impl Connector
  def variants, do: Variant.all("max_demand 100")

  @impl Connector
  def versions, do: [{"off_broadway_rust_kafka", Connector.version(:off_broadway_rust_kafka)}]

  @impl Connector
  def missing, do: nil

  @impl Connector
  def takes_part?(kind, variant, _shape), do: kind == :read or variant.id != :batchers

  @impl Connector
  defdelegate command(job), to: Pipeline

  @impl Pipeline
  def applications, do: [:off_broadway_rust_kafka | Machine.broadway_applications()]

  @impl Pipeline
  def options(job) do
    options =
      [
        hosts: job.brokers,
        group_id: job.group,
        topics: [job.topic],
        offset_reset_policy: :earliest
      ] ++ job.variant.producer

    [producer: [module: {OffBroadwayRustKafka.Producer, options}]] ++
      Variant.stages(job.variant)
  end

  @impl Pipeline
  def value(message), do: message.data
end
