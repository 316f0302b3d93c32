real_broadway? = Application.spec(:broadway) != nil
brokers = System.get_env("KAFKA_BROKERS")

IO.puts(
  if(real_broadway?,
    do: "Broadway #{Application.spec(:broadway, :vsn)}",
    else: "NO HEX: these tests run on the stand-ins in offline/, not on Broadway"
  ) <> if(brokers, do: ", brokers at #{brokers}", else: ", no broker, mock cluster only")
)

ExUnit.start(
  exclude: if(brokers, do: [], else: [:broker]) ++ if(real_broadway?, do: [], else: [:hex])
)
