defmodule OffBroadwayRustKafka.NativeTermsTest do
  # Not beside others: it opens and closes a great many clients.
  use ExUnit.Case, async: false

  alias OffBroadwayRustKafka.{Kafka, Native, Terms}

  @calls 150
  @budget_ms 500

  @strings ~w(bootstrap.servers group.id client.id debug statistics.interval.ms ssl.ca.pem
              group.protocol session.timeout.ms queued.max.messages.kbytes opaque rebalance_cb
              internal.termination.signal ut_handle_ProduceResponse default_topic_conf
              test.mock.num.brokers enabled_events plugin.library.paths compression.type
              localhost:1 consumer true all a b)

  setup_all do
    seed = ExUnit.configuration()[:seed]
    {:ok, cluster, bootstrap} = Native.mock_start(1)
    on_exit(fn -> Native.mock_stop(cluster) end)
    :ok = Native.mock_topic(cluster, "a", 2)
    {:ok, client} = Native.client_start([{"bootstrap.servers", bootstrap}])
    [seed: seed, cluster: cluster, bootstrap: bootstrap, client: client]
  end

  setup context do
    :rand.seed(:exsss, {context.seed, :erlang.phash2(context.test), 0})
    {:ok, spare, _} = Native.mock_start(1)
    {:ok, gone, _} = Native.mock_start(1)
    :ok = Native.mock_stop(gone)
    consumer = consumer(context.bootstrap)
    closed = consumer(context.bootstrap)
    shared = consumer(context.bootstrap, 0)
    :ok = Native.close(closed, 0)
    assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 10_000

    on_exit(fn ->
      for consumer <- [consumer, shared], do: Native.close(consumer, 0)
      Native.mock_stop(spare)
    end)

    pool = %{
      consumer: [consumer, closed, shared],
      cluster: [spare, gone],
      client: [context.client],
      strings: [context.bootstrap | @strings]
    }

    [pool: pool]
  end

  for {name, arity} = nif <- Terms.nifs() do
    test "#{name}/#{arity} answers any terms or raises ArgumentError, and the member lives on",
         %{pool: pool, seed: seed} do
      nif = unquote(Macro.escape(nif))
      throw_at(nif, seed, fn -> Terms.arguments(nif, pool) end)
      throw_at(nif, seed, fn -> for _ <- 1..unquote(arity)//1, do: Terms.any(pool) end)

      Native.close(hd(pool.consumer), 1_000)
      assert_receive {:off_broadway_rust_kafka, {:closed, _}}, 10_000
    end
  end

  @spec throw_at({atom(), arity()}, integer(), (() -> [term()])) :: :ok
  defp throw_at(nif, seed, arguments) do
    until = System.monotonic_time(:millisecond) + @budget_ms

    1..@calls
    |> Stream.take_while(fn _ -> System.monotonic_time(:millisecond) < until end)
    |> Enum.each(fn _ -> call(nif, arguments.(), seed) end)
  end

  @spec call({atom(), arity()}, [term()], integer()) :: :ok
  defp call({name, _}, arguments, seed) do
    apply(Native, name, arguments) |> let_go()
  rescue
    ArgumentError -> :ok
  catch
    kind, reason ->
      shown = inspect(arguments, limit: 20, printable_limit: 200)
      flunk("seed #{seed}: #{name} with #{shown}: #{Exception.format_banner(kind, reason)}")
  end

  # What a call has started must not pile up.
  @spec let_go(term()) :: :ok
  defp let_go({:ok, cluster, _bootstrap}), do: Native.mock_stop(cluster)

  defp let_go({:ok, resource}) when is_reference(resource) do
    Native.close(resource, 0)
  rescue
    ArgumentError -> :ok
  end

  defp let_go(_result), do: :ok

  @spec consumer(String.t(), non_neg_integer()) :: Native.consumer()
  defp consumer(bootstrap, lanes \\ 2) do
    {:ok, consumer} =
      Native.start(%{
        properties: [{"bootstrap.servers", bootstrap}, {"group.id", Kafka.random_name("group")}],
        topics: [{"a", :earliest}],
        lanes: lanes,
        commit_interval: 0,
        commit_threshold: nil,
        commit_by_hand: false,
        drain_timeout: 0,
        max_in_flight: 10,
        max_buffered_bytes: 64_000_000,
        chunk_size: nil,
        headers: true,
        unacked_timeout: nil,
        paused: {false, []}
      })

    consumer
  end
end
