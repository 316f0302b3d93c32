defmodule OffBroadwayRustKafka.History.StageGroup do
  @moduledoc false
  # The product's `Stage.Group`, with what its member tells written down, from before that starts until
  # after it has ended; and what each subscriber is handed and has handled.
  #
  # Each partition is a lane. What its stage was asked for is not seen from here, but what its subscriber
  # wants is: GenStage keeps so much asked for, less what it has in hand.

  use Supervisor

  alias OffBroadwayRustKafka.{History, Options, Record, Stage}
  alias OffBroadwayRustKafka.History.{Acknowledger, Member, Records, Sink}

  @doc "To be started in the place of a group with these options; its label is that of its name."
  @spec member(History.t(), keyword()) :: Member.t()
  def member(history, options) do
    given = %{sink: History.sink(history), label: History.Stage.label(options[:name])}
    Member.new(given, options[:name], options[:group_id])
  end

  @spec start_link(Member.t(), keyword()) :: Supervisor.on_start()
  def start_link(member, options) do
    checked = Options.Stage.group!(options)
    Supervisor.start_link(__MODULE__, {member, checked}, name: options[:name])
  end

  @impl Supervisor
  def init({member, options}) do
    {:ok, {flags, children}} = Stage.Group.init(fn -> options end)
    children = member |> Member.children(children) |> Enum.map(&Supervisor.child_spec(&1, []))
    {:ok, {flags, children}}
  end

  @doc "A subscriber of a partition starts, and wants so many at a time."
  @spec subscribed(Member.t(), History.place(), pos_integer()) :: Acknowledger.tag()
  def subscribed(member, place, max_demand) do
    tag = Member.tag(member)
    write(tag, :lane, lane(place))
    asked(tag, place, max_demand)
    tag
  end

  @spec asked(Acknowledger.tag(), History.place(), pos_integer()) :: :ok
  def asked(tag, place, demand), do: write(tag, :demanded, {lane(place), demand})

  @spec got([Record.t(), ...], Acknowledger.tag()) :: :ok
  def got([record | _] = records, tag),
    do: Records.delivered(records, tag, lane({record.topic, record.partition}))

  @doc "They were handled, are about to be acknowledged, and as many are wanted again."
  @spec handled([Record.t(), ...], Acknowledger.tag()) :: :ok
  def handled([record | _] = records, tag) do
    :ok = Records.done(records, tag)
    asked(tag, {record.topic, record.partition}, length(records))
  end

  @doc "From now on it is stopped, as its supervisor would."
  @spec draining(Member.t()) :: :ok
  def draining(member), do: member |> Member.tag() |> write(:draining, nil)

  @spec lane(History.place()) :: String.t()
  defp lane({topic, partition}), do: "#{topic}/#{partition}"

  @spec write(Acknowledger.tag(), atom(), term()) :: :ok
  defp write({sink, member, _}, kind, value), do: Sink.write(sink, member, kind, nil, nil, value)
end
