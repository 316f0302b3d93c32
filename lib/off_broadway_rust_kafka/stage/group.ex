defmodule OffBroadwayRustKafka.Stage.Group do
  @moduledoc """
  A member of a consumer group with an `OffBroadwayRustKafka.Stage` and a subscriber of your own for each
  partition that is assigned to it.

      children = [
        {OffBroadwayRustKafka.Stage.Group,
         name: MyApp.Orders,
         subscriber: MyApp.Subscriber,
         extra_args: [repo: MyApp.Repo],
         hosts: "localhost:9092",
         group_id: "my-group",
         topics: ["orders"]}
      ]

  The subscriber is a module with a `start_link/1`, called with `{producer, topic, partition, extra_args}`,
  that starts a process which subscribes to `producer`: see `OffBroadwayRustKafka.Stage.Subscriber` for one
  that acknowledges what it has handled, and [GenStage and Flow](guides/genstage_and_flow.md) for a Flow.

  ## Options

  #{NimbleOptions.docs(OffBroadwayRustKafka.Options.Stage.group_schema())}

  All options are checked before anything starts; an `ArgumentError` says which one is wrong.

  ## What happens when

    * A partition is assigned: its stage and its subscriber are started.
    * It is revoked: its stage emits nothing more, and what its subscriber has may be acknowledged, and is
      committed, within `:drain_timeout`. Then both end.
    * A subscriber fails to start, ends or crashes: it is started again, at once a few times and else five
      seconds later, and gets what is not acknowledged, from the oldest on. Each time there is an `:error`
      event and a log line with the reason, of the code `:subscriber_failed`. The member and the other
      partitions go on meanwhile.
    * A stage crashes: the same, once its subscriber has finished what it was handed, within
      `:drain_timeout`. It ends whatever the `:cancel` of its subscription.
    * The group is stopped: no stage emits anything more, each subscriber finishes what it was handed, as long as
      `:drain_timeout` allows, what is acknowledged is committed, and the member leaves.

  Each subscriber has a process, and a queue, of its own; all are fed by one member over one set of
  connections, however many partitions there are. `OffBroadwayRustKafka.lag/1` and the other functions of
  that module take the group's name.
  """

  use Supervisor

  alias OffBroadwayRustKafka.{Assignment, Consumer, Membership, Options}
  alias OffBroadwayRustKafka.Stage.{Pair, Partitions}

  @doc "Starts a group member and what handles its partitions, linked to the calling process."
  @spec start_link(keyword() | (() -> keyword())) :: Supervisor.on_start()
  def start_link(options) when is_function(options, 0), do: start_link(options.())

  def start_link(options) do
    options = Options.Stage.group!(options)
    name = if options.name, do: [name: options.name], else: []
    Supervisor.start_link(__MODULE__, fn -> options end, name)
  end

  # Supervisors show what they and their children are started with, and options may hold secrets.
  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: if(Keyword.keyword?(options), do: options[:name]) || __MODULE__,
      start: {__MODULE__, :start_link, [fn -> options end]},
      type: :supervisor
    }
  end

  @impl Supervisor
  def init(given) do
    %Options.Stage{member: member} = options = given.()
    name = options.name || self()
    table = Consumer.new_table()
    group = group(options, table, name)
    pairs = {Assignment, {table, {Partitions, group}}}

    case Membership.consumer(member, table, name, 0) do
      {:ok, arg} ->
        Supervisor.init([{Consumer, arg}, pairs], strategy: :rest_for_one)

      {:error, error} ->
        raise error
    end
  end

  @spec group(Options.Stage.t(), Consumer.table(), term()) :: Pair.group()
  defp group(%{member: member} = options, table, name) do
    %{
      table: table,
      context: %{name: name, group_id: member.group_id},
      subscriber: options.subscriber,
      extra_args: options.extra_args,
      strategy: member.commit_strategy,
      drain_timeout: member.drain_timeout
    }
  end
end
