defmodule OffBroadwayRustKafka.History.Producer do
  @moduledoc false
  # The product's producer, with what it is asked for and what it emits written down.

  use GenStage

  alias Broadway.Message
  alias OffBroadwayRustKafka.History.{Acknowledger, Member, Sink, Spans}
  alias OffBroadwayRustKafka.Producer

  @behaviour Broadway.Producer

  @enforce_keys [:tag, :lane, :state]
  defstruct @enforce_keys

  @type t :: %__MODULE__{tag: Acknowledger.tag(), lane: term(), state: term()}

  @impl Broadway.Producer
  def prepare_for_start(module, broadway) do
    {__MODULE__, given} = broadway[:producer][:module]
    {history, given} = Keyword.pop!(given, :history)
    {member, shared?} = member(history, broadway[:name], given[:group_id])
    broadway = put_in(broadway[:producer][:module], {Producer, given})
    {children, broadway} = Producer.prepare_for_start(module, broadway)
    {Producer, left} = broadway[:producer][:module]

    broadway =
      broadway
      |> put_in([:producer, :module], {__MODULE__, [history: member] ++ left})
      |> Keyword.update!(:processors, &unwrapped/1)
      |> Keyword.update(:batchers, [], &unwrapped/1)

    {if(shared?, do: children, else: Member.children(member, children)), broadway}
  end

  # One that pipelines share is written down by itself.
  @spec member(Member.t() | map(), term(), String.t() | nil) :: {Member.t(), boolean()}
  defp member(%Member{} = member, _name, _group), do: {member, true}
  defp member(history, name, group), do: {Member.new(history, name, group), false}

  # Messages are routed as they would be without a history.
  @spec unwrapped(keyword()) :: keyword()
  defp unwrapped(stages) do
    for {key, options} <- stages do
      {key, Keyword.update!(options, :partition_by, fn own -> &own.(Acknowledger.unwrap(&1)) end)}
    end
  end

  @impl GenStage
  def init(options) do
    {member, options} = Keyword.pop!(options, :history)
    tag = Member.tag(member)
    lane = lane(options[:broadway], member)
    own = %__MODULE__{tag: tag, lane: lane, state: nil}
    write(own, :lane, lane)
    with {:producer, state} <- Producer.init(options), do: {:producer, %{own | state: state}}
  end

  # Of a member that is shared each pipeline has its own.
  @spec lane(keyword(), Member.t()) :: term()
  defp lane(broadway, %{name: name}) do
    if broadway[:name] == name,
      do: broadway[:index],
      else: "#{inspect(broadway[:name])}, #{broadway[:index]}"
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

  @spec emitted([Message.t()], t()) :: [Message.t()]
  defp emitted([], _own), do: []

  defp emitted(messages, %{tag: {sink, member, _} = tag, lane: lane}) do
    messages
    |> Enum.chunk_by(fn %{acknowledger: {_, _, {slot, epoch, _}}} -> {slot, epoch} end)
    |> Enum.each(fn [%{acknowledger: {_, _, {slot, epoch, _}}, metadata: metadata} | _] = run ->
      place = {metadata.topic, metadata.partition}
      Acknowledger.put_place(tag, slot, place)
      offsets = Enum.flat_map(run, &offsets/1)
      spans = Spans.of_run(offsets)
      # Who asks for a chunk asks for all that it carries.
      more = length(offsets) - length(run)
      if more > 0, do: Sink.write(sink, member, :demanded, nil, nil, {lane, more})
      Sink.write(sink, member, :delivered, place, epoch, {lane, spans})
    end)

    Enum.map(messages, &Acknowledger.wrap(&1, tag))
  end

  @spec offsets(Message.t()) :: [integer()]
  defp offsets(%{acknowledger: {_, _, {_, _, [_ | _]}}, data: records}),
    do: Enum.map(records, &elem(&1, 0))

  defp offsets(%{acknowledger: {_, _, {_, _, offset}}}), do: [offset]

  @spec write(t(), atom(), term()) :: :ok
  defp write(%{tag: {sink, member, _}}, kind, value),
    do: Sink.write(sink, member, kind, nil, nil, value)
end
