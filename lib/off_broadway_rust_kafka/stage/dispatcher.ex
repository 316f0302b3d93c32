defmodule OffBroadwayRustKafka.Stage.Dispatcher do
  @moduledoc false
  # Hands records to the subscriber that wants most. GenStage's own dispatcher keeps what a subscriber
  # that is gone had asked for, and what comes by that waits in the stage's buffer, where nobody has it
  # and it counts as delivered. This one forgets it, and tells its stage what is wanted by those that
  # are there.

  @behaviour GenStage.Dispatcher

  require Logger

  @typep subscriber :: {demand :: non_neg_integer(), pid(), reference()}
  @typep t :: {[subscriber()], demand :: :counters.counters_ref()}

  @doc "A count of the demand, for the option `:demand`."
  @spec new_demand() :: :counters.counters_ref()
  def new_demand, do: :counters.new(1, [])

  @spec demand(:counters.counters_ref()) :: non_neg_integer()
  def demand(counter), do: :counters.get(counter, 1)

  @impl GenStage.Dispatcher
  @spec init(keyword()) :: {:ok, t()}
  def init(options), do: {:ok, {[], Keyword.fetch!(options, :demand)}}

  @impl GenStage.Dispatcher
  @spec subscribe(keyword(), {pid(), reference()}, t()) :: {:ok, 0, t()}
  def subscribe(_options, {pid, ref}, {subscribers, counter}),
    do: {:ok, 0, {subscribers ++ [{0, pid, ref}], counter}}

  @impl GenStage.Dispatcher
  @spec ask(integer(), {pid(), reference()}, t()) :: {:ok, non_neg_integer(), t()}
  def ask(count, {pid, ref}, {subscribers, counter}) when count >= 0 do
    {{demand, pid, ref}, rest} = take(subscribers, {pid, ref})
    :counters.add(counter, 1, count)
    {:ok, count, {insert({demand + count, pid, ref}, rest), counter}}
  end

  def ask(count, {pid, _ref}, state) do
    Logger.error(
      "#{inspect(OffBroadwayRustKafka.Stage)} expects a demand of 0 or more, got: #{count}, from " <>
        "#{inspect(pid)}; it is ignored"
    )

    {:ok, 0, state}
  end

  @impl GenStage.Dispatcher
  @spec cancel({pid(), reference()}, t()) :: {:ok, 0, t()}
  def cancel(from, {subscribers, counter}) do
    {{demand, _, _}, rest} = take(subscribers, from)
    :counters.sub(counter, 1, demand)
    {:ok, 0, {rest, counter}}
  end

  @impl GenStage.Dispatcher
  @spec dispatch([term()], non_neg_integer(), t()) :: {:ok, [term()], t()}
  def dispatch([], 0, state), do: {:ok, [], state}

  def dispatch(events, length, {[{demand, pid, ref} | rest], counter}) when demand > 0 do
    count = min(demand, length)
    {now, later} = Enum.split(events, count)
    Process.send(pid, {:"$gen_consumer", {self(), ref}, now}, [:noconnect])
    :counters.sub(counter, 1, count)
    dispatch(later, length - count, {insert({demand - count, pid, ref}, rest), counter})
  end

  def dispatch(events, _length, state), do: {:ok, events, state}

  @impl GenStage.Dispatcher
  @spec info(term(), t()) :: {:ok, t()}
  def info(message, state) do
    send(self(), message)
    {:ok, state}
  end

  @spec take([subscriber()], {pid(), reference()}) :: {subscriber(), [subscriber()]}
  defp take(subscribers, {pid, ref}) do
    case List.keytake(subscribers, ref, 2) do
      {subscriber, rest} -> {subscriber, rest}
      nil -> {{0, pid, ref}, subscribers}
    end
  end

  # Those that want most first, and of those that want alike the one that waits longest.
  @spec insert(subscriber(), [subscriber()]) :: [subscriber()]
  defp insert({demand, _, _} = new, [{more, _, _} = first | rest]) when more >= demand,
    do: [first | insert(new, rest)]

  defp insert(new, rest), do: [new | rest]
end
