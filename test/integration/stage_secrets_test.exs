defmodule OffBroadwayRustKafka.StageSecretsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Stage, StageGroup, TestStage, TestSubscriber}

  @secret "hunter2-in-clear-text"

  # A password is taken, if not used, without SASL.
  defp options(kafka) do
    own = ["sasl.password": @secret, "sasl.username": "me"]
    [config: own ++ TestPipeline.config(kafka)]
  end

  defp shown(term),
    do: inspect(term, limit: :infinity, printable_limit: :infinity, structs: false)

  defp assert_secret(pids) do
    assert length(pids) > 1

    for pid <- pids do
      refute shown(:sys.get_state(pid)) =~ @secret
      refute shown(:sys.get_status(pid)) =~ @secret
      refute shown(Process.info(pid, [:dictionary, :messages])) =~ @secret
    end
  end

  test "no process of a stage shows a secret, nor does its crash", %{kafka: kafka} do
    topic = create_topic(kafka, 1)

    log =
      capture_log(fn ->
        stage = TestStage.start(kafka, [topic], options(kafka))
        await_assigned(stage, 1)
        pid = Process.whereis(stage.name)
        {:links, links} = Process.info(pid, :links)
        {:dictionary, dictionary} = Process.info(pid, :dictionary)
        [supervisor | _] = dictionary[:"$ancestors"]
        [consumer] = for linked <- links, is_pid(linked), linked != supervisor, do: linked
        assert_secret([pid, consumer])
        monitor = Process.monitor(pid)
        Process.exit(consumer, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}, 15_000
      end)

    assert log =~ "killed"
    refute log =~ @secret
  end

  test "no process of a group shows a secret", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    group = StageGroup.start(kafka, [topic], options(kafka))
    assert_receive {:subscribed, _, _, _, _}, 15_000
    pid = Process.whereis(group.name)
    children = for {_, child, _, _} <- Supervisor.which_children(pid), do: child
    {starter, supervisor} = starter(group)
    pairs = for {_, pair, _, _} <- DynamicSupervisor.which_children(supervisor), do: pair
    assert length(pairs) == 1
    assert_secret([pid, starter, supervisor | children] ++ pairs)
  end

  test "no child spec of a stage or a group shows a secret, and each starts it", %{kafka: kafka} do
    topic = create_topic(kafka, 1)

    options =
      [hosts: kafka.bootstrap, group_id: random_name("group"), topics: [topic]] ++ options(kafka)

    for {module, own} <- [
          {Stage, []},
          {Stage.Group, [subscriber: StageGroup, extra_args: self()]}
        ] do
      spec = Supervisor.child_spec({module, options ++ own}, [])
      refute shown(spec) =~ @secret
      {:ok, supervisor} = Supervisor.start_link([spec], strategy: :one_for_one)
      refute shown(:sys.get_state(supervisor)) =~ @secret
      assert [{^module, pid, _, _}] = Supervisor.which_children(supervisor)
      assert is_pid(pid)
      Supervisor.stop(supervisor)
    end
  end

  test "records show nothing of the member that they came from", %{kafka: kafka} do
    topic = create_topic(kafka, 1)
    fill(kafka, topic, 1, 1)
    stage = TestStage.start(kafka, [topic], options(kafka))
    TestSubscriber.start(stage.name)
    [record] = TestSubscriber.got(1)
    refute shown(record) =~ @secret
    refute inspect(record) =~ "#Reference"
  end
end
