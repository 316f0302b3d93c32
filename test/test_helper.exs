real_broadway? = Application.spec(:broadway) != nil
brokers = System.get_env("KAFKA_BROKERS")
# Where a broker on this machine keeps its records, for tests that damage them.
data = System.get_env("KAFKA_DATA")
data? = brokers != nil and data != nil and Path.wildcard(data <> "/**/meta.properties") != []

IO.puts(
  if(real_broadway?,
    do: "Broadway #{Application.spec(:broadway, :vsn)}",
    else: "NO HEX: these tests run on the stand-ins in offline/, not on Broadway"
  ) <> if(brokers, do: ", brokers at #{brokers}", else: ", no broker, mock cluster only")
)

ExUnit.start(
  exclude:
    if(brokers, do: [], else: [:broker]) ++
      if(data?, do: [], else: [:kafka_data]) ++ if(real_broadway?, do: [], else: [:hex])
)
