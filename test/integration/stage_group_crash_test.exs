defmodule OffBroadwayRustKafka.StageGroupCrashTest do
  # A group of stages and subscribers goes on, whichever of its processes goes down.

  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Stage, StageGroup, TestSubscriber}

  defmodule Loyal do
    @moduledoc false
    # A subscriber that does not end with its producer.
    use OffBroadwayRustKafka.Stage.Subscriber

    def start_link(arg), do: GenStage.start_link(__MODULE__, arg)

    @impl GenStage
    def init({producer, _topic, _partition, %{test: test} = extra_args}) do
      send(test, {:subscribed, self(), producer})
      {:consumer, extra_args, subscribe_to: [{producer, max_demand: 10, cancel: :temporary}]}
    end

    @impl GenStage
    def handle_events(records, _from, %{handle: handle} = extra_args) do
      Enum.each(records, handle)
      {:noreply, [], extra_args}
    end
  end

  @spec subscribers(StageGroup.t(), pos_integer()) :: %{non_neg_integer() => pid()}
  defp subscribers(%{name: name}, count) do
    for _ <- 1..count, into: %{} do
      assert_receive {:subscribed, ^name, pid, _producer, {_topic, partition}}, 15_000
      {partition, pid}
    end
  end

  test "who starts stages and subscribers may crash: those that run are replaced, and nothing is lost",
       %{kafka: kafka} do
    topic = create_topic(kafka, 3)
    fill(kafka, topic, 3, 10)
    group = StageGroup.start(kafka, [topic])
    before = subscribers(group, 3)
    monitors = for {_, pid} <- before, do: Process.monitor(pid)
    TestSubscriber.got(group.name, 30)
    {starter, _} = starter(group)
    Process.exit(starter, :kill)
    for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, _}, 15_000)
    assert map_size(subscribers(group, 3)) == 3
    fill(kafka, topic, 3, 10)
    await_committed(kafka, group.group, each(topic, 3, 20))

    offsets =
      group.name |> TestSubscriber.got_so_far() |> Enum.group_by(& &1.partition, & &1.offset)

    assert offsets == Map.new(0..2, &{&1, Enum.to_list(10..19)})
  end

  test "a subscriber that would outlive its stage finishes what it has, and is started anew with it",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 10)
    test = self()

    handle = fn %{offset: offset} ->
      if offset == 5, do: TestPipeline.hold(test, offset)
      send(test, {:handled, offset})
    end

    name = :"#{__MODULE__}.Loyal"
    group_id = random_name("group")

    options = [
      name: name,
      subscriber: Loyal,
      extra_args: %{test: test, handle: handle},
      hosts: kafka.bootstrap,
      group_id: group_id,
      topics: [topic],
      offset_reset_policy: :earliest,
      config: TestPipeline.config(kafka)
    ]

    start_supervised!({Stage.Group, options})
    assert_receive {:subscribed, subscriber, stage}, 15_000
    assert_receive {:held, ^subscriber, 5}, 15_000
    [of_stage, of_subscriber] = for pid <- [stage, subscriber], do: Process.monitor(pid)
    Process.exit(stage, :kill)
    assert_receive {:DOWN, ^of_stage, _, _, :killed}
    send(subscriber, :go)
    assert_receive {:DOWN, ^of_subscriber, _, _, :shutdown}, 15_000
    assert_receive {:subscribed, another, _}, 15_000
    assert another != subscriber
    fill(kafka, topic, 1, 10)
    await_committed(kafka, group_id, %{{topic, 0} => 20})
    # It was waited for: nothing came twice.
    for offset <- 0..19, do: assert_received({:handled, ^offset})
    refute_received {:handled, _}
  end
end
