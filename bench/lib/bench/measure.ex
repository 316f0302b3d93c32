defmodule Bench.Measure do
  @moduledoc false
  # All runs of a plan: the connectors in turn, round by round, so that what the machine does besides
  # meets them all.

  alias Bench.{Command, Figures, Job, Plan, Raw, Shape, Topics, Variant}

  # Starting a VM, joining a group and waiting for the first record.
  @spare_ms 90_000
  @latency_bytes 100

  @type subject :: {connector :: module(), Variant.t()}
  @type results :: %{
          {what :: Shape.t() | :latency, subject()} => [
            {:ok, Figures.t()} | {:error, String.t()}
          ]
        }

  @spec all(Plan.t(), String.t()) :: results()
  def all(plan, brokers) do
    client = Topics.client(brokers)

    reads = for read <- plan.reads, do: read(plan, client, brokers, read)
    latency = if plan.latency_rate, do: latency(plan, client, brokers), else: %{}
    Enum.reduce(reads, latency, &Map.merge/2)
  end

  @spec read(Plan.t(), reference(), String.t(), {Shape.t(), pos_integer(), [atom()]}) :: results()
  defp read(plan, client, brokers, {shape, records, ids}) do
    with_topic(plan, client, fn topic ->
      say("loading #{records} records of #{Shape.title(shape)}")
      :ok = Topics.load(brokers, topic, plan.partitions, shape, records)

      rounds(plan, shape, Plan.readers(plan, shape, ids), fn subject ->
        job = job(:read, subject, plan, brokers, topic, Topics.group())
        run(%{job | records: records, seconds: plan.seconds, bytes: shape.bytes})
      end)
    end)
  end

  @spec latency(Plan.t(), reference(), String.t()) :: results()
  defp latency(plan, client, brokers) do
    with_topic(plan, client, fn topic ->
      rounds(plan, :latency, Plan.listeners(plan), fn subject ->
        group = Topics.existing_group(client, topic, plan.partitions)
        job = job(:latency, subject, plan, brokers, topic, group)
        paced(job, plan.latency_rate, fn -> run(%{job | seconds: plan.latency_seconds}) end)
      end)
    end)
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

  @spec rounds(Plan.t(), Shape.t() | :latency, [subject()], (subject() -> result)) :: results()
        when result: {:ok, Figures.t()} | {:error, String.t()}
  defp rounds(plan, what, subjects, measure) do
    runs =
      for round <- 1..plan.rounds, subject <- subjects do
        result = measure.(subject)
        say("#{round}/#{plan.rounds} #{name(what)}, #{name(subject)}: #{told(result)}")
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
      bytes: @latency_bytes
    }
  end

  @spec run(Job.t()) :: {:ok, Figures.t()} | {:error, String.t()}
  defp run(job),
    do: Command.run(job.connector.command(job), (job.warm_up + job.seconds) * 1000 + @spare_ms)

  @spec paced(Job.t(), pos_integer(), (() -> result)) :: result when result: term()
  defp paced(job, rate, fun) do
    options = [partitions: job.partitions, bytes: job.bytes, rate: rate]
    pace = Command.start(Raw.command("pace", job, options))
    result = fun.()

    case Command.stop(pace) do
      :ok -> result
      {:error, reason} -> {:error, "the records' source #{reason}"}
    end
  end

  @spec name(Shape.t() | :latency | subject()) :: String.t()
  defp name(:latency), do: "latency"
  defp name(%Shape{} = shape), do: Shape.title(shape)
  defp name({connector, variant}), do: "#{connector.title()} (#{variant.title})"

  @spec told({:ok, Figures.t()} | {:error, String.t()}) :: String.t()
  defp told({:error, reason}), do: reason

  defp told({:ok, %{"rate" => rate, "cpu_us" => cpu}}),
    do: "#{round(rate)} records/s, #{Float.round(cpu, 2)} µs of CPU each"

  defp told({:ok, %{"p50_ms" => p50, "p99_ms" => p99}}),
    do: "p50 #{Float.round(p50, 2)} ms, p99 #{Float.round(p99, 2)} ms"

  @spec say(String.t()) :: :ok
  defp say(line), do: IO.puts(:stderr, "bin/bench: " <> line)
end
