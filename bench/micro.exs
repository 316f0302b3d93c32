# The two parts of Elixir's own that every record goes through, by themselves: `bin/bench micro`.

alias OffBroadwayRustKafka.{Acknowledger, Message, TestClient, TestCluster}
alias Bench.Connectors.Nif
alias Bench.Job

{:ok, _} = Application.ensure_all_started(:off_broadway_rust_kafka)
{:ok, _} = Application.ensure_all_started(:benchee)

batch = 500
partitions = 4

# A member of a group on an embedded cluster, and records that it has delivered.
{:ok, cluster} = TestCluster.start_link()
brokers = TestCluster.bootstrap(cluster)
:ok = TestCluster.create_topic(cluster, "orders", partitions)
{:ok, client} = TestClient.start(brokers)

records =
  for n <- 1..batch do
    %{
      partition: rem(n, partitions),
      key: "customer-#{n}",
      value: String.duplicate("x", 100),
      headers: [{"content-type", "application/json"}, {"trace-id", "00000000000012f7"}]
    }
  end

{:ok, _offsets} = TestClient.produce(client, "orders", records)

consumer =
  Nif.open(%Job{
    kind: :calls,
    connector: Nif,
    variant: hd(Nif.variants()),
    brokers: brokers,
    topic: "orders",
    group: "billing",
    partitions: partitions,
    bytes: 100
  })

runs = Nif.pull_all(consumer, batch)
messages = Message.from_runs(runs, consumer)
# The first of each partition stays unacked, so that the tracker looks every other ack up.
rest = Enum.reject(messages, &(&1.metadata.offset == 0))
:ok = Acknowledger.ack(consumer, rest, [])

Benchee.run(
  %{
    "messages of #{batch} records" => fn -> Message.from_runs(runs, consumer) end,
    "acks of #{length(rest)} messages" => fn -> Acknowledger.ack(consumer, rest, []) end,
    "the ack of one message" => fn -> Acknowledger.ack(consumer, [hd(rest)], []) end
  },
  warmup: 1,
  time: 3,
  memory_time: 1
)
