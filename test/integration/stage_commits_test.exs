defmodule OffBroadwayRustKafka.StageCommitsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Checker, Error, History, Record, Stage, TestStage, TestSubscriber}

  import TestSubscriber, only: [got: 1, got: 2]

  # A stage, and what its first subscriber holds.
  defp holding(kafka, topic, count, options) do
    stage = TestStage.start(kafka, [topic], options)
    TestSubscriber.start(stage.name, max_demand: 100, handle: fn _ -> :ok end)
    {stage, got(count)}
  end

  defp committed_of(kafka, stage, topic), do: committed(kafka, stage.group, topic, 1)[{topic, 0}]

  # What the member was told of so far, it has told.
  defp settle(stage) do
    {:ok, _} = OffBroadwayRustKafka.offsets(stage.name)
    {:ok, _} = OffBroadwayRustKafka.offsets(stage.name)
  end

  describe "commit_strategy: :none" do
    test "the committed offset moves by commit only, not by acks and not at shutdown", %{
      kafka: kafka
    } do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 10)
      {stage, records} = holding(kafka, topic, 10, commit_strategy: :none, commit_interval: 0)
      :ok = Stage.ack(records)
      settle(stage)

      assert {:ok, [%{committable: 10, committed: nil}]} =
               OffBroadwayRustKafka.offsets(stage.name)

      assert committed_of(kafka, stage, topic) == nil

      :ok = Stage.commit(Enum.at(records, 3))
      assert committed_of(kafka, stage, topic) == 4
      :ok = Stage.commit(Enum.slice(records, 4..6), :sync)
      assert committed_of(kafka, stage, topic) == 7
      :ok = Stage.commit([{topic, 0, 8}], :sync, stage: stage.name)
      assert committed_of(kafka, stage, topic) == 8

      TestStage.stop(stage)
      assert committed_of(kafka, stage, topic) == 8
    end

    test "nor at a revoke, and whoever is next goes on where it was committed", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 10)
      options = [commit_strategy: :none, group_id: random_name("group")]
      {one, records} = holding(kafka, topic, 20, options)
      :ok = Stage.ack(records)
      :ok = records |> Enum.filter(&(&1.offset < 4)) |> Stage.commit()
      two = TestStage.start(kafka, [topic], options)
      assert two |> await_assigned(1) |> Map.values() == [4]
      assert committed(kafka, one.group, topic, 2) == each(topic, 2, 4)
    end

    test "a start without a committed offset is not committed either", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 5)
      options = [commit_strategy: :none, offset_reset_policy: :latest]
      stage = TestStage.start(kafka, [topic], options)
      assert await_assigned(stage, 1) == %{{topic, 0} => 5}
      TestStage.stop(stage)
      assert committed_of(kafka, stage, topic) == nil
    end

    test "commit/1 commits what is acknowledged", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 6)
      {stage, records} = holding(kafka, topic, 6, commit_strategy: :none)
      :ok = records |> Enum.reject(&(&1.offset == 4)) |> Stage.ack()
      assert OffBroadwayRustKafka.commit(stage.name) == :ok
      assert committed_of(kafka, stage, topic) == 4
      assert OffBroadwayRustKafka.commit(Process.whereis(stage.name)) == :ok
    end

    test "a commit acknowledges all before it: a partition at its limit goes on", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 40)
      {_, records} = holding(kafka, topic, 10, commit_strategy: :none, max_in_flight: 10)
      assert length(records) == 10
      :ok = records |> List.last() |> Stage.commit()
      assert [%{offset: 10} | _] = got(10)
    end

    test "it goes back only when told to", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 6)
      {stage, records} = holding(kafka, topic, 6, commit_strategy: :none)
      :ok = Stage.commit(Enum.at(records, 4))
      :ok = Stage.commit(Enum.at(records, 1))
      assert committed_of(kafka, stage, topic) == 5
      :ok = Stage.commit(Enum.at(records, 1), :sync, rewind: true)
      assert committed_of(kafka, stage, topic) == 2
    end

    test "an asynchronous commit returns at once, and what becomes of it is told", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 3)
      {%{name: name} = stage, records} = holding(kafka, topic, 3, commit_strategy: :none)
      :ok = Stage.commit(records, :async)
      place = {topic, 0}
      assert_receive {:telemetry, ^name, :committed, _, %{offsets: [{^topic, 0, 3}]}}, 15_000
      assert committed(kafka, stage.group, topic, 1)[place] == 3
    end

    test "with every invariant, through a crash and a rebalance", %{kafka: kafka} do
      topic = create_topic(kafka, 4)
      fill(kafka, topic, 4, 100)
      history = History.start()
      options = [commit_strategy: :none, group_id: random_name("group"), history: history]
      handle = &handle_or_stale/1
      one = TestStage.start(kafka, [topic], options)
      dies = TestSubscriber.start(one.name, tag: :dies, max_demand: 20, handle: fn _ -> :ok end)
      got(:dies, 20)
      Process.exit(dies, :kill)
      TestSubscriber.start(one.name, max_demand: 10, handle: handle)
      two = TestStage.start(kafka, [topic], options)
      TestSubscriber.start(two.name, max_demand: 10, handle: handle)
      await_assigned(two, 2)
      fill(kafka, topic, 4, 20)
      await_committed(kafka, one.group, each(topic, 4, 120), 60_000)
      TestStage.stop(one)
      TestStage.stop(two)
      History.ask_produced(history, kafka, topic, 4)
      History.ask_committed(history, kafka, one.group, topic, 4)
      Checker.assert_sound!(history, at_end: :all_committed)
    end
  end

  defp handle_or_stale(records) do
    for {_, of_partition} <- Enum.group_by(records, & &1.partition) do
      with {:error, error} <- History.Stage.commit(of_partition),
           do: assert(error.code == :stale_epoch)
    end
  end

  describe "commit_strategy: :sync" do
    test "an acknowledgement returns when its offsets are committed", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 10)
      options = [commit_strategy: :sync, commit_interval: 60_000]
      {stage, records} = holding(kafka, topic, 20, options)
      :ok = Stage.ack(records)
      assert committed(kafka, stage.group, topic, 2) == each(topic, 2, 10)
    end

    test "with older ones unacknowledged there is nothing to wait for", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 4)
      {stage, records} = holding(kafka, topic, 4, commit_strategy: :sync)
      :ok = records |> tl() |> Stage.ack()
      assert committed_of(kafka, stage, topic) in [nil, 0]
      :ok = records |> hd() |> Stage.ack()
      assert committed_of(kafka, stage, topic) == 4
    end

    test "one from before a rebalance gets an error", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 4)
      {stage, records} = holding(kafka, topic, 4, commit_strategy: :sync)
      TestStage.stop(stage)
      assert {:error, %Error{code: code}} = Stage.ack(records)
      assert code in [:stale_epoch, :closed]
    end
  end

  describe "commit_strategy: :async" do
    test "a threshold commits before the interval is over", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 20)
      options = [commit_interval: 60_000, commit_threshold: 10]
      {stage, records} = holding(kafka, topic, 20, options)
      await_committed(kafka, stage.group, %{{topic, 0} => 0})
      :ok = records |> Enum.take(9) |> Stage.ack()
      settle(stage)
      assert committed_of(kafka, stage, topic) == 0
      :ok = records |> Enum.at(9) |> Stage.ack()
      await_committed(kafka, stage.group, %{{topic, 0} => 10})
    end

    test "a commit does not wait for the interval, and cannot go back", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 5)
      {stage, records} = holding(kafka, topic, 5, commit_interval: 60_000)
      :ok = Stage.commit(records)
      assert committed_of(kafka, stage, topic) == 5

      assert {:error, %Error{code: :rewind, retryable?: false}} =
               Stage.commit(hd(records), :sync, rewind: true)
    end

    test "commit/1 of a Broadway pipeline", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 5)
      pipeline = TestPipeline.start(kafka, [topic], producer: [commit_interval: 60_000])
      handled(pipeline, 5)

      await(15_000, fn ->
        case OffBroadwayRustKafka.offsets(pipeline.name) do
          {:ok, [%{in_flight: 0, delivered: 5}]} -> :ok
          other -> {:not_yet, inspect(other)}
        end
      end)

      assert OffBroadwayRustKafka.commit(pipeline.name) == :ok
      assert committed(kafka, pipeline.group, topic, 1) == %{{topic, 0} => 5}
      stop(pipeline)

      assert {:error, %Error{code: :no_pipeline}} = OffBroadwayRustKafka.commit(pipeline.name)
    end
  end

  describe "what is refused" do
    test "a record of an assignment that is over is stale, and nothing moves", %{kafka: kafka} do
      topic = create_topic(kafka, 2)
      fill(kafka, topic, 2, 10)
      # Members of a mock group that meet too late lose what they have.
      session = ["session.timeout.ms": 4_000, "heartbeat.interval.ms": 200]
      config = if kafka.cluster, do: session, else: []
      options = [commit_strategy: :none, group_id: random_name("group"), drain_timeout: 0]
      options = [config: config] ++ options
      {one, records} = holding(kafka, topic, 20, options)
      two = TestStage.start(kafka, [topic], options)
      [{^topic, moved}] = two |> await_assigned(1) |> Map.keys()
      {gone, kept} = Enum.split_with(records, &(&1.partition == moved))

      assert {:error, %Error{code: :stale_epoch, retryable?: false} = error} =
               Stage.commit(List.last(gone))

      assert %{topic: ^topic, partition: ^moved} = error
      assert {:error, %Error{code: :stale_epoch}} = Stage.commit(gone, :async)
      # None of a call that is refused.
      assert {:error, %Error{code: :stale_epoch}} = Stage.commit(records)

      assert {:error, %Error{code: :not_assigned}} =
               Stage.commit([{topic, moved, 1}], :sync, stage: one.name)

      assert committed(kafka, one.group, topic, 2) == each(topic, 2, nil)
      # The group lives on.
      :ok = Stage.commit(kept)

      [{_, offset}] =
        Enum.reject(committed(kafka, one.group, topic, 2), &match?({{_, ^moved}, _}, &1))

      assert offset == 10
    end

    test "partitions that are not ours, and offsets that were not delivered", %{kafka: kafka} do
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 3)
      {stage, [_, _, last]} = holding(kafka, topic, 3, commit_strategy: :none)
      commit = &Stage.commit([&1], :sync, stage: stage.name)

      assert {:error, %Error{code: :not_assigned, topic: ^topic, partition: 7}} =
               commit.({topic, 7, 1})

      assert {:error, %Error{code: :not_assigned, topic: "nowhere"}} = commit.({"nowhere", 0, 1})
      assert {:error, %Error{code: :not_delivered} = error} = commit.({topic, 0, 4})
      assert Exception.message(error) =~ "offset 4"
      assert committed_of(kafka, stage, topic) == nil
      assert :ok = Stage.commit(last)
    end

    test "what is no record or offset raises, and says what was expected", %{kafka: kafka} do
      stage = TestStage.start(kafka, [create_topic(kafka, 1)])

      for {message, call} <- [
            {~r/expects :sync or :async, got: :later/, fn -> Stage.commit([], :later) end},
            {~r/expects records as a stage or a stream delivered them, got: :nonsense/,
             fn -> Stage.commit(:nonsense) end},
            {~r/expects records as .* got: %OffBroadwayRustKafka.Record/,
             fn -> Stage.ack(%Record{topic: "t", partition: 0, offset: 1}) end},
            {~r/expects the option :stage/, fn -> Stage.commit([{"t", 0, 1}]) end},
            {~r/offsets as \{topic, partition, offset\}, got: \{"t", 0, -1\}/,
             fn -> Stage.commit([{"t", 0, -1}], :sync, stage: stage.name) end},
            {~r/got: \{:timeout, -5\}/, fn -> Stage.commit([], :sync, timeout: -5) end},
            {~r/got: \{:patience, 1\}/, fn -> Stage.commit([], :sync, patience: 1) end}
          ] do
        assert_raise ArgumentError, message, call
      end

      assert {:error, %Error{code: :no_pipeline}} =
               Stage.commit([{"t", 0, 1}], :sync, stage: :nobody)
    end

    test "options, before anything starts" do
      good = [hosts: "localhost:1", group_id: "g", topics: ["t"]]

      for {message, options} <- [
            {~r/OffBroadwayRustKafka.Stage: required :hosts option not found/, []},
            {~r/unknown options \[:demand\]/, good ++ [demand: -1]},
            {~r/unknown options \[:chunk_size\]/, good ++ [chunk_size: 10]},
            {~r/invalid value for :commit_strategy option: expected .*:none.*got: :never/,
             good ++ [commit_strategy: :never]},
            {~r/invalid value for :commit_threshold option: expected records between 1 .* got: 0/,
             good ++ [commit_threshold: 0]},
            {~r/:commit_threshold and commit_strategy: :none contradict each other/,
             good ++ [commit_strategy: :none, commit_threshold: 5]},
            {~r/invalid value for :name option: expected an atom, .* got: "stage"/,
             good ++ [name: "stage"]},
            {~r/invalid value for :drain_timeout option: expected at most half/,
             good ++ [drain_timeout: 200_000]}
          ] do
        assert_raise ArgumentError, message, fn -> Stage.start_link(options) end
      end

      assert_raise ArgumentError, ~r/expects a keyword list/, fn -> Stage.start_link(:none) end
    end
  end
end
