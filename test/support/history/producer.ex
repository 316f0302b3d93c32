defmodule OffBroadwayRustKafka.History.Producer do
  @moduledoc false
  # The product's producer, with what it is asked for and what it emits written down.

  use GenStage

  alias OffBroadwayRustKafka.{History, Native, Producer}
  alias OffBroadwayRustKafka.History.{Acknowledger, Member, Sink, Spans}

  @behaviour Broadway.Producer

  @enforce_keys [:sink, :member, :lane, :state]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          sink: Sink.t(),
          member: History.member(),
          lane: non_neg_integer(),
          state: term()
        }

  @impl Broadway.Producer
  def prepare_for_start(module, broadway) do
    {__MODULE__, given} = broadway[:producer][:module]
    {history, given} = Keyword.pop!(given, :history)
    member = Member.new(history, broadway[:name])
    broadway = put_in(broadway[:producer][:module], {Producer, given})
    {children, broadway} = Producer.prepare_for_start(module, broadway)
    {Producer, left} = broadway[:producer][:module]

    {Member.children(member, children),
     put_in(broadway[:producer][:module], {__MODULE__, [history: member] ++ left})}
  end

  @impl GenStage
  def init(options) do
    {member, options} = Keyword.pop!(options, :history)
    {sink, name} = Member.current(member)
    lane = options[:broadway][:index]
    Sink.write(sink, name, :lane, nil, nil, lane)

    with {:producer, state} <- Producer.init(options),
         do: {:producer, %__MODULE__{sink: sink, member: name, lane: lane, state: state}}
  end

  @impl GenStage
  def handle_demand(demand, own) do
    write(own, :demanded, {own.lane, demand})
    record(Producer.handle_demand(demand, own.state), own)
  end

  @impl GenStage
  def handle_info(message, own) do
    with {:DOWN, _, :process, pid, reason} <- message,
         do: write(own, :down, {inspect(pid), inspect(reason)})

    record(Producer.handle_info(message, own.state), own)
  end

  @impl GenStage
  def handle_call(request, from, own),
    do: record(Producer.handle_call(request, from, own.state), own)

  @impl Broadway.Producer
  def prepare_for_draining(own) do
    write(own, :draining, own.lane)
    record(Producer.prepare_for_draining(own.state), own)
  end

  @spec record(tuple(), t()) :: tuple()
  defp record({:noreply, messages, state}, own),
    do: {:noreply, emitted(messages, own), %{own | state: state}}

  defp record({:reply, reply, messages, state}, own),
    do: {:reply, reply, emitted(messages, own), %{own | state: state}}

  @spec emitted([Broadway.Message.t()], t()) :: [Broadway.Message.t()]
  defp emitted([], _own), do: []

  defp emitted(messages, own) do
    messages
    |> Enum.chunk_by(&{History.place(&1), epoch(&1)})
    |> Enum.each(fn [message | _] = run ->
      spans = run |> Enum.map(&offset/1) |> Spans.of_run()

      Sink.write(
        own.sink,
        own.member,
        :delivered,
        History.place(message),
        epoch(message),
        {own.lane, spans}
      )
    end)

    for %{acknowledger: {module, consumer, data}} = message <- messages do
      OffBroadwayRustKafka.Acknowledger = module
      %{message | acknowledger: {Acknowledger, {consumer, {own.sink, own.member}}, data}}
    end
  end

  @spec write(t(), atom(), term()) :: :ok
  defp write(own, kind, value), do: Sink.write(own.sink, own.member, kind, nil, nil, value)

  @spec epoch(Broadway.Message.t()) :: Native.epoch()
  defp epoch(%{acknowledger: {_, _, {_, epoch, _}}}), do: epoch

  @spec offset(Broadway.Message.t()) :: Native.offset()
  defp offset(%{acknowledger: {_, _, {_, _, offset}}}), do: offset
end
