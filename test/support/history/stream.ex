defmodule OffBroadwayRustKafka.History.Stream do
  @moduledoc false
  # A stream of the product with what is asked of it, what it hands out, and what its member tells
  # written down. Each enumeration is a member, of which telemetry knows a process only: the one that
  # watches whoever enumerates.

  alias OffBroadwayRustKafka.{Commits, History, Record}
  alias OffBroadwayRustKafka.History.{Acknowledger, Member, Records, Sink}

  @lane 0

  @doc "To be called by the test, of a stream of this group; one process enumerates it at a time."
  @spec recorded(Enumerable.t(), History.t(), group :: String.t(), label :: String.t()) ::
          Enumerable.t()
  def recorded(stream, history, group, label) do
    member = Member.new(%{sink: History.sink(history), label: label}, __MODULE__, group)
    ExUnit.Callbacks.start_supervised!({Member, member}, id: make_ref())
    &reduce(stream, member, &1, &2)
  end

  @doc "Whether what is told is of this stream: of one whose owner is gone it is known from before."
  @spec own?(map(), Member.t()) :: boolean()
  def own?(%{name: reader, group_id: group}, %{group: group, places: places})
      when is_pid(reader) do
    :ets.member(places, reader) or
      case :ets.lookup(places, :owner) do
        [{:owner, owner}] -> watches?(reader, owner) and :ets.insert(places, {reader, owner})
        [] -> false
      end
  end

  def own?(_metadata, _member), do: false

  @spec watches?(pid(), pid()) :: boolean()
  defp watches?(reader, owner) do
    case Process.info(reader, :monitors) do
      {:monitors, monitors} -> {:process, owner} in monitors
      nil -> false
    end
  end

  # Who is suspended has one in hand, which is acknowledged when it goes on.
  @spec reduce(Enumerable.t(), Member.t(), Enumerable.acc(), Enumerable.reducer()) ::
          Enumerable.result()
  defp reduce(_stream, _member, {:halt, acc}, _fun), do: {:halted, acc}

  defp reduce(stream, member, {:suspend, acc}, fun),
    do: {:suspended, acc, &reduce(stream, member, &1, fun)}

  defp reduce(stream, member, {:cont, acc}, fun) do
    :ets.insert(member.places, {:owner, self()})
    :ok = Member.began(member)
    tag = Member.tag(member)
    write(tag, :lane, @lane)
    write(tag, :demanded, {@lane, 1})

    step = &step(&1, &2, tag, fun)
    go_on(fn -> Enumerable.reduce(stream, {:cont, {acc, nil}}, step) end, tag)
  end

  @spec step(Record.t(), {term(), nil}, Acknowledger.tag(), Enumerable.reducer()) :: term()
  defp step(record, {acc, nil}, tag, fun) do
    {consumer, strategy, _slot, _epoch} = record.source
    Records.belong(consumer, tag)
    Records.delivered([record], tag, @lane)

    try do
      fun.(record, acc)
    catch
      kind, reason ->
        ends(tag, strategy)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {:suspend, acc} ->
        {:suspend, {acc, record}}

      {command, acc} ->
        Records.done([record], tag)
        write(tag, :demanded, {@lane, 1})
        if command == :halt, do: ends(tag, strategy)
        {command, {acc, nil}}
    end
  end

  # Where commits are made by hand, its end makes none.
  @spec ends(Acknowledger.tag(), Commits.strategy()) :: :ok
  defp ends(_tag, :none), do: :ok
  defp ends(tag, _strategy), do: write(tag, :draining, @lane)

  @spec go_on((() -> Enumerable.result()), Acknowledger.tag()) :: Enumerable.result()
  defp go_on(fun, tag) do
    result(fun.(), tag)
  catch
    kind, reason ->
      write(tag, :stopped, kind)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  @spec result(Enumerable.result(), Acknowledger.tag()) :: Enumerable.result()
  defp result({:suspended, {acc, in_hand}, continue}, tag),
    do: {:suspended, acc, &resume(&1, in_hand, continue, tag)}

  defp result({how, {acc, _in_hand}}, tag) do
    write(tag, :stopped, how)
    {how, acc}
  end

  @spec resume(Enumerable.acc(), Record.t() | nil, Enumerable.continuation(), Acknowledger.tag()) ::
          Enumerable.result()
  defp resume({:cont, acc}, in_hand, continue, tag) do
    if in_hand, do: Records.done([in_hand], tag)
    write(tag, :demanded, {@lane, 1})
    go_on(fn -> continue.({:cont, {acc, nil}}) end, tag)
  end

  defp resume({command, acc}, in_hand, continue, tag) do
    if command == :halt && in_hand, do: ends(tag, elem(in_hand.source, 1))
    go_on(fn -> continue.({command, {acc, in_hand}}) end, tag)
  end

  @spec write(Acknowledger.tag(), atom(), term()) :: :ok
  defp write({sink, member, _}, kind, value), do: Sink.write(sink, member, kind, nil, nil, value)
end
