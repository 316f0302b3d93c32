defmodule Demo.Story do
  @moduledoc false
  # The demo from beginning to end: records, a run stopped in the middle, a second one to the end,
  # and what came out.

  alias Demo.{Interrupt, Ledger, Outcome, Pipeline, Report, Screen, Source, Watch}
  alias OffBroadwayRustKafka.TestCluster

  @doc "Tells it, and returns the exit status."
  @spec run(Source.options()) :: 0 | 1 | 130
  def run(%{mode: :mock} = options) do
    {:ok, cluster} = TestCluster.start_link(brokers: 3)
    brokers = TestCluster.bootstrap(cluster)
    status = told(Map.merge(options, %{cluster: cluster, brokers: brokers}))
    TestCluster.stop(cluster)
    status
  end

  def run(options), do: told(Map.put(options, :cluster, nil))

  # In a process of its own, with which its clients go: before the mock cluster, which must be last.
  @spec told(Source.options()) :: 0 | 1 | 130
  defp told(options) do
    task = Task.async(fn -> tell(options) end)
    Interrupt.on_sigterm(task.pid)
    Task.await(task, :infinity)
  end

  @spec tell(Source.options()) :: 0 | 1 | 130
  defp tell(options) do
    source = Source.open!(options)

    try do
      Screen.say(cluster(source))
      Screen.say("Topic #{source.topic}, #{length(source.first)} partitions")
      if show(source), do: 0, else: 1
    after
      Source.close(source)
    end
  catch
    :interrupted ->
      Screen.say("Interrupted: everything is stopped.")
      130

    {:failed, message} ->
      Screen.say("bin/demo: " <> message)
      1
  end

  @spec show(Source.t()) :: exact? :: boolean()
  defp show(source) do
    ledger = Ledger.new(source.first)
    group_id = "demo-" <> Source.random()
    if Source.ours?(source), do: produce_backlog(source)

    {{first_pace, _}, stop_ms} = in_pipeline(source, group_id, ledger, &first_run/2)
    halfway = Outcome.halfway(ledger, Source.committed!(source, group_id))
    say_halfway(halfway, stop_ms)

    {{last_pace, progress}, _} = in_pipeline(source, group_id, ledger, &last_run/2)

    Report.print(
      %Outcome{
        source: source,
        ledger: ledger,
        halfway: halfway,
        committed: Source.committed!(source, group_id),
        high_watermarks: Source.high_watermarks!(source),
        acks: Map.new(progress, &{&1.partition, &1.acked}),
        again: read_again(source, ledger)
      },
      rate([first_pace, last_pace])
    )
  end

  @spec produce_backlog(Source.t()) :: :ok
  defp produce_backlog(source) do
    Source.produce_backlog!(source)

    Screen.say(
      "Produced #{source.backlog} records; #{source.live} more will follow while the pipeline runs."
    )
  end

  @spec first_run(Source.t(), Ledger.t()) :: {Watch.pace(), [OffBroadwayRustKafka.progress()]}
  defp first_run(source, ledger),
    do: Watch.until({:position, max(div(source.backlog, 2), 1)}, "run 1", source, ledger)

  @spec last_run(Source.t(), Ledger.t()) :: {Watch.pace(), [OffBroadwayRustKafka.progress()]}
  defp last_run(%{live: 0} = source, ledger),
    do: Watch.until(:all_acked, "run 2", source, ledger)

  # Only the backlog's pace says something: the live records come at theirs.
  defp last_run(source, ledger) do
    {pace, _} = Watch.until({:position, source.backlog}, "run 2", source, ledger)
    Source.produce_live(source)
    {_, progress} = Watch.until(:all_acked, "run 2, live", source, ledger)
    {pace, progress}
  end

  # Offsets without a record (compaction, transaction markers) are in no list to look at. What a
  # second reading, in a group of its own and without a stop, does not find either, is not there.
  @spec read_again(Source.t(), Ledger.t()) :: Ledger.t() | nil
  defp read_again(source, ledger) do
    gaps = Outcome.gaps(ledger, source)

    if gaps > 0 and not Source.ours?(source) do
      Screen.say("#{gaps} offsets gave no record: reading again, in another group, to compare.")
      again = Ledger.new(source.first)

      in_pipeline(source, "demo-" <> Source.random(), again, fn source, ledger ->
        Watch.until(:all_acked, "again", source, ledger)
      end)

      again
    end
  end

  @spec in_pipeline(Source.t(), String.t(), Ledger.t(), (Source.t(), Ledger.t() -> result)) ::
          {result, stop_ms :: non_neg_integer()}
        when result: term()
  defp in_pipeline(source, group_id, ledger, fun) do
    {:ok, _pid} = Pipeline.start_link(source, group_id, ledger)

    try do
      fun.(source, ledger)
    catch
      reason ->
        Screen.say("Stopping the pipeline.")
        Broadway.stop(Pipeline)
        throw(reason)
    else
      result ->
        {us, :ok} = :timer.tc(fn -> Broadway.stop(Pipeline) end)
        {result, div(us, 1000)}
    end
  end

  @spec say_halfway([Outcome.halfway()], non_neg_integer()) :: :ok
  defp say_halfway(halfway, stop_ms) do
    handled = Enum.sum(for {count, _, _} <- halfway, do: count)

    acked =
      Enum.sum(for {count, last, committed} <- halfway, do: Outcome.acked(count, last, committed))

    Screen.say(
      "Stopped in #{stop_ms} ms after #{handled} records; committed, says the broker: #{acked}."
    )
  end

  @spec rate([Watch.pace()]) :: non_neg_integer()
  defp rate(paces) do
    {records, ms} = Enum.unzip(paces)
    div(Enum.sum(records) * 1000, max(Enum.sum(ms), 1))
  end

  @spec cluster(Source.t()) :: String.t()
  defp cluster(%{mode: :mock} = source), do: "Mock cluster #{source.brokers}"
  defp cluster(source), do: "Kafka #{source.brokers}"
end
