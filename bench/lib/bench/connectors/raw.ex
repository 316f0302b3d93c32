defmodule Bench.Connectors.Raw do
  @moduledoc false
  # librdkafka without a BEAM (native/raw): batches of 1000 from the group's queue, offsets stored and
  # committed by librdkafka, at our own interval.

  @behaviour Bench.Connector

  alias Bench.{Job, Raw, Variant}

  @impl Bench.Connector
  def title, do: "librdkafka, no BEAM"

  @impl Bench.Connector
  def variants do
    defaults = %Variant{config: ["auto.commit.interval.ms": 200]}
    [defaults, %{defaults | id: :headers, title: "headers read"}]
  end

  @impl Bench.Connector
  def versions, do: [{"librdkafka", Raw.librdkafka_version()}]

  @impl Bench.Connector
  def missing, do: nil

  @impl Bench.Connector
  def takes_part?(:read, _variant, _shape), do: true
  def takes_part?(kind, variant, _shape), do: kind == :latency and variant.id == :defaults

  @impl Bench.Connector
  def command(%Job{kind: :read} = job),
    do: Raw.command("read", job, [records: job.records, seconds: job.seconds] ++ set(job))

  def command(%Job{kind: :latency} = job),
    do: Raw.command("latency", job, [warm_up: job.warm_up, seconds: job.seconds] ++ set(job))

  @spec set(Job.t()) :: [{String.t(), term()}]
  defp set(%{variant: variant}),
    do: [
      {:headers, variant.id == :headers}
      | for({name, value} <- variant.config, do: {"set.#{name}", value})
    ]
end
