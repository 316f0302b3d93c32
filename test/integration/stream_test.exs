defmodule OffBroadwayRustKafka.StreamTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History, Record, Stage, TestStage}

  import History.Stream, only: [recorded: 4]

  defp stream(kafka, topic, options),
    do: OffBroadwayRustKafka.stream(options(kafka, topic, options))

  defp options(kafka, topic, options), do: TestStage.options(kafka, [topic], options)

  # A stream of a topic with so many records, its group, and what is written down of it.
  defp of(kafka, topic, count, options \\ []) do
    fill(kafka, topic, 1, count)
    history = History.start()
    group = random_name("group")
    stream = stream(kafka, topic, [group_id: group] ++ options)
    {recorded(stream, history, group, "one"), group, history}
  end

  # A member that went silent has not left: its partitions are its own until its session is over. The mock
  # cluster's sessions are too short to tell.
  @session_ms 30_000
  @soon_ms 15_000

  defp session(%{cluster: nil}), do: [config: ["session.timeout.ms": @session_ms]]
  defp session(_mock), do: []

  defp assert_left(kafka, next) do
    started = System.monotonic_time(:millisecond)
    answer = next.()
    elapsed = System.monotonic_time(:millisecond) - started
    if kafka.cluster == nil, do: assert(elapsed < @soon_ms)
    answer
  end

  defp assert_sound(history, kafka, group, topic),
    do: Checker.assert_sound_at_end!(history, kafka, group, {topic, 1}, at_end: nil)

  defp at(kafka, group, topic), do: committed(kafka, group, topic, 1)[{topic, 0}]

  test "what is taken is acknowledged, and the next one goes on after it", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 20, session(kafka))
    assert [%Record{topic: ^topic, offset: 0} | _] = first = Enum.take(stream, 5)
    assert length(first) == 5
    # It has left the group with that committed.
    assert at(kafka, group, topic) == 5
    next = assert_left(kafka, fn -> Enum.take(stream, 3) end)
    assert for(record <- next, do: record.offset) == [5, 6, 7]
    assert Enum.take(stream, 0) == []
    assert at(kafka, group, topic) == 8
    assert_sound(history, kafka, group, topic)
  end

  test "it is lazy: nothing is joined before it is enumerated", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 3)
    values = stream |> Stream.map(& &1.value) |> Stream.reject(&(&1 == "2"))
    assert at(kafka, group, topic) == nil
    assert Enum.take(values, 2) == ["1", "3"]
    assert at(kafka, group, topic) == 3
    assert_sound(history, kafka, group, topic)
  end

  test "an element is acknowledged when the next one is asked for", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 10, commit_interval: 0)

    Enum.find(stream, fn record ->
      if record.offset > 0, do: await_committed(kafka, group, %{{topic, 0} => record.offset})
      record.offset == 4
    end)

    assert at(kafka, group, topic) == 5
    assert_sound(history, kafka, group, topic)
  end

  test "one whose handling raises is not acknowledged, and the group is left", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 10, session(kafka))

    assert_raise RuntimeError, "at 3", fn ->
      Enum.each(stream, fn %{offset: offset} -> if offset == 3, do: raise("at #{offset}") end)
    end

    assert at(kafka, group, topic) == 3
    assert [%{offset: 3}] = assert_left(kafka, fn -> Enum.take(stream, 1) end)
    assert catch_throw(Enum.each(stream, &throw(&1.offset))) == 4
    assert at(kafka, group, topic) == 4
    assert_sound(history, kafka, group, topic)
  end

  test "one that was taken and not handed on is not acknowledged", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 10)

    assert [{%{offset: 0}, :a}, {%{offset: 1}, :b}] =
             stream |> Stream.zip([:a, :b]) |> Enum.to_list()

    assert at(kafka, group, topic) == 2
    assert_sound(history, kafka, group, topic)
  end

  test "a process that exits leaves the group", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 10, session(kafka))
    test = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        Enum.each(stream, fn record ->
          send(test, {:at, record.offset})
          if record.offset == 3, do: Process.sleep(:infinity)
        end)
      end)

    assert_receive {:at, 3}, 15_000
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
    # Its partition is free for the next one at once, not when a session is over.
    assert [%{offset: 3}] = assert_left(kafka, fn -> Enum.take(stream, 1) end)
    assert at(kafka, group, topic) == 4
    assert_sound(history, kafka, group, topic)
  end

  test "one that joins another takes over partitions of it, and nothing is lost", %{kafka: kafka} do
    topic = create_topic(kafka, 2)
    fill(kafka, topic, 2, 50)
    history = History.start()
    group = random_name("group")
    test = self()

    [one, two] =
      for label <- ["one", "two"] do
        stream = kafka |> stream(topic, group_id: group) |> recorded(history, group, label)

        fn ->
          Enum.find(stream, fn %{partition: partition, value: value} ->
            send(test, {:at, label, partition})
            value == "last"
          end)
        end
      end

    first = Task.async(one)
    assert_receive {:at, "one", _}, 15_000
    second = Task.async(two)

    # Records keep coming until each has one of the two.
    await(30_000, fn ->
      fill(kafka, topic, 2, 1)

      receive do
        {:at, "two", _} -> :ok
      after
        0 -> {:not_yet, "the second has nothing"}
      end
    end)

    last = for partition <- 0..1, do: %{partition: partition, value: "last"}
    produce(kafka, topic, last)
    Task.await_many([first, second], 60_000)
    Checker.assert_sound_at_end!(history, kafka, group, {topic, 2}, at_end: nil)
  end

  test "it waits for more, and ends after an :idle_timeout", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 7, idle_timeout: 10_000)
    assert stream |> Enum.to_list() |> length() == 7
    assert at(kafka, group, topic) == 7

    test = self()
    endless = kafka |> stream(topic, group_id: group) |> recorded(history, group, "endless")
    task = Task.async(fn -> Enum.each(Stream.take(endless, 2), &send(test, {:at, &1.offset})) end)
    fill(kafka, topic, 1, 1)
    assert_receive {:at, 7}, 15_000
    fill(kafka, topic, 1, 1)
    assert_receive {:at, 8}, 15_000
    Task.await(task, 15_000)
    assert_sound(history, kafka, group, topic)
  end

  test "commits by hand, chunk by chunk", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    {stream, group, history} = of(kafka, topic, 10, commit_strategy: :none)

    for records <- stream |> Stream.chunk_every(4) |> Enum.take(2) do
      # The stream is over: it was one member's.
      assert {:error, %Error{}} = Stage.commit(records)
    end

    assert at(kafka, group, topic) == nil

    stream
    |> Stream.chunk_every(4)
    |> Stream.each(&(:ok = History.Stage.commit(&1)))
    |> Enum.take(2)

    assert at(kafka, group, topic) == 8
    assert_sound(history, kafka, group, topic)
  end

  test "two at once in one process do not disturb each other", %{kafka: kafka} do
    {one, two} = {create_topic(kafka, 1), create_topic(kafka, 1)}
    {first, group, history} = of(kafka, one, 5)
    {second, other, of_other} = of(kafka, two, 5)
    pairs = first |> Stream.zip(second) |> Enum.take(5)

    assert for({a, b} <- pairs, do: {a.topic, a.offset, b.topic, b.offset}) ==
             for(offset <- 0..4, do: {one, offset, two, offset})

    assert_sound(history, kafka, group, one)
    assert_sound(of_other, kafka, other, two)
  end

  test "a member that cannot start raises its error, and bad options before that", %{kafka: kafka} do
    topic = create_topic(kafka, 1)

    assert_raise ArgumentError, ~r/OffBroadwayRustKafka.stream\/1: .*:idle_timeout option/, fn ->
      stream(kafka, topic, idle_timeout: 0)
    end

    assert_raise ArgumentError, ~r/:commit_strategy option: .*got: :sync/, fn ->
      stream(kafka, topic, commit_strategy: :sync)
    end

    # It is read when the options are checked, and gone when the member starts.
    reads = :counters.new(1, [])

    secret = fn ->
      :counters.add(reads, 1, 1)
      if :counters.get(reads, 1) > 1, do: raise("no secret"), else: "secret"
    end

    config = ["security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"]
    config = config ++ ["sasl.username": "u", "sasl.password": secret]

    assert_raise Error, ~r/invalid_config/, fn ->
      kafka |> stream(topic, config: config) |> Enum.take(1)
    end
  end
end
