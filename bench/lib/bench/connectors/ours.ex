defmodule Bench.Connectors.Ours do
  @moduledoc false
  # This project. What matters to its speed is Broadway's max_demand, and whether messages are chunks.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Child, Connector, Machine, Pipeline, Variant}

  @impl Connector
  def title, do: "off_broadway_rust_kafka"

  @impl Connector
  def variants do
    chunks = %Variant{id: :chunks, title: "chunks of 500", producer: [chunk_size: 500]}
    bare = %Variant{id: :bare_chunks, title: "the same, headers: false"}
    bare = %{bare | producer: [chunk_size: 500, headers: false]}
    Variant.all("max_demand 100") ++ [chunks, bare]
  end

  @impl Connector
  def versions, do: [{"off_broadway_rust_kafka", Connector.version(:off_broadway_rust_kafka)}]

  @impl Connector
  def missing, do: nil

  @impl Connector
  def takes_part?(:read, _variant, _shape), do: true
  def takes_part?(:latency, variant, _shape), do: variant.id in [:defaults, :tuned]
  def takes_part?(:schedules, variant, _shape), do: variant.id in [:tuned, :batchers]
  def takes_part?(:many, variant, _shape), do: variant.id == :tuned
  def takes_part?(_calls_or_profile, _variant, _shape), do: false

  @impl Connector
  defdelegate command(job), to: Child

  @impl Connector
  defdelegate start(job, context), to: Pipeline

  @impl Connector
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
