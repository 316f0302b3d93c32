defmodule Demo.Pipeline do
  @moduledoc false
  # The pipeline of the demo: several processors and a batcher, which enter what they see into the
  # ledger. A user's would do its work in the same two places.

  use Broadway

  alias Broadway.Message
  alias Demo.{Ledger, Source}

  # How long an incomplete batch waits for more. It is part of every latency shown.
  @batch_timeout_ms 5

  @mock_fetch_wait_ms 10

  @spec mock_fetch_wait_ms() :: pos_integer()
  def mock_fetch_wait_ms, do: @mock_fetch_wait_ms

  @spec batch_timeout_ms() :: pos_integer()
  def batch_timeout_ms, do: @batch_timeout_ms

  @spec start_link(Source.t(), group_id :: String.t(), Ledger.t()) :: GenServer.on_start()
  def start_link(source, group_id, ledger) do
    Broadway.start_link(__MODULE__,
      name: __MODULE__,
      context: %{ledger: ledger, stamped?: Source.ours?(source)},
      producer: [
        module:
          {OffBroadwayRustKafka.Producer,
           hosts: source.brokers,
           group_id: group_id,
           topics: [source.topic],
           offset_reset_policy: :earliest,
           config: config(source)}
      ],
      processors: [default: [concurrency: 4, max_demand: 100]],
      batchers: [default: [concurrency: 2, batch_size: 100, batch_timeout: @batch_timeout_ms]]
    )
  end

  @impl Broadway
  def handle_message(_processor, message, %{ledger: ledger, stamped?: stamped?}) do
    %{partition: partition, offset: offset} = message.metadata
    if Ledger.has?(ledger, partition), do: Ledger.delivered(ledger, partition, offset)
    Message.put_data(message, since(message.data, stamped?))
  end

  # Broadway acks a batch in this process as soon as this returns: for a batch of 100 that is some
  # microseconds later, so the time here stands for the ack's.
  @impl Broadway
  def handle_batch(_batcher, messages, _info, %{ledger: ledger}) do
    now = System.monotonic_time(:nanosecond)

    for %{data: {since, at}, metadata: %{partition: partition, offset: offset}} <- messages,
        Ledger.has?(ledger, partition) do
      Ledger.handled(ledger, partition, offset, since, now - at)
    end

    messages
  end

  # librdkafka's mock lets a group that became empty wait for its session timeout less a second, 44 s
  # by default, before it takes members again; and an empty fetch is answered no sooner than after
  # fetch.wait.max.ms, 500 by default, whatever arrives meanwhile. A broker does neither.
  @spec config(Source.t()) :: keyword()
  defp config(%{mode: :mock}) do
    [
      "session.timeout.ms": 3000,
      "heartbeat.interval.ms": 500,
      "fetch.wait.max.ms": @mock_fetch_wait_ms
    ]
  end

  defp config(_source), do: []

  @spec since(binary() | nil, stamped? :: boolean()) :: {Demo.Latency.since(), ns :: integer()}
  defp since(value, stamped?) do
    case stamped? && Source.stamp(value) do
      at when is_integer(at) -> {:arrival, at}
      _ -> {:delivery, System.monotonic_time(:nanosecond)}
    end
  end
end
