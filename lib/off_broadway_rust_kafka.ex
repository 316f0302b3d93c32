defmodule OffBroadwayRustKafka do
  @moduledoc """
  Kafka for [Broadway](https://hexdocs.pm/broadway), with the consumer-group member in Rust.

  A NIF on librdkafka owns the member, its fetching and rebalances, and what of its partitions was
  delivered, acknowledged and committed. On top of it `OffBroadwayRustKafka.Producer` emits a
  `Broadway.Message` for a record when the pipeline asks for one, and hands acknowledgements
  straight back. Offsets are committed in order, and only once everything before them is handled.

    * `OffBroadwayRustKafka.Producer` - how to use it in a pipeline, and its options
    * `OffBroadwayRustKafka.Chunk` - many records in a message, for pipelines that insert in bulk
    * `OffBroadwayRustKafka.Telemetry` - the events it emits
    * `OffBroadwayRustKafka.Error` - what it reports when something fails
    * `OffBroadwayRustKafka.TestCluster` - a Kafka for the tests of a pipeline
  """

  alias OffBroadwayRustKafka.Native

  @typedoc """
  Where one assigned partition stands.

    * `:slot`, `:epoch`, `:lane` - its small number for the life of the member, the count of its
      assignments, and the index of the producer that serves it
    * `:start` - the offset this assignment started at
    * `:next` - the offset after the last delivered one
    * `:acked` - how many records were acknowledged in this assignment
    * `:in_flight` - how many are delivered and not acknowledged
    * `:committable` - the offset up to which everything is acknowledged
    * `:committed` - the offset last committed, or `nil`
    * `:high_watermark` - the offset after the partition's last record, or `nil` before the first
      fetch; less `:committed`, it is the lag
  """
  @type progress :: %{
          topic: String.t(),
          partition: non_neg_integer(),
          slot: non_neg_integer(),
          epoch: non_neg_integer(),
          lane: non_neg_integer(),
          start: integer(),
          next: integer(),
          acked: non_neg_integer(),
          in_flight: non_neg_integer(),
          committable: integer(),
          committed: integer() | nil,
          high_watermark: integer() | nil
        }

  @doc """
  Where each partition that is assigned to the pipeline `broadway` stands.

  `broadway` is the name of a running pipeline whose producer is `OffBroadwayRustKafka.Producer`.
  Exits if there is none.
  """
  @spec progress(Broadway.name()) :: [progress()]
  def progress(broadway) do
    [producer | _] = Broadway.producer_names(broadway)
    producer |> GenStage.call({:off_broadway_rust_kafka, :consumer}) |> Native.progress()
  end
end
