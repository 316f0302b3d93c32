defmodule OffBroadwayRustKafka.NoDemandTest do
  # Watches memory and the passing of time: alone.
  use OffBroadwayRustKafka.KafkaCase, async: false

  alias OffBroadwayRustKafka.{Checker, History, Resources, TestNode}

  # NO_DEMAND_SECONDS=600 is the long form, on librdkafka's own timeouts.
  @seconds String.to_integer(System.get_env("NO_DEMAND_SECONDS", "25"))
  @heartbeat_ms if @seconds < 300, do: 1_000, else: 3_000
  @config if @seconds < 300,
            do: [
              "max.poll.interval.ms": 10_000,
              "session.timeout.ms": 6_000,
              "heartbeat.interval.ms": @heartbeat_ms
            ],
            else: []

  # What is in flight when the second member comes stays so until then. To have its share then takes
  # that member two rebalances, of each of which a heartbeat tells.
  @drain_ms 4_000

  @partitions 8
  @record_kb 4
  @records 2_500

  @buffer_kb 16_384

  # What may be fetched and not delivered, and two records of each partition at its cap.
  @bound_kb @buffer_kb + 2 * @partitions * @record_kb

  # Of the VM's own: what a few records on their way take, and code that is loaded late.
  @vm_kb 16_384

  @moduletag :broker
  @moduletag timeout: 1_000 * (@seconds + 120)

  for {what, options, tags} <- [
        {"a handler that takes for ever", [pause: 3_600_000], []},
        {"a rate limit", [rate_limiting: [allowed_messages: 1, interval: 3_600_000]], [hex: true]}
      ] do
    @tag tags
    test "#{what} keeps no member from its group, nor others waiting, nor grows", %{kafka: kafka} do
      topic = create_topic(kafka, @partitions)
      history = History.start()

      options = [
        history: history,
        group: random_name("group"),
        producer: [
          config: @config,
          drain_timeout: @drain_ms,
          max_buffered_bytes: 1_024 * @buffer_kb
        ]
      ]

      node = TestNode.start(kafka, [topic], unquote(options) ++ options)
      History.await_events(history, :assigned, @partitions)
      before = Resources.resident_kb(node.pid)
      fill(kafka, topic)
      from = now()
      History.await_events(history, :delivered, 1)

      Resources.peak_kb(node.pid, from + 500 * @seconds)
      joined = now()
      second = TestPipeline.start(kafka, [topic], options)
      await_assigned(second, div(@partitions, 2))
      ms = now() - joined
      IO.puts("  #{unquote(what)}: the second member has its share after #{ms} ms")
      assert ms < @drain_ms + 2 * @heartbeat_ms + 3_000

      grown = Resources.peak_kb(node.pid, from + 1_000 * @seconds) - before
      IO.puts("  #{unquote(what)}: grew by #{grown} kB in #{@seconds} s, of #{total_kb()} kB")
      assert grown < @bound_kb + @vm_kb

      # Each has its half still, and nobody was thrown out.
      assert length(OffBroadwayRustKafka.progress(second.name)) == div(@partitions, 2)
      assert for({_, _, :lost, place, _, _} <- History.events(history), do: place) == []

      assert TestNode.kill(node, "TERM") == 0
      await_committed(kafka, second.group, each(topic, @partitions, @records), 60_000)
      stop(second)
      History.ask_produced(history, kafka, topic, @partitions)
      History.ask_committed(history, kafka, second.group, topic, @partitions)

      Checker.assert_sound!(history,
        at_end: :all_committed,
        clean_stops: [TestPipeline.label(second)]
      )
    end
  end

  defp fill(kafka, topic) do
    value = :binary.copy("x", @record_kb * 1_024)

    records =
      for _ <- 1..100, {_, id} <- all(topic, @partitions), do: [partition: id, value: value]

    for _ <- 1..div(@records, 100), do: produce(kafka, topic, records)
  end

  defp total_kb, do: @partitions * @records * @record_kb

  defp now, do: System.monotonic_time(:millisecond)
end
