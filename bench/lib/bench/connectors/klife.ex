defmodule Bench.Connectors.Klife do
  @moduledoc false
  # off_broadway_klife on klife. Its documentation names one setting for latency, receive_interval.

  @behaviour Bench.Connector
  @behaviour Bench.Pipeline

  alias Bench.{Child, Connector, Pipeline, Variant}

  @tuned [receive_interval: 10]

  if Code.ensure_loaded?(Klife.Client) do
    defmodule Client do
      @moduledoc false
      use Klife.Client, otp_app: :off_broadway_rust_kafka_bench
    end
  end

  @impl Connector
  def title, do: "off_broadway_klife"

  @impl Connector
  def variants, do: Variant.all("tuned", @tuned)

  @impl Connector
  def versions do
    for library <- [:off_broadway_klife, :klife],
        do: {to_string(library), Connector.version(library)}
  end

  @impl Connector
  def missing, do: if(Connector.version(:off_broadway_klife) == nil, do: "off_broadway_klife")

  # It raises on lz4 and zstd.
  @impl Connector
  def takes_part?(:read, _variant, shape), do: shape.codec in ["none", "gzip", "snappy"]
  def takes_part?(kind, variant, _shape), do: kind == :latency and variant.id != :batchers

  @impl Connector
  defdelegate command(job), to: Child

  @impl Connector
  defdelegate start(job, context), to: Pipeline

  @impl Connector
  def applications, do: [:off_broadway_klife]

  @impl Pipeline
  def options(job) do
    start_client(job.brokers)

    options =
      [
        client: __MODULE__.Client,
        group_name: job.group,
        topics: [[name: job.topic, offset_reset_policy: :earliest]]
      ] ++ job.variant.producer

    [producer: [module: {OffBroadwayKlife.Producer, options}]] ++ Variant.stages(job.variant)
  end

  @impl Pipeline
  def value(message), do: message.data.value

  @spec start_client(String.t()) :: :ok
  defp start_client(brokers) do
    connection = [bootstrap_servers: String.split(brokers, ","), ssl: false]

    Application.put_env(:off_broadway_rust_kafka_bench, __MODULE__.Client, connection: connection)

    {:ok, _pid} = Supervisor.start_link([__MODULE__.Client], strategy: :one_for_one)
    :ok
  end
end
