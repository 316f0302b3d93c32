defmodule OffBroadwayRustKafka.InspectionTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Consumer, Error}

  @of_partitions [:assignment, :lag, :offsets]
  @functions [:statistics | @of_partitions]

  defp ask(function, pipeline), do: apply(OffBroadwayRustKafka, function, [pipeline])

  # What `offsets/1` answers once it is as it should be.
  defp await_offsets(pipeline, as_it_should_be?) do
    await(10_000, fn ->
      {:ok, offsets} = OffBroadwayRustKafka.offsets(pipeline)
      if as_it_should_be?.(offsets), do: offsets, else: {:not_yet, inspect(offsets)}
    end)
  end

  test "a running pipeline says what it is assigned, how far behind it is and where it stands", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 5)
    test = self()

    hold = fn message ->
      if {message.metadata.partition, message.metadata.offset} == {1, 3},
        do: TestPipeline.hold(test, :held)

      message
    end

    %{name: name} =
      pipeline =
      TestPipeline.start(kafka, [topic],
        handle: hold,
        producer: [unacked_timeout: 1_000],
        processors: [max_demand: 1]
      )

    assert_receive {:held, handler, :held}, 10_000
    await_committed(kafka, pipeline.group, %{{topic, 0} => 5, {topic, 1} => 3})

    # One more waits in front of the held one's processor.
    [left, right] =
      await_offsets(name, fn offsets ->
        match?([%{committed: 5}, %{committed: 3, unacked_ms: ms}] when ms != nil, offsets)
      end)

    assert %{topic: ^topic, partition: 0, position: 5, committable: 5, high_watermark: 5} = left
    assert %{low_watermark: 0} = left
    assert %{delivered: 5, acked: 5, in_flight: 0, unacked_ms: nil} = left
    assert %{topic: ^topic, partition: 1, committable: 3, high_watermark: 5, acked: 3} = right
    assert right.position in 4..5
    assert right.in_flight == right.position - 3
    assert right.delivered == right.acked + right.in_flight

    assert {:ok, [%{partition: 0, lag: 0, backlog: 0}, %{partition: 1, lag: 2} = behind]} =
             OffBroadwayRustKafka.lag(name)

    assert behind.backlog == 5 - right.position

    assert {:ok,
            [
              %{topic: ^topic, partition: 0, epoch: 1, start_offset: 0, producer: 0},
              %{topic: ^topic, partition: 1, epoch: 1, start_offset: 0, producer: 0}
            ]} = OffBroadwayRustKafka.assignment(name)

    send(handler, :go)
    await_offsets(name, &Enum.all?(&1, fn it -> it.committed == 5 end))
  end

  test "a pipeline answers by its pid as by its name", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, 1)
    pid = Process.whereis(pipeline.name)
    assert {:ok, [%{topic: ^topic}]} = OffBroadwayRustKafka.assignment(pid)
  end

  test "a pipeline answers whose processes take no message", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, 1)

    busy = [
      consumer(pipeline),
      Process.whereis(pipeline.name)
      | Enum.map(Broadway.producer_names(pipeline.name), &Process.whereis/1)
    ]

    Enum.each(busy, &:erlang.suspend_process/1)

    try do
      for function <- @of_partitions,
          do: assert({:ok, [%{topic: ^topic}]} = ask(function, pipeline.name))
    after
      Enum.each(busy, &:erlang.resume_process/1)
    end
  end

  test "a pipeline answers while it drains, and is none when it has stopped", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 1)
    test = self()
    hold = fn message -> TestPipeline.hold(test, :held) && message end
    pipeline = TestPipeline.start(kafka, [topic], handle: hold)
    assert_receive {:held, handler, :held}, 10_000
    pid = Process.whereis(pipeline.name)

    stop = Task.async(fn -> stop(pipeline) end)
    [producer] = Broadway.producer_names(pipeline.name)
    await(5_000, fn -> if draining?(producer), do: :ok, else: {:not_yet, "it drains not"} end)

    for function <- @of_partitions,
        do: assert({:ok, [%{topic: ^topic}]} = ask(function, pipeline.name))

    send(handler, :go)
    Task.await(stop, 20_000)

    for function <- @functions, it <- [pipeline.name, pid] do
      assert {:error, %Error{code: :no_pipeline} = error} = ask(function, it)
      assert Exception.message(error) =~ inspect(it)
    end
  end

  defp draining?(producer), do: inspect(:sys.get_state(producer)) =~ "next: :never"

  test "of two members each answers for its own partitions", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    group = random_name("group")
    first = TestPipeline.start(kafka, [topic], group: group)
    await_assigned(first, 4)
    second = TestPipeline.start(kafka, [topic], group: group)
    await_assigned(second, 2)

    await(10_000, fn ->
      {:ok, one} = OffBroadwayRustKafka.assignment(first.name)
      {:ok, two} = OffBroadwayRustKafka.assignment(second.name)

      if Enum.sort(for(it <- one ++ two, do: it.partition)) == [0, 1, 2, 3] and length(one) == 2,
        do: :ok,
        else: {:not_yet, inspect({one, two})}
    end)
  end

  test "a pipeline whose member has ended says that it is closed, and to ask again", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)
    %{name: name} = pipeline = TestPipeline.start(kafka, [topic])
    await_assigned(pipeline, 1)
    {:ok, table} = Consumer.table(Process.whereis(name))
    {:ok, member} = Consumer.fetch(table)
    # So that nobody starts it anew.
    owner = consumer(pipeline)
    :erlang.suspend_process(owner)

    try do
      :ok = OffBroadwayRustKafka.Native.close(member, 1_000)

      error =
        await(5_000, fn ->
          with {:ok, _} <- OffBroadwayRustKafka.lag(name), do: {:not_yet, "it is open"}
        end)

      assert {:error, %Error{code: :closed, retryable?: true, fatal?: false}} = error
    after
      :erlang.resume_process(owner)
    end
  end

  test "a pipeline whose member is being started says so" do
    test = self()

    pid =
      spawn_link(fn ->
        Consumer.new_table()
        send(test, :table)
        receive do: (:stop -> :ok)
      end)

    assert_receive :table

    for function <- @of_partitions,
        do: assert({:error, %Error{code: :starting, retryable?: true}} = ask(function, pid))

    assert {:error, %Error{code: :no_statistics}} = OffBroadwayRustKafka.statistics(pid)

    send(pid, :stop)
  end

  test "a process that is no pipeline of ours is an error, whatever its name looks like" do
    name = :"#{__MODULE__}.#{System.unique_integer([:positive])}"
    registry = :"#{name}.Registry"
    start_supervised!({Registry, keys: :unique, name: registry})
    via = {:via, Registry, {registry, :agent}}

    for name <- [name, {:global, name}, via] do
      assert {:error, %Error{code: :no_pipeline}} = OffBroadwayRustKafka.lag(name)

      agent =
        start_supervised!(
          {Agent, fn -> 1 end}
          |> Supervisor.child_spec(start: {Agent, :start_link, [fn -> 1 end, [name: name]]})
        )

      for function <- @functions,
          it <- [name, agent],
          do: assert({:error, %Error{code: :no_member}} = ask(function, it))

      stop_supervised!(Agent)
    end
  end

  test "what names no pipeline is refused by an error that names the call" do
    for function <- @functions, name <- ["MyPipeline", nil, true, 1, {:a, :b}, {:via, 1, 2}] do
      assert %ArgumentError{message: message} = catch_error(ask(function, name))
      assert message =~ "OffBroadwayRustKafka.#{function}/1 expects"
      assert message =~ inspect(name)
    end
  end
end
