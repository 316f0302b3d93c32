defmodule Bench.Measure do
  @moduledoc false
  # All runs of a plan: the connectors in turn, round by round, so that what the machine does besides
  # meets them all.

  alias Bench.{Command, Figures, Job, Paced, Plan, Shape, Topics, Variant}

  # Starting a VM, joining a group and waiting for the first record.
  @spare_ms 90_000
  # What the checks read: enough of it for all of them, in records as real topics have them.
  @check_shape %Shape{bytes: 1024}
  @check_records 800_000

  @type subject :: {connector :: module(), Variant.t()}
  @type what :: Shape.t() | {:latency, Plan.load()} | :calls | :schedules | :many
  @type result :: {:ok, Figures.t()} | {:error, String.t()}
  @type results :: %{{what(), subject()} => [result()]}

  @spec all(Plan.t(), String.t()) :: results()
  def all(plan, brokers) do
    client = Topics.client(brokers)
    reads = merged(for read <- plan.reads, do: read(plan, client, brokers, read))
    latencies = latencies(plan, client, brokers, reads)
    checks = checks(plan, client, brokers)
    merged([reads, latencies, checks])
  end

  @spec read(Plan.t(), reference(), String.t(), Plan.read()) :: results()
  defp read(plan, client, brokers, {shape, records, rounds, ids}) do
    with_topic(plan, client, fn topic ->
      load(plan, brokers, topic, shape, records)

      rounds(rounds, shape, Plan.readers(plan, shape, ids), fn subject ->
        job = job(:read, subject, plan, brokers, topic, Topics.group())
        run(%{job | records: records, seconds: plan.seconds, bytes: shape.bytes})
      end)
    end)
  end

  @spec latencies(Plan.t(), reference(), String.t(), results()) :: results()
  defp latencies(plan, client, brokers, reads) do
    with_topic(plan, client, fn topic ->
      merged(
        for {load, rounds, seconds} <- plan.latencies, rate = Paced.rate(load, reads, plan) do
          rounds(rounds, {:latency, load}, Plan.listeners(plan, load), fn subject ->
            group = Topics.existing_group(client, topic, plan.partitions)
            job = job(:latency, subject, plan, brokers, topic, group)
            job = %{job | seconds: seconds, warm_up: Paced.warm_up(load)}
            Paced.run(job, load, rate, fn -> run(job) end)
          end)
        end
      )
    end)
  end

  @spec checks(Plan.t(), reference(), String.t()) :: results()
  defp checks(%{checks: []}, _client, _brokers), do: %{}

  defp checks(plan, client, brokers) do
    with_topic(plan, client, fn topic ->
      load(plan, brokers, topic, @check_shape, @check_records)

      merged(
        for {kind, rounds, seconds} <- plan.checks do
          rounds(rounds, kind, Plan.subjects(plan, kind), fn subject ->
            job = job(kind, subject, plan, brokers, topic, Topics.group())
            run(%{job | records: @check_records, seconds: seconds, bytes: @check_shape.bytes})
          end)
        end
      )
    end)
  end

  @spec merged([results()]) :: results()
  defp merged(results), do: Enum.reduce(results, %{}, &Map.merge/2)

  @spec load(Plan.t(), String.t(), String.t(), Shape.t(), pos_integer()) :: :ok
  defp load(plan, brokers, topic, shape, records) do
    say("loading #{records} records of #{Shape.title(shape)}")
    Topics.load(brokers, topic, plan.partitions, shape, records)
  end

  @spec with_topic(Plan.t(), reference(), (String.t() -> results())) :: results()
  defp with_topic(plan, client, fun) do
    topic = Topics.create(client, plan.partitions)
    # What ends the bench from outside asks it to stop first.
    {:ok, id} = System.trap_signal(:sigterm, fn -> Topics.delete(client, topic) end)

    try do
      fun.(topic)
    after
      System.untrap_signal(:sigterm, id)
      Topics.delete(client, topic)
    end
  end

  @spec rounds(pos_integer(), what(), [subject()], (subject() -> result())) :: results()
  defp rounds(rounds, what, subjects, measure) do
    runs =
      for round <- 1..rounds, subject <- subjects do
        result = measure.(subject)
        say("#{round}/#{rounds} #{name(what)}, #{name(subject)}: #{told(result)}")
        {{what, subject}, result}
      end

    Enum.group_by(runs, &elem(&1, 0), &elem(&1, 1))
  end

  @spec job(Job.kind(), subject(), Plan.t(), String.t(), String.t(), String.t()) :: Job.t()
  defp job(kind, {connector, variant}, plan, brokers, topic, group) do
    %Job{
      kind: kind,
      connector: connector,
      variant: variant,
      brokers: brokers,
      topic: topic,
      group: group,
      partitions: plan.partitions,
      bytes: Paced.bytes()
    }
  end

  @spec run(Job.t()) :: result()
  defp run(job),
    do: Command.run(job.connector.command(job), (job.warm_up + job.seconds) * 1000 + @spare_ms)

  @spec name(what() | subject()) :: String.t()
  defp name({:latency, load}), do: "latency at #{Paced.title(load)}"
  defp name(%Shape{} = shape), do: Shape.title(shape)
  defp name({connector, variant}), do: "#{connector.title()} (#{variant.title})"
  defp name(kind), do: to_string(kind)

  @spec told(result()) :: String.t()
  defp told({:error, reason}), do: reason

  defp told({:ok, %{"rate" => rate, "cpu_us" => cpu}}),
    do: "#{round(rate)} records/s, #{Float.round(cpu, 2)} µs of CPU each"

  defp told({:ok, %{"p50_ms" => p50, "p99_ms" => p99} = figures}) do
    "p50 #{Float.round(p50, 2)} ms, p99 #{Float.round(p99, 2)} ms, " <>
      "#{round(figures["received"])} of #{round(figures["sent"])} records/s"
  end

  defp told({:ok, figures}),
    do:
      Enum.map_join(Enum.sort(figures), ", ", fn {name, n} -> "#{name} #{Float.round(n, 1)}" end)

  @spec say(String.t()) :: :ok
  defp say(line), do: IO.puts(:stderr, "bin/bench: " <> line)
end
