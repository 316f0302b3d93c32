defmodule OffBroadwayRustKafka.IdleTest do
  # Measures time and CPU: alone.
  use OffBroadwayRustKafka.KafkaCase, async: false

  @rounds 60

  test "a record is handled within milliseconds of its arrival", %{kafka: kafka} do
    topic = create_topic(kafka, 4)
    pipeline = TestPipeline.start(kafka, [topic], producer: [config: fetch(kafka)])
    await_assigned(pipeline, 4)
    # The first fetches find their way.
    produce(kafka, topic, for(n <- 1..4, do: "#{n}"))
    handled(pipeline, 4)

    delays =
      for n <- 1..@rounds do
        produce(kafka, topic, [%{partition: rem(n, 4), value: "#{n}"}])
        # The broker has it: what is left is its way to the handler.
        from = System.monotonic_time(:microsecond)
        handled(pipeline, 1)
        System.monotonic_time(:microsecond) - from
      end

    median = delays |> Enum.sort() |> Enum.at(div(@rounds, 2))
    assert median < 10_000, "the median was #{median} µs, of #{inspect(delays)}"
  end

  test "an idle pipeline uses no measurable CPU", %{kafka: kafka} do
    topic = create_topic(kafka, 50)
    pipeline = TestPipeline.start(kafka, [topic], concurrency: 2, processors: [concurrency: 10])
    await_assigned(pipeline, 50)
    await_committed(kafka, pipeline.group, each(topic, 50, 0))

    {reductions, ticks} = {reductions(pipeline), member_ticks()}
    pass(3_000)

    # Three seconds are 300 ticks of a core.
    assert member_ticks() - ticks <= 3
    assert reductions(pipeline) - reductions < 1_000
  end

  # A mock cluster answers a fetch when its wait is over, not when there is a record.
  defp fetch(%{cluster: nil}), do: []
  defp fetch(_mock), do: ["fetch.wait.max.ms": 5]

  # User and system time, in ticks of 10 ms, of the threads that a member has of its own.
  defp member_ticks do
    for task <- File.ls!("/proc/self/task"),
        {:ok, stat} <- [File.read("/proc/self/task/#{task}/stat")],
        [_, name, rest] = Regex.run(~r/\((.*)\) (.*)/s, stat),
        String.starts_with?(name, "kafka-"),
        fields = String.split(rest),
        field <- [11, 12],
        reduce: 0 do
      ticks -> ticks + String.to_integer(Enum.at(fields, field))
    end
  end

  defp reductions(pipeline) do
    pids = for {name, _} <- producers(pipeline), do: Process.whereis(name)

    for pid <- pids, reduce: 0 do
      sum -> sum + elem(Process.info(pid, :reductions), 1)
    end
  end

  defp producers(pipeline),
    do: for(name <- Broadway.producer_names(pipeline.name), do: {name, nil})
end
