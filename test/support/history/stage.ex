defmodule OffBroadwayRustKafka.History.Stage do
  @moduledoc false
  # The product's stage, with what it is asked for and what it emits written down; and acks and commits
  # beside it, written down before they take effect.

  use GenStage

  alias OffBroadwayRustKafka.{History, Record, Stage}
  alias OffBroadwayRustKafka.History.{Acknowledger, Member, Records, Sink}

  @enforce_keys [:tag, :state]
  defstruct @enforce_keys

  @typep t :: %__MODULE__{tag: Acknowledger.tag(), state: term()}

  @lane 0

  @doc "What writes down what a stage's member tells: to be started before it."
  @spec member(History.t(), keyword()) :: Member.t()
  def member(history, options) do
    given = %{sink: History.sink(history), label: label(options[:name])}
    Member.new(given, options[:name], options[:group_id])
  end

  @spec start_link(Member.t(), keyword()) :: GenServer.on_start()
  def start_link(member, options) do
    start = [__MODULE__, {member, options}, [name: options[:name]]]
    Member.start_consumer(member, {GenStage, :start_link, start})
  end

  @spec label(atom()) :: String.t()
  def label(name), do: name |> inspect() |> String.split(".") |> List.last()

  @doc "Acknowledges records that were handled, and writes it down."
  @spec ack([Record.t()]) :: :ok | {:error, term()}
  def ack(records) do
    Records.done(records)
    Stage.ack(records)
  end

  @doc "Commits records that were handled, with all before them."
  @spec commit([Record.t()]) :: :ok | {:error, term()}
  def commit(records) do
    Records.done(records)
    Stage.commit(records, :sync)
  end

  @impl GenStage
  def init({member, options}) do
    tag = Member.tag(member)
    write(tag, :lane, @lane)

    with {:producer, state, dispatcher} <- Stage.init(options) do
      # For acks, which know the consumer only.
      Records.belong(state.consumer, tag)
      {:producer, %__MODULE__{tag: tag, state: state}, dispatcher}
    end
  end

  @impl GenStage
  def handle_subscribe(kind, options, from, own) do
    {mode, state} = Stage.handle_subscribe(kind, options, from, own.state)
    {mode, %{own | state: state}}
  end

  @impl GenStage
  def handle_cancel(reason, {pid, _} = from, own) do
    write(own.tag, :down, {inspect(pid), inspect(reason)})
    reason |> Stage.handle_cancel(from, own.state) |> record(own)
  end

  @impl GenStage
  def handle_demand(demand, own) do
    write(own.tag, :demanded, {@lane, demand})
    demand |> Stage.handle_demand(own.state) |> record(own)
  end

  @impl GenStage
  def handle_info(message, own), do: message |> Stage.handle_info(own.state) |> record(own)

  @impl GenStage
  def terminate(reason, own), do: Stage.terminate(reason, own.state)

  @spec record(tuple(), t()) :: tuple()
  defp record({:noreply, records, state}, own) do
    Records.delivered(records, own.tag, @lane)
    {:noreply, records, %{own | state: state}}
  end

  defp record({:stop, reason, state}, own), do: {:stop, reason, %{own | state: state}}

  @spec write(Acknowledger.tag(), atom(), term()) :: :ok
  defp write({sink, member, _}, kind, value), do: Sink.write(sink, member, kind, nil, nil, value)
end
