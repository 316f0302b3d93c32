defmodule Pins.BroadwayTest do
  use ExUnit.Case, async: true

  alias Broadway.{BatchInfo, CallerAcknowledger, Message, NoopAcknowledger}

  @moduletag :capture_log
  @wait 2_000

  defmodule Source do
    use GenStage
    @behaviour Broadway.Producer

    @impl Broadway.Producer
    def prepare_for_start(_module, opts), do: {[], opts}

    @impl GenStage
    def init(opts) do
      send(opts[:test], {:init, opts})
      {:producer, opts[:test]}
    end

    @impl GenStage
    def handle_demand(demand, test) do
      send(test, {:demand, demand})
      {:noreply, [], test}
    end

    @impl GenStage
    def handle_call({:emit, messages}, _from, test), do: {:reply, :ok, messages, test}

    @impl GenStage
    def handle_info(message, test) do
      send(test, {:info, message})
      {:noreply, [], test}
    end
  end

  # Each step of a message is what the pipeline's context says, by default nothing.
  defmodule Plain do
    use Broadway

    @impl Broadway
    def handle_message(processor, message, context) do
      Map.get(context, :handle, & &1).(message)
    after
      send(context.test, {:handled, processor, self(), message.data})
    end

    @impl Broadway
    def handle_batch(batcher, messages, info, context) do
      send(context.test, {:batch, batcher, Enum.map(messages, & &1.data), info, self()})
      Map.get(context, :batch, & &1).(messages)
    end
  end

  defmodule Full do
    use Broadway

    @impl Broadway
    defdelegate handle_message(processor, message, context), to: Plain

    @impl Broadway
    defdelegate handle_batch(batcher, messages, info, context), to: Plain

    @impl Broadway
    def handle_failed(messages, context) do
      send(context.test, {:failed, Enum.map(messages, &{&1.data, &1.status})})
      Map.get(context, :failed, & &1).(messages)
    end
  end

  defp start(module \\ Plain, opts \\ []) do
    {steps, opts} = Keyword.split(opts, [:handle, :batch, :failed])
    name = :"pins_#{System.unique_integer([:positive])}"

    opts =
      Keyword.merge(
        [
          name: name,
          context: Map.new([test: self()] ++ steps),
          producer: [module: {Source, test: self()}],
          processors: [default: [concurrency: 1]]
        ],
        opts
      )

    start_supervised!(%{id: name, start: {Broadway, :start_link, [module, opts]}})
    name
  end

  defp messages(list, ack_ref \\ :ref),
    do: for(data <- list, do: %Message{data: data, acknowledger: acknowledger(ack_ref)})

  defp acknowledger(ack_ref), do: CallerAcknowledger.init({self(), ack_ref}, :data)

  defp emit(name, messages) do
    [producer] = Broadway.producer_names(name)
    GenStage.call(producer, {:emit, messages})
  end

  defp data(messages), do: Enum.map(messages, & &1.data)

  describe "starting" do
    test "the producer is given the topology's options and its index" do
      name = start(Plain, producer: [module: {Source, test: self()}, concurrency: 2])
      assert_receive {:init, first}, @wait
      assert_receive {:init, second}, @wait
      assert [0, 1] = Enum.sort([first[:broadway][:index], second[:broadway][:index]])
      assert first[:broadway][:name] == name
      assert first[:broadway][:processors][:default][:max_demand] == 10
      assert first[:broadway][:producer][:concurrency] == 2

      assert [producer_0, producer_1] = Broadway.producer_names(name)
      assert Process.whereis(producer_0) != Process.whereis(producer_1)
    end

    test "an option that no one knows is refused by its name" do
      assert_raise ArgumentError, ~r/unknown \w+ \[:nmae\]/, fn ->
        Broadway.start_link(Plain, nmae: :a)
      end
    end
  end

  describe "processors" do
    test "the producer is asked for max_demand of each, then for what was processed" do
      processors = [default: [concurrency: 2, max_demand: 6, min_demand: 2]]
      name = start(Plain, partition_by: & &1.data, processors: processors)
      assert_receive {:demand, 6}, @wait
      assert_receive {:demand, 6}, @wait
      emit(name, messages(1..12))
      assert_receive {:demand, 4}, @wait
      assert_receive {:demand, 4}, @wait
      for n <- 1..12, do: assert_receive({:handled, :default, _, ^n}, @wait)
      refute_received {:demand, _}
    end

    test "messages are acknowledged once for each acknowledger and ack_ref of a step" do
      name = start()
      emit(name, messages([1, 2], :a) ++ messages([3], :b) ++ messages([4], :a))
      assert_receive {:ack, :a, acked, []}, @wait
      assert data(acked) == [1, 2, 4]
      assert_receive {:ack, :b, [%{data: 3}], []}, @wait
    end

    test "a message that is failed, raises, throws or exits fails alone" do
      handle = fn
        %{data: 1} = message -> Message.failed(message, :unwanted)
        %{data: 2} -> raise ArgumentError, "two"
        %{data: 3} -> throw(:three)
        %{data: 4} -> exit(:four)
        %{data: 5} -> :not_a_message
        message -> Message.put_data(message, :fine)
      end

      name = start(Full, handle: handle, processors: [default: [concurrency: 1, max_demand: 100]])
      emit(name, messages(1..6))
      assert_receive {:ack, :ref, [%{data: :fine, status: :ok}], failed}, @wait

      assert [
               %{data: 1, status: {:failed, :unwanted}},
               %{data: 2, status: {:error, %ArgumentError{}, [_ | _]}},
               %{data: 3, status: {:throw, :three, _}},
               %{data: 4, status: {:exit, :four, _}},
               %{data: 5, status: {:error, _, _}}
             ] = failed

      assert_receive {:failed, [{1, _}, {2, _}, {3, _}, {4, _}, {5, _}]}, @wait
    end

    test "handle_failed/2 may change a message; when it raises the messages fail as they are" do
      handle = &Message.failed(&1, :bad)
      failed = fn messages -> Enum.map(messages, &Message.put_data(&1, {:seen, &1.data})) end
      name = start(Full, handle: handle, failed: failed)
      emit(name, messages([1]))
      assert_receive {:ack, :ref, [], [%{data: {:seen, 1}}]}, @wait

      name = start(Full, handle: handle, failed: fn _ -> raise "broken" end)
      emit(name, messages([2]))
      assert_receive {:ack, :ref, [], [%{data: 2, status: {:failed, :bad}}]}, @wait
    end

    test "ack_immediately acknowledges at once, and the end of the pipeline does no more" do
      test = self()

      handle = fn message ->
        acked = Message.ack_immediately(message)
        send(test, {:now, acked.acknowledger})
        acked
      end

      name = start(Plain, handle: handle, batchers: [default: [batch_size: 1]])
      emit(name, messages([1]))
      assert_receive {:ack, :ref, [%{data: 1}], []}, @wait
      noop = NoopAcknowledger.init()
      assert_receive {:now, ^noop}, @wait
      assert_receive {:batch, :default, [1], _, batch_processor}, @wait
      :sys.get_state(batch_processor)
      refute_received {:ack, _, _, _}
    end

    test "ack_immediately sorts by status" do
      [one, two, three] = messages([1, 2, 3])
      acked = Message.ack_immediately([one, Message.failed(two, :bad), three])
      assert Enum.all?(acked, &(&1.acknowledger == NoopAcknowledger.init()))
      assert_received {:ack, :ref, [%{data: 1}, %{data: 3}], [%{data: 2}]}
    end

    test "what other processes send the producer's name reaches the producer" do
      name = start()
      [producer] = Broadway.producer_names(name)
      send(producer, :hello)
      assert_receive {:info, :hello}, @wait
    end
  end

  describe "batchers" do
    test "a batch leaves when it is full, and says so" do
      name = start(Plain, batchers: [default: [batch_size: 3]])
      emit(name, messages(1..7))
      assert_receive {:batch, :default, [1, 2, 3], info, _}, @wait

      assert %BatchInfo{batcher: :default, batch_key: :default, size: 3, trigger: :size} = info

      assert_receive {:batch, :default, [4, 5, 6], %{trigger: :size}, _}, @wait
      assert_receive {:ack, :ref, acked, []}, @wait
      assert data(acked) == [1, 2, 3]
    end

    test "a batch that is not full leaves after batch_timeout" do
      name = start(Plain, batchers: [default: [batch_size: 100, batch_timeout: 20]])
      emit(name, messages([1, 2]))
      assert_receive {:batch, :default, [1, 2], %{size: 2, trigger: :timeout}, _}, @wait
      emit(name, messages([3]))
      assert_receive {:batch, :default, [3], %{trigger: :timeout}, _}, @wait
    end

    test "each message goes to its batcher, and each batch key has its own batch" do
      handle = fn
        %{data: {batcher, key}} = message ->
          message |> Message.put_batcher(batcher) |> Message.put_batch_key(key)
      end

      batchers = [a: [batch_size: 2], b: [batch_size: 2]]
      name = start(Plain, handle: handle, batchers: batchers)
      emit(name, messages([{:a, 1}, {:b, 1}, {:a, 2}, {:a, 1}, {:b, 1}, {:nowhere, 1}]))
      assert_receive {:batch, :a, [{:a, 1}, {:a, 1}], %{batch_key: 1}, _}, @wait
      assert_receive {:batch, :b, [{:b, 1}, {:b, 1}], %{batch_key: 1}, _}, @wait
      assert_receive {:ack, :ref, [], [%{data: {:nowhere, 1}, status: {:error, _, _}}]}, @wait
    end

    test "a message in flush mode takes its batch with it" do
      flush = fn message ->
        if message.data == 2, do: %{message | batch_mode: :flush}, else: message
      end

      name = start(Plain, handle: flush, batchers: [default: [batch_size: 100]])
      emit(name, messages([1, 2, 3]))
      assert_receive {:batch, :default, [1, 2, 3], %{trigger: :flush}, _}, @wait
    end

    test "a batch that raises fails as a whole; a message may fail alone" do
      name = start(Full, batch: fn _ -> raise "broken" end, batchers: [default: [batch_size: 2]])
      emit(name, messages([1, 2]))
      assert_receive {:ack, :ref, [], [%{data: 1, status: {:error, _, _}}, %{data: 2}]}, @wait
      assert_receive {:failed, [{1, _}, {2, _}]}, @wait

      fail_first = fn [first | rest] -> [Message.failed(first, :bad) | rest] end
      name = start(Full, batch: fail_first, batchers: [default: [batch_size: 2]])
      emit(name, messages([3, 4]))
      assert_receive {:ack, :ref, [%{data: 4}], [%{data: 3}]}, @wait
      assert_receive {:failed, [{3, {:failed, :bad}}]}, @wait
    end
  end

  describe "partition_by" do
    test "a partition stays with one processor, in order" do
      name = start(Plain, partition_by: & &1.data, processors: [default: [concurrency: 3]])
      emit(name, messages([0, 1, 2, 3, 4, 5]))
      for n <- 0..5, do: assert_receive({:handled, :default, _, ^n}, @wait)

      emit(name, messages([30, 31, 32, 33]))

      [a, b, c, d] =
        for n <- 30..33 do
          assert_receive {:handled, :default, pid, ^n}, @wait
          pid
        end

      assert a == d
      assert length(Enum.uniq([a, b, c])) == 3
      processors = for n <- 0..2, do: Process.whereis(:"#{name}.Broadway.Processor_default_#{n}")
      assert [a, b, c] == processors
    end

    test "a batch is of one partition, which chooses its batch processor" do
      name =
        start(Plain, partition_by: & &1.data, batchers: [default: [concurrency: 2, batch_size: 2]])

      emit(name, messages([0, 1, 2, 3]))
      assert_receive {:batch, :default, [0, 2], %{partition: 0}, first}, @wait
      assert_receive {:batch, :default, [1, 3], %{partition: 1}, second}, @wait
      assert first == Process.whereis(:"#{name}.Broadway.BatchProcessor_default_0")
      assert second == Process.whereis(:"#{name}.Broadway.BatchProcessor_default_1")
    end

    test "a batcher asks again, with what the processor made of the message" do
      handle = &Message.update_data(&1, fn n -> n + 1 end)

      name =
        start(Plain,
          handle: handle,
          partition_by: & &1.data,
          batchers: [default: [concurrency: 2, batch_size: 1]]
        )

      emit(name, messages([0]))
      assert_receive {:batch, :default, [1], %{partition: 1}, _}, @wait
    end

    test "a set of processors or batchers may have its own" do
      batchers = [default: [concurrency: 2, batch_size: 1, partition_by: fn _ -> 1 end]]
      name = start(Plain, partition_by: fn _ -> 0 end, batchers: batchers)
      emit(name, messages([0]))
      assert_receive {:batch, :default, [0], %{partition: 1}, _}, @wait
    end
  end

  describe "test messages" do
    test "test_message/3 is handled, flushed and acknowledged to the caller" do
      name = start(Plain, batchers: [default: [batch_size: 100]])
      ref = Broadway.test_message(name, :hello, metadata: %{key: 1})
      assert_receive {:ack, ^ref, [message], []}, @wait
      assert %{data: :hello, metadata: %{key: 1}, batch_mode: :flush} = message
    end

    test "test_batch/3 waits for the batch unless told to flush" do
      name = start(Plain, batchers: [default: [batch_size: 4]])
      ref = Broadway.test_batch(name, [1, 2, 3, 4])
      assert_receive {:ack, ^ref, acked, []}, @wait
      assert data(acked) == [1, 2, 3, 4]

      ref = Broadway.test_batch(name, [5, 6], batch_mode: :flush)
      assert_receive {:ack, ^ref, acked, []}, @wait
      assert data(acked) == [5, 6]
    end
  end
end
