defmodule OffBroadwayRustKafka.UpgradeNode do
  @moduledoc false
  # An Elixir node of its own that loads the NIF's module once more in the middle of its work, and
  # prints what became of that, and of the work.

  alias OffBroadwayRustKafka.Native

  @topic "orders"
  @group "billing"
  @wait_ms 15_000

  @typedoc "Over the loaded code, or after that was deleted and purged."
  @type way :: :over | :after_purge

  @doc "Runs the node until it ends, and returns what it has printed and its exit status."
  @spec run(way()) :: {String.t(), exit_status :: non_neg_integer()}
  def run(way) do
    ours = Mix.Project.build_path()

    paths =
      for path <- :code.get_path(), path = "#{path}", String.starts_with?(path, ours), do: path

    code = "#{inspect(__MODULE__)}.main(#{inspect(way)})"
    arguments = Enum.flat_map(paths, &["-pa", &1]) ++ ["-e", code]
    System.cmd("elixir", arguments, stderr_to_stdout: true)
  end

  @doc false
  @spec main(way()) :: :ok
  def main(:over) do
    {cluster, bootstrap} = cluster()
    consumer = consumer(bootstrap)
    offset = handle(bootstrap, consumer)
    IO.puts("loaded: #{inspect(:code.load_file(Native))}")
    ^offset = handle(bootstrap, consumer) - 1
    leave(cluster, consumer)
  end

  def main(:after_purge) do
    main = self()
    {holder, monitor} = spawn_monitor(fn -> hold(main) end)

    receive do
      :at_work -> :ok
    end

    true = :code.delete(Native)
    :code.purge(Native)
    Process.exit(holder, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end

    IO.puts("loaded: #{inspect(:code.load_file(Native))}")
    {cluster, bootstrap} = cluster()
    consumer = consumer(bootstrap)
    handle(bootstrap, consumer)
    leave(cluster, consumer)
  end

  # A member at work; the resource goes with the process, and the member's threads outlive both.
  @spec hold(pid()) :: no_return()
  defp hold(main) do
    {cluster, bootstrap} = cluster()
    consumer = consumer(bootstrap)
    handle(bootstrap, consumer)
    send(main, :at_work)

    receive do
      :never -> {cluster, consumer}
    end
  end

  @spec cluster() :: {Native.cluster(), bootstrap :: String.t()}
  defp cluster do
    {:ok, cluster, bootstrap} = Native.mock_start(1)
    :ok = Native.mock_topic(cluster, @topic, 1)
    {cluster, bootstrap}
  end

  @spec consumer(String.t()) :: Native.consumer()
  defp consumer(bootstrap) do
    {:ok, consumer} =
      Native.start(%{
        properties: [{"bootstrap.servers", bootstrap}, {"group.id", @group}],
        topics: [{@topic, :earliest}],
        lanes: 1,
        commit_interval: 0,
        commit_threshold: nil,
        commit_by_hand: false,
        drain_timeout: 1_000,
        max_in_flight: 10,
        max_buffered_bytes: 64_000_000,
        chunk_size: nil,
        headers: true,
        unacked_timeout: nil,
        paused: {false, []}
      })

    :ok = Native.attach(consumer, 0)
    consumer
  end

  # Produces a record, takes and acks it, and waits until its offset is committed.
  @spec handle(String.t(), Native.consumer()) :: offset :: non_neg_integer()
  defp handle(bootstrap, consumer) do
    {:ok, client} = Native.client_start([{"bootstrap.servers", bootstrap}])
    {:ok, [offset]} = Native.client_produce(client, @topic, [{0, nil, "", [], nil}], @wait_ms)
    {slot, epoch} = pull(consumer, offset)
    :ok = Native.ack(consumer, [{slot, epoch, offset}])
    next = offset + 1

    event(fn
      {:committed, offsets, _} -> {@topic, 0, next} in offsets
      _ -> false
    end)

    {:ok, [{@topic, 0, ^next}]} = Native.client_committed(client, @group, [{@topic, 0}], @wait_ms)
    IO.puts("committed: #{next}")
    offset
  end

  @spec pull(Native.consumer(), non_neg_integer()) :: {Native.slot(), Native.epoch()}
  defp pull(consumer, offset) do
    case Native.pull(consumer, 0, 1) do
      {_, 1, [{@topic, 0, slot, epoch, [{^offset, _, _, _, _}]}]} ->
        {slot, epoch}

      {:armed, 0, []} ->
        event(&(&1 == :wake))
        pull(consumer, offset)
    end
  end

  @spec leave(Native.cluster(), Native.consumer()) :: :ok
  defp leave(cluster, consumer) do
    :ok = Native.close(consumer, @wait_ms)
    event(&(&1 == {:closed, :ok}))
    :ok = Native.mock_stop(cluster)
    IO.puts("left")
  end

  @spec event((term() -> boolean())) :: :ok
  defp event(wanted?) do
    receive do
      {:off_broadway_rust_kafka, event} -> if wanted?.(event), do: :ok, else: event(wanted?)
    after
      @wait_ms -> raise "waited in vain"
    end
  end
end
