defmodule OffBroadwayRustKafka.History.Sink do
  @moduledoc false
  # Where events are written: to a table in this VM, or, on a node that may be killed, to files, one
  # for each process. A write to a file is one call, and is in the file when it returns.

  alias OffBroadwayRustKafka.History

  @type t :: {:table, :ets.tid()} | {:dir, Path.t()}

  # A handler that goes on in its partition adds to what it wrote, for this long.
  @run_ns 10_000_000

  @spec new_table() :: :ets.tid()
  def new_table, do: :ets.new(__MODULE__, [:ordered_set, :public, write_concurrency: true])

  @spec write(t(), History.member() | nil, atom(), History.place() | nil, term(), term()) :: :ok
  def write(sink, member, kind, place, epoch, value),
    do: write(sink, {System.os_time(:nanosecond), member, kind, place, epoch, value})

  @spec write(t(), History.event()) :: :ok
  def write({:table, table}, {time, member, kind, place, epoch, value}) do
    :ets.insert(table, {key(time), member, kind, place, epoch, value})
    :ok
  end

  def write({:dir, dir}, event) do
    bytes = :erlang.term_to_binary(event)
    :ok = :file.write(file(dir), [<<byte_size(bytes)::32>>, bytes])
  end

  @doc "A record, or all of a span, was handled: cheap, as it is called for each."
  @spec handled(t(), History.member(), History.place(), non_neg_integer(), integer() | span) ::
          :ok
        when span: {first :: integer(), last :: integer()}
  def handled(sink, member, place, epoch, offset) when is_integer(offset),
    do: handled(sink, member, place, epoch, {offset, offset})

  def handled({:table, table}, member, place, epoch, {from, to}) do
    now = System.os_time(:nanosecond)

    case Process.get({__MODULE__, place}) do
      {{time, _} = key, ^member, ^epoch, first, last}
      when from == last + 1 and now - time < @run_ns ->
        :ets.update_element(table, key, {6, [{first, to}]})
        Process.put({__MODULE__, place}, {key, member, epoch, first, to})

      _another_run ->
        key = key(now)
        :ets.insert(table, {key, member, :handled, place, epoch, [{from, to}]})
        Process.put({__MODULE__, place}, {key, member, epoch, from, to})
    end

    :ok
  end

  def handled(sink, member, place, epoch, span),
    do: write(sink, member, :handled, place, epoch, [span])

  @spec read(t()) :: [History.event()]
  def read({:table, table}) do
    for {{time, _}, member, kind, place, epoch, value} <- :ets.tab2list(table),
        do: {time, member, kind, place, epoch, value}
  end

  def read({:dir, dir}) do
    for path <- Path.wildcard(dir <> "/*"), event <- decode(File.read!(path)), do: event
  end

  # What a kill has cut short is no event.
  @spec decode(binary()) :: [History.event()]
  defp decode(<<size::32, bytes::binary-size(size), rest::binary>>),
    do: [:erlang.binary_to_term(bytes) | decode(rest)]

  defp decode(_cut_short), do: []

  @spec key(integer()) :: {integer(), integer()}
  defp key(time), do: {time, :erlang.unique_integer([:monotonic])}

  @spec file(Path.t()) :: :file.fd()
  defp file(dir) do
    with nil <- Process.get({__MODULE__, dir}) do
      {:ok, file} = :file.open(Path.join(dir, "#{:erlang.pid_to_list(self())}"), [:append, :raw])
      Process.put({__MODULE__, dir}, file)
      file
    end
  end
end
