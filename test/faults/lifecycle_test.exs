defmodule OffBroadwayRustKafka.LifecycleTest do
  # Counts what the whole node holds: alone.
  use OffBroadwayRustKafka.KafkaCase, async: false

  alias OffBroadwayRustKafka.Resources

  # LIFECYCLES=1000 is the long form.
  @lives String.to_integer(System.get_env("LIFECYCLES", "100"))
  @samples if @lives < 1_000, do: 8, else: 20

  # The first ones load code and fill pools.
  @warm_up 3

  # In kilobytes: by how much allocators go up and down, which give memory back a second later, and what a
  # mock cluster, which is in this process, keeps of each group.
  @swing_kb 12_000
  @kept_kb 8

  @shutdown_ms 5_000

  # What a stop may take beyond what Broadway waits for its stages, and two seconds more for a busy machine.
  @beyond_ms 4_000

  # librdkafka ends a client's threads when they next look up.
  @settle_ms 30_000

  @partitions 4

  # What is logged for a test stays with it until it ends.
  @moduletag capture_log: false, timeout: 120_000 + 2_000 * @lives

  setup do
    level = Logger.level()
    Logger.configure(level: :none)
    on_exit(fn -> Logger.configure(level: level) end)

    # A pipeline's name is the same all its lives long, and an atom.
    [pipeline, second] = for _ <- 1..2, do: TestPipeline.new([])
    for %{name: name} <- [pipeline, second], do: TestPipeline.listen(name)
    %{pipeline: pipeline, second: second}
  end

  test "pipelines that start, handle and stop leave nothing behind", context do
    %{kafka: kafka, pipeline: pipeline} = context
    topic = create_topic(kafka, @partitions)
    group = random_name("group")

    lead_lives(@lives, "started and stopped", fn _ ->
      fill(kafka, topic, @partitions, 1)
      # A member that stayed in the group would keep its partitions from the next one.
      pipeline = start_pipeline(in_group(pipeline, kafka, group), kafka, [topic])
      await_assigned(pipeline, @partitions)
      handled(pipeline, @partitions)
      stop_pipeline(pipeline)
    end)
  end

  test "pipelines that stop while they start leave nothing behind", context do
    %{kafka: kafka, pipeline: pipeline} = context
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 10)

    lead_lives(div(@lives, 2), "stopped while they start", fn n ->
      pipeline = start_pipeline(in_group(pipeline, kafka), kafka, [topic])
      pass(rem(n * 7, 60))
      stop_pipeline(pipeline)
    end)
  end

  test "pipelines that stop while their group rebalances leave nothing behind", context do
    %{kafka: kafka, pipeline: pipeline, second: second} = context
    topic = create_topic(kafka, @partitions)
    fill(kafka, topic, @partitions, 50)
    test = self()

    # What it is asked to give up is in a handler, and stays there.
    stuck = [
      handle: &tap(&1, fn _ -> TestPipeline.hold(test, :first) end),
      processors: [concurrency: 1],
      broadway: [shutdown: 300]
    ]

    lead_lives(div(@lives, 12), "stopped while their group rebalances", fn n ->
      first = start_pipeline(in_group(pipeline, kafka), kafka, [topic], stuck)
      assert_receive {:held, _, :first}, 15_000
      second = start_pipeline(%{second | group: first.group}, kafka, [topic])
      pass(rem(n * 130, 900))
      both = [first, second]
      # To drain, and to end a stage that does not: the stop may take that twice.
      for pipeline <- if(rem(n, 2) == 0, do: both, else: Enum.reverse(both)),
          do: stop_pipeline(pipeline, if(pipeline == first, do: 600, else: @shutdown_ms))
    end)
  end

  test "pipelines and members whose process is killed leave nothing behind", context do
    %{kafka: kafka, pipeline: pipeline} = context
    topic = create_topic(kafka, @partitions)
    Process.flag(:trap_exit, true)

    lead_lives(div(@lives, 12), "killed", fn n ->
      pipeline = start_pipeline(in_group(pipeline, kafka), kafka, [topic])
      await_assigned(pipeline, @partitions)
      supervisor = Process.whereis(:"#{pipeline.name}.Broadway.Supervisor")

      if rem(n, 2) == 0 do
        pipeline |> consumer() |> Process.exit(:kill)
        await_assigned(pipeline, @partitions)
        stop_pipeline(pipeline)
      else
        monitor = Process.monitor(supervisor)
        Process.exit(Process.whereis(pipeline.name), :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}, @shutdown_ms + @beyond_ms
        forget()
      end
    end)
  end

  test "pipelines that no broker answers leave nothing behind", %{pipeline: pipeline} do
    {:ok, silent} = :gen_tcp.listen(0, ip: {127, 0, 0, 1}, active: false, backlog: 1_024)
    {:ok, gone} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    ports = for socket <- [silent, gone], {:ok, port} = :inet.port(socket), do: port
    :ok = :gen_tcp.close(gone)

    lead_lives(div(@lives, 2), "without a broker", fn n ->
      kafka = %Kafka{bootstrap: "127.0.0.1:#{Enum.at(ports, rem(n, 2))}"}
      start_pipeline(pipeline, kafka, ["orders"])
      pass(rem(n * 7, 60))
      stop_pipeline(pipeline)
    end)
  end

  test "clusters for tests that start and stop leave nothing behind" do
    lead_lives(div(@lives, 4), "clusters started and stopped", fn _ ->
      {:ok, cluster} = TestCluster.start_link(topics: [orders: @partitions])
      TestCluster.produce(cluster, "orders", ["book", "pen"])
      TestCluster.committed(cluster, "group", "orders")
      TestCluster.stop(cluster)
    end)
  end

  # Leads each of many pipelines through a life, and asserts that nothing is left of them.
  defp lead_lives(count, what, life) do
    Enum.each(1..@warm_up, life)
    grown()
    baseline = Resources.await_steady(@settle_ms)
    every = max(div(count, @samples), 1)

    series =
      for n <- 1..count, life.(n) && rem(n, every) == 0 do
        Resources.await_no_more_than(baseline, @settle_ms)
        grown()
      end

    IO.puts("  #{count} #{what}: held #{inspect(Map.from_struct(baseline))}")

    limit_kb = @kept_kb + @swing_kb / count

    for what <- [:resident_kb, :vm_kb] do
      series = Enum.map(series, &Map.fetch!(&1, what))
      growth = Float.round(Resources.growth(series) / every, 2)
      IO.puts("    #{what} from #{hd(series)} to #{List.last(series)}, by #{growth} each")
      assert growth < limit_kb, "#{what} grew by #{growth} each time: #{inspect(series)}"
    end

    # Code that is loaded late makes some at once. A leak makes some each time.
    atoms = Enum.map(series, & &1.atoms)
    quiet = atoms |> Enum.zip(tl(atoms)) |> Enum.count(fn {a, b} -> a == b end)
    IO.puts("    atoms from #{hd(atoms)} to #{List.last(atoms)}")
    assert 2 * quiet >= length(atoms) - 1, "atoms were made again and again: #{inspect(atoms)}"
  end

  # What may grow, as it is now.
  defp grown, do: Map.put(Resources.memory(), :atoms, Resources.atoms())

  defp start_pipeline(pipeline, kafka, topics, options \\ []) do
    options = Keyword.update(options, :broadway, broadway(), &Keyword.merge(broadway(), &1))
    {:ok, _} = TestPipeline.start_link(TestPipeline.broadway(pipeline, kafka, topics, options))
    pipeline
  end

  defp broadway, do: [shutdown: @shutdown_ms]

  # Mock brokers keep whoever joins a group that was left waiting: there each gets a new one.
  defp in_group(pipeline, kafka, group \\ random_name("group"))
  defp in_group(pipeline, %{cluster: nil}, group), do: %{pipeline | group: group}
  defp in_group(pipeline, _mock, _group), do: %{pipeline | group: random_name("group")}

  defp stop_pipeline(pipeline, shutdown_ms \\ @shutdown_ms) do
    {micros, :ok} = :timer.tc(fn -> Broadway.stop(pipeline.name) end)
    ms = div(micros, 1_000)
    assert ms < shutdown_ms + @beyond_ms, "a stop took #{ms} ms"
    forget()
  end

  # Nothing that pipelines said stays with the test.
  defp forget do
    receive do
      _ -> forget()
    after
      0 -> true
    end
  end
end
