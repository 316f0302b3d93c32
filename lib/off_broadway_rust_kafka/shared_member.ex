defmodule OffBroadwayRustKafka.SharedMember do
  @moduledoc """
  A group member that several pipelines of a node share.

  It goes into the supervision tree before them, and each reads some of its topics:

      children = [
        {OffBroadwayRustKafka.SharedMember,
         name: MyApp.Kafka, hosts: "localhost:9092", group_id: "shop", topics: ["orders", "returns"]},
        MyApp.Orders,
        MyApp.Returns
      ]

      # In MyApp.Orders
      producer: [
        module: {OffBroadwayRustKafka.Producer, consumer: MyApp.Kafka, topics: ["orders"]}
      ]

  So the group has one member of this node, with one set of connections, however many pipelines read it.

  ## Options

    * `:name` - required: what pipelines name as their `:consumer`. An atom, `{:global, term}` or
      `{:via, module, term}`

  and all those of `OffBroadwayRustKafka.Producer`, but for `:consumer`, and for `:message_format` and
  `:max_in_flight`, which each pipeline may have of its own. They are checked before anything starts; an
  `ArgumentError` says which one is wrong.

  ## What happens when

    * A topic of the member's that no pipeline has is not fetched, and keeps its committed offset.
    * A pipeline that stops finishes and commits what it has; the member goes on for the others. One that
      crashes leaves records unacknowledged: they are delivered again to the next that reads the topic.
    * A member that crashes starts anew, and its pipelines find it again by themselves; what was not
      committed is delivered again. So `on_unacked: :stop` starts the stages of all of them anew.
    * While a pipeline is being revoked partitions, it handles what it has of them, for the member's
      `:drain_timeout` at most; the others are not held up.

  The functions of `OffBroadwayRustKafka` answer for the member by its name, and for each pipeline, of
  its own partitions, by the pipeline's. Telemetry has the member's name.
  """

  use Supervisor

  alias OffBroadwayRustKafka.{Consumer, Member, MemberSpec, Options}

  @of_pipelines [:consumer, :message_format, :max_in_flight]

  # Of one partition, where the pipeline that reads it has not said.
  @max_in_flight 10_000

  # How long the last commit and the leaving may take besides what the consumer grants itself: it stops
  # after the pipelines, which wait for nobody.
  @shutdown_ms 30_000

  @doc "Starts a member for pipelines to share."
  @spec start_link(keyword() | (() -> keyword())) :: Supervisor.on_start()
  def start_link(options) when is_function(options, 0), do: start_link(options.())

  def start_link(options) do
    {name, options} = split!(options)
    start_link(name, Options.validate!(options, inspect(__MODULE__)), [])
  end

  @doc false
  # With children that depend on the member, each given the table by which it is found.
  @spec start_link(GenServer.name(), Options.t(), [(Consumer.table() -> Supervisor.child_spec())]) ::
          Supervisor.on_start()
  def start_link(name, options, children),
    do: Supervisor.start_link(__MODULE__, fn -> {name, options, children} end, name: name)

  # Supervisors show what they and their children are started with, and options may hold secrets.
  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    name = if Keyword.keyword?(options), do: options[:name]

    %{
      id: name || __MODULE__,
      start: {__MODULE__, :start_link, [fn -> options end]},
      type: :supervisor
    }
  end

  # It is this process by which the member is found, see `Consumer.table/1`.
  @impl Supervisor
  def init(arg) do
    {name, options, children} = arg.()
    table = Consumer.new_table()
    :ets.insert(table, topics: options.topics, chunk_size: options.chunk_size)

    place = %{
      table: table,
      name: name,
      lanes: 0,
      max_in_flight: options.max_in_flight || @max_in_flight * (options.chunk_size || 1),
      shutdown_ms: @shutdown_ms
    }

    case MemberSpec.new(options, place) do
      {:ok, consumer} ->
        children = for child <- children, do: child.(table)
        Supervisor.init([{Consumer, consumer} | children], strategy: :rest_for_one)

      {:error, message} ->
        Options.refuse!(message, inspect(__MODULE__))
    end
  end

  @spec split!(term()) :: {GenServer.name(), keyword()}
  defp split!(options) do
    if not Keyword.keyword?(options),
      do: refuse!("expected a keyword list of options, got another term")

    {name, options} = Keyword.pop(options, :name)

    if not Member.name?(name) do
      refuse!(
        "expected :name to be an atom, {:global, term} or {:via, module, term}, got: #{inspect(name)}"
      )
    end

    for key <- @of_pipelines, Keyword.has_key?(options, key) do
      refuse!("#{inspect(key)} is an option of the pipelines that share the member")
    end

    {name, options}
  end

  @spec refuse!(String.t()) :: no_return()
  defp refuse!(message), do: Options.refuse!(message, inspect(__MODULE__))
end
