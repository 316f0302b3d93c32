defmodule OffBroadwayRustKafka.Brokers do
  @moduledoc false
  # A cluster of three brokers to do harm to: the one that bin/kafka keeps in KAFKA_CLUSTER_DIR.
  # A broker is told by its id: 1, 2 or 3. What the brokers say of each other is asked anew each time.

  import ExUnit.Assertions, only: [flunk: 1]

  alias OffBroadwayRustKafka.{Kafka, Proxy, TestClient}

  @type id :: 1..3

  @healthy_ms 90_000
  @ask_ms 2_000
  @offsets_topic "__consumer_offsets"

  @doc "Where the cluster is kept; `nil` where there is none."
  @spec dir() :: Path.t() | nil
  def dir, do: System.get_env("KAFKA_CLUSTER_DIR")

  @spec ids() :: [id()]
  def ids, do: [1, 2, 3]

  @doc "The cluster, as tests know a Kafka."
  @spec kafka() :: Kafka.t()
  def kafka, do: %Kafka{bootstrap: address("brokers")}

  @doc """
  The cluster behind a proxy before each broker, for as long as the test runs.

  This Kafka is for whom is to suffer; records come to the cluster by `kafka/0`, around the proxies.
  """
  @spec proxied() :: {Kafka.t(), %{id() => Proxy.t()}}
  def proxied do
    places = Enum.zip([ids(), ports("proxied_brokers"), ports("proxy_targets")])

    proxies =
      for {id, at, to} <- places, into: %{} do
        options = [at: at, to: to, seed: ExUnit.configuration()[:seed]]
        child = Supervisor.child_spec({Proxy, options}, id: {Proxy, id})
        {id, ExUnit.Callbacks.start_supervised!(child)}
      end

    {%Kafka{bootstrap: address("proxied_brokers")}, proxies}
  end

  @doc "Ends a broker at once: `kill -9`."
  @spec kill(id()) :: :ok
  def kill(id), do: run(["kill", "#{id}"])

  @doc "Stops a broker, which hands over what it leads before it ends."
  @spec stop(id()) :: :ok
  def stop(id), do: run(["stop", "#{id}"])

  @doc "Starts a broker, and returns once it takes part."
  @spec start(id()) :: :ok
  def start(id), do: run(["start", "#{id}"])

  @doc "Stops a broker in the middle of what it does, with its connections open: `SIGSTOP`."
  @spec pause(id()) :: :ok
  def pause(id), do: run(["pause", "#{id}"])

  @doc "Lets a paused broker go on."
  @spec resume(id()) :: :ok
  def resume(id), do: run(["resume", "#{id}"])

  @doc "What one of Kafka's command line tools answers: its class, below `org.apache.kafka.tools`."
  @spec tool([String.t()]) :: String.t()
  def tool(arguments), do: bin_kafka(["tool" | arguments])

  @doc "Starts and resumes whatever does not run, and waits until nothing is left of it."
  @spec heal() :: :ok
  def heal do
    run(["start"])
    await_healthy()
  end

  @doc "The broker that leads a partition."
  @spec leader(String.t(), non_neg_integer()) :: id()
  def leader(topic, partition) do
    Kafka.await(@healthy_ms, fn ->
      case topics()[{topic, partition}] do
        %{leader: leader} when leader != nil -> leader
        other -> {:not_yet, "#{topic}/#{partition} has no leader: #{inspect(other)}"}
      end
    end)
  end

  @doc "The broker that coordinates a group."
  @spec coordinator(String.t()) :: id()
  def coordinator(group), do: leader(@offsets_topic, offsets_partition(group))

  @doc "Makes another broker coordinate a group, and returns once it does."
  @spec move_coordinator(String.t(), id()) :: :ok
  def move_coordinator(group, to), do: move_leader(@offsets_topic, offsets_partition(group), to)

  @doc "Makes another broker lead a partition, and returns once it does."
  @spec move_leader(String.t(), non_neg_integer(), id()) :: :ok
  def move_leader(topic, partition, to) do
    %{replicas: replicas} = Map.fetch!(topics(), {topic, partition})
    true = to in replicas
    reassign(topic, partition, [to | List.delete(replicas, to)])

    Kafka.await(@healthy_ms, fn ->
      case leader(topic, partition) do
        ^to -> :ok
        leader -> {:not_yet, "#{topic}/#{partition} is led by #{leader}, not #{to}"}
      end
    end)
  end

  @doc """
  Waits until every partition is on all the brokers it should be on, and led by the one that
  should lead it.
  """
  @spec await_healthy() :: :ok
  def await_healthy do
    Kafka.await(@healthy_ms, fn ->
      case Enum.reject(topics(), fn {_, partition} -> healthy?(partition) end) do
        [] -> :ok
        ill -> {:not_yet, "of the cluster are not healthy #{inspect(ill)}"}
      end
    end)
  end

  @spec healthy?(TestClient.partition()) :: boolean()
  defp healthy?(%{leader: leader, replicas: [preferred | _] = replicas, in_sync: in_sync}),
    do: leader == preferred and replicas -- in_sync == []

  # Kafka's own rule: Java's hash of the group's name, over the partitions of committed offsets.
  @spec offsets_partition(String.t()) :: non_neg_integer()
  defp offsets_partition(group) do
    units = for <<unit::16 <- :unicode.characters_to_binary(group, :utf8, :utf16)>>, do: unit

    <<hash::signed-32>> =
      Enum.reduce(units, <<0::32>>, fn unit, <<h::32>> -> <<h * 31 + unit::32>> end)

    rem(abs(hash), offsets_partitions(group))
  end

  # The topic is made for the first group that there is.
  @spec offsets_partitions(String.t()) :: pos_integer()
  defp offsets_partitions(group) do
    case Enum.count(topics(), fn {{topic, _}, _} -> topic == @offsets_topic end) do
      0 ->
        {:ok, _} = TestClient.committed(client(), group, [{"none", 0}])
        offsets_partitions(group)

      count ->
        count
    end
  end

  # A broker may be asked that is just paused: another one is, the next time.
  @spec topics() :: %{{String.t(), non_neg_integer()} => TestClient.partition()}
  defp topics do
    Kafka.await(@healthy_ms, fn ->
      with {:error, error} <- TestClient.topics(client(), @ask_ms),
           do: {:not_yet, "no broker tells its topics: #{inspect(error)}"}
    end)
    |> elem(1)
  end

  @spec client() :: TestClient.t()
  defp client, do: Kafka.client(kafka())

  @spec reassign(String.t(), non_neg_integer(), [id()]) :: :ok
  defp reassign(topic, partition, replicas) do
    path = Path.join(System.tmp_dir!(), Kafka.random_name("reassign") <> ".json")

    File.write!(path, """
    {"version": 1, "partitions": [
      {"topic": "#{topic}", "partition": #{partition}, "replicas": [#{Enum.join(replicas, ", ")}]}
    ]}
    """)

    try do
      tool(~w(reassign.ReassignPartitionsCommand --execute --reassignment-json-file #{path}))
      :ok
    after
      File.rm!(path)
    end
  end

  @spec ports(String.t()) :: [:inet.port_number()]
  defp ports(key) do
    for address <- String.split(address(key), ","),
        do: address |> String.split(":") |> List.last() |> String.to_integer()
  end

  # What bin/kafka prints is the same as long as the cluster lasts.
  @spec address(String.t()) :: String.t()
  defp address(key) do
    with nil <- :persistent_term.get({__MODULE__, key}, nil) do
      for line <- String.split(bin_kafka(["start"]), "\n"),
          [key, value] <- [String.split(line, "=", parts: 2)],
          do: :persistent_term.put({__MODULE__, key}, value)

      :persistent_term.get({__MODULE__, key})
    end
  end

  @spec run([String.t()]) :: :ok
  defp run(arguments) do
    bin_kafka(arguments)
    :ok
  end

  @spec bin_kafka([String.t()]) :: String.t()
  defp bin_kafka(arguments) do
    env = [{"KAFKA_DIR", dir()}, {"KAFKA_BROKERS", nil}, {"KAFKA_NODES", nil}]
    options = [env: env, stderr_to_stdout: true]

    case System.cmd(Path.absname("bin/kafka"), arguments, options) do
      {output, 0} -> output
      {output, status} -> flunk("bin/kafka #{Enum.join(arguments, " ")}: #{status}, #{output}")
    end
  end
end
