real_broadway? = Application.spec(:broadway) != nil
flow? = Code.ensure_loaded?(Flow)
brokers = System.get_env("KAFKA_BROKERS")
cluster = System.get_env("KAFKA_CLUSTER_DIR")
# Where a broker on this machine keeps its records, for tests that damage them.
data = System.get_env("KAFKA_DATA")

data? =
  brokers != nil and data not in [nil, ""] and Path.wildcard(data <> "/**/meta.properties") != []

IO.puts(
  if(real_broadway?,
    do: "Broadway #{Application.spec(:broadway, :vsn)}",
    else: "NO HEX: these tests run on the stand-ins in offline/, not on Broadway"
  ) <>
    if(brokers, do: ", brokers at #{brokers}", else: ", no broker, mock cluster only") <>
    if(cluster, do: ", a cluster to do harm to in #{cluster}", else: "") <>
    if(flow?, do: "", else: ", no Flow")
)

ExUnit.start(
  # A busy machine is no failure.
  assert_receive_timeout: 5_000,
  exclude:
    if(brokers, do: [], else: [:broker]) ++
      if(brokers && OffBroadwayRustKafka.Secured.given?(), do: [], else: [:secured]) ++
      if(cluster, do: [], else: [:cluster]) ++
      if(data?, do: [], else: [:kafka_data]) ++
      if(real_broadway?, do: [], else: [:hex]) ++
      if(flow?, do: [], else: [:flow])
)
