defmodule Soak.World do
  @moduledoc false
  # What faults happen to: a topic, a group and its members, brokers and the network before them;
  # and what is under way there. It belongs to one process, which hears what comes of it.

  alias OffBroadwayRustKafka.{Brokers, History, Kafka, TestClient}
  alias Soak.{Load, Members, Screen, Setting}

  @enforce_keys [:kafka, :proxied, :proxies, :history, :topic, :group, :setting] ++
                  [:partitions, :load, :dir]
  defstruct @enforce_keys ++
              [members: %{}, next: 1, trouble: MapSet.new(), later: %{}] ++
              [unclean: MapSet.new()]

  @typedoc """
  `trouble` is what is wrong with the brokers or the network; `later` what is under way, and what
  then. Members that may leave records unacknowledged are `unclean`.
  """
  @type t :: %__MODULE__{
          kafka: Kafka.t(),
          proxied: Kafka.t(),
          proxies: %{optional(Brokers.id()) => pid()},
          history: History.t(),
          topic: String.t(),
          group: String.t(),
          setting: Setting.t(),
          partitions: pos_integer(),
          load: Load.t(),
          dir: Path.t(),
          members: %{String.t() => Members.member()},
          next: pos_integer(),
          trouble: MapSet.t(String.t()),
          later: %{(reference() | port()) => (t() -> t())},
          unclean: MapSet.t(String.t())
        }

  @doc "A new topic and a new group, with records coming."
  @spec new(Kafka.t(), {Kafka.t(), map()}, Setting.t(), map()) :: t()
  def new(kafka, {proxied, proxies}, setting, options) do
    topic = Kafka.create_topic(kafka, setting.partitions, replication: 3)
    {:ok, keeper} = History.start_link()
    history = %History{table: Agent.get(keeper, & &1.table), keeper: keeper}
    seed = Enum.random(1..1_000_000)
    load = Load.start(kafka, history, topic, setting.partitions, options.rate, seed)

    %__MODULE__{
      kafka: kafka,
      proxied: proxied,
      proxies: proxies,
      history: history,
      topic: topic,
      group: Kafka.random_name("soak"),
      setting: setting,
      partitions: setting.partitions,
      load: load,
      dir: options.dir
    }
  end

  @doc "Nothing is left of it, when its members have left."
  @spec close(t()) :: :ok
  def close(%{history: %{keeper: keeper}} = world) do
    for dir <- Agent.get(keeper, & &1.dirs), do: File.rm_rf!(dir)
    Agent.stop(keeper)
    :ok = TestClient.delete_topic(Kafka.client(world.kafka), world.topic)
  end

  @doc "Something is wrong with the brokers or the network, until `well/2`."
  @spec ill(t(), String.t()) :: t()
  def ill(world, what) do
    History.begin_fault(world.history, what)
    %{world | trouble: MapSet.put(world.trouble, what)}
  end

  @spec well(t(), String.t()) :: t()
  def well(world, what) do
    History.end_fault(world.history, what)
    %{world | trouble: MapSet.delete(world.trouble, what)}
  end

  @doc "Does what takes its time beside the rest; `done` follows it."
  @spec later(t(), (() -> term()), (t() -> t())) :: t()
  def later(world, fun, done \\ & &1) do
    %{ref: ref} = Task.async(fun)
    put_in(world.later[ref], done)
  end

  @doc "What a message says that came to the process whose world it is."
  @spec heard(t(), term()) :: t()
  def heard(world, {ref, _answer}) when is_reference(ref) and is_map_key(world.later, ref) do
    Process.demonitor(ref, [:flush])
    done(world, ref)
  end

  def heard(world, {port, {:exit_status, _}}) when is_map_key(world.later, port),
    do: done(world, port)

  def heard(world, {port, {:exit_status, status}}) when is_port(port),
    do: Members.ended!(world, port, "exit status #{status}")

  def heard(world, {:DOWN, ref, :process, _, reason}) when is_map_key(world.later, ref),
    do: raise("what was under way broke off: #{Exception.format_exit(reason)}")

  def heard(world, {:DOWN, _, :process, pid, reason}),
    do: Members.ended!(world, pid, inspect(reason))

  def heard(world, {port, {:data, text}}) when is_port(port) do
    Screen.log(text)
    world
  end

  def heard(world, _other), do: world

  @spec done(t(), reference() | port()) :: t()
  defp done(world, key) do
    {done, later} = Map.pop!(world.later, key)
    done.(%{world | later: later})
  end

  @doc "Hears what there is to hear, until then."
  @spec listen(t(), until_ms :: integer()) :: t()
  def listen(world, until) do
    receive do
      message -> world |> heard(message) |> listen(until)
    after
      max(until - System.monotonic_time(:millisecond), 0) -> world
    end
  end

  @doc "Waits until nothing is under way any more."
  @spec settle(t(), timeout_ms :: pos_integer()) :: t()
  def settle(%{later: later} = world, _timeout) when later == %{}, do: world

  def settle(world, timeout) do
    receive do
      message -> world |> heard(message) |> settle(timeout)
    after
      timeout -> raise "waited in vain for #{inspect(Map.values(world.later))}"
    end
  end
end
