defmodule OffBroadwayRustKafka.Reading do
  @moduledoc false
  # One enumeration of a stream. A record is acknowledged when whoever enumerates has done with it: asks
  # for the next one, or has enough.

  alias OffBroadwayRustKafka.{Native, Options, Reader, Record}

  @enforce_keys [:reader, :idle_ms]
  defstruct @enforce_keys ++ [:in_hand, records: []]

  @typep t :: %__MODULE__{
           reader: pid(),
           idle_ms: timeout(),
           in_hand: Record.t() | nil,
           records: [Record.t()]
         }

  @spec reduce(Options.t(), idle_ms :: timeout(), Enumerable.acc(), Enumerable.reducer()) ::
          Enumerable.result()
  def reduce(_options, _idle_ms, {:halt, acc}, _fun), do: {:halted, acc}

  def reduce(options, idle_ms, {:suspend, acc}, fun),
    do: {:suspended, acc, &reduce(options, idle_ms, &1, fun)}

  def reduce(options, idle_ms, {:cont, acc}, fun) do
    case Reader.start(options) do
      {:ok, reader} -> next(%__MODULE__{reader: reader, idle_ms: idle_ms}, acc, fun)
      {:error, error} -> raise error
    end
  end

  # One that was suspended and is halted has not done with what it got: it may never have seen it.
  @spec resume(t(), Enumerable.acc(), Enumerable.reducer()) :: Enumerable.result()
  defp resume(reading, {:cont, acc}, fun), do: next(reading, acc, fun)
  defp resume(reading, {:suspend, acc}, fun), do: suspended(reading, acc, fun)

  defp resume(reading, {:halt, acc}, _fun) do
    Reader.stop(reading.reader)
    {:halted, acc}
  end

  @spec next(t(), term(), Enumerable.reducer()) :: Enumerable.result()
  defp next(%{records: []} = reading, acc, fun) do
    reading = ack(reading)

    case Reader.take(reading.reader, reading.idle_ms) do
      [_ | _] = records ->
        next(%{reading | records: records}, acc, fun)

      :idle ->
        Reader.stop(reading.reader)
        {:done, acc}

      {:error, error} ->
        Reader.stop(reading.reader)
        raise error
    end
  end

  defp next(%{records: [record | records]} = reading, acc, fun) do
    reading = %{ack(reading) | in_hand: record, records: records}

    try do
      fun.(record, acc)
    catch
      kind, reason ->
        Reader.stop(reading.reader)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {:cont, acc} ->
        next(reading, acc, fun)

      {:suspend, acc} ->
        suspended(reading, acc, fun)

      {:halt, acc} ->
        ack(reading)
        Reader.stop(reading.reader)
        {:halted, acc}
    end
  end

  @spec suspended(t(), term(), Enumerable.reducer()) :: Enumerable.result()
  defp suspended(reading, acc, fun), do: {:suspended, acc, &resume(reading, &1, fun)}

  @spec ack(t()) :: t()
  defp ack(%{in_hand: nil} = reading), do: reading

  defp ack(%{in_hand: %{source: {consumer, _, slot, epoch}, offset: offset}} = reading) do
    Native.ack(consumer, [{slot, epoch, offset}])
    %{reading | in_hand: nil}
  end
end
