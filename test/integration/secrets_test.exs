defmodule OffBroadwayRustKafka.SecretsTest do
  use OffBroadwayRustKafka.KafkaCase, async: true

  import ExUnit.CaptureLog

  alias OffBroadwayRustKafka.{Producer, SharedMember, TestGroup}

  @secret "hunter2-in-clear-text"

  # A password is taken, if not used, without SASL.
  defp config, do: ["sasl.password": @secret, "sasl.username": "me"]

  # Those that refuse a plain connection are in leaks_test.exs.
  defp producers do
    [
      [config: config()],
      [config: ["sasl.password": fn -> @secret end, "sasl.username": "me"]]
    ]
  end

  defp shown(term),
    do: inspect(term, limit: :infinity, printable_limit: :infinity, structs: false)

  defp processes(pid) do
    children =
      for {_, child, _, _} <- children(pid), is_pid(child), pid <- processes(child), do: pid

    [pid | children]
  end

  defp children(pid) do
    {:dictionary, dictionary} = Process.info(pid, :dictionary)

    case dictionary[:"$initial_call"] do
      {:supervisor, _, _} -> Supervisor.which_children(pid)
      _ -> []
    end
  end

  test "no state, status or dictionary of any process of the pipeline shows a secret", %{
    kafka: kafka
  } do
    topic = create_topic(kafka, 1)

    for producer <- producers() do
      pipeline = TestPipeline.start(kafka, [topic], producer: producer)
      await_assigned(pipeline, 1)
      {:links, links} = Process.info(Process.whereis(pipeline.name), :links)
      supervisors = for pid <- links, is_pid(pid), children(pid) != [], do: pid
      found = Enum.flat_map(supervisors, &processes/1)
      assert length(found) > 5

      for pid <- [Process.whereis(pipeline.name) | found] do
        refute shown(:sys.get_state(pid)) =~ @secret
        refute shown(:sys.get_status(pid)) =~ @secret
        refute shown(Process.info(pid, [:dictionary, :messages])) =~ @secret
      end

      stop(pipeline)
    end
  end

  test "no process of a shared member or of a group shows a secret, nor do their child specs",
       %{kafka: kafka} do
    topic = create_topic(kafka, 1)

    for producer <- producers() do
      member = :"#{__MODULE__}.Member#{System.unique_integer([:positive])}"
      options = TestPipeline.member(random_name("group"), kafka, [topic], producer)
      spec = SharedMember.child_spec([name: member] ++ options)
      refute shown(spec) =~ @secret
      {:ok, _} = start_supervised(spec)
      TestPipeline.start(kafka, [topic], consumer: member)

      {group, spec} = TestGroup.child(kafka, [topic], producer: producer)
      refute shown(spec) =~ @secret
      start_supervised!(spec)
      TestGroup.await_started(group, 1)

      for name <- [member, group.name], pid <- processes(Process.whereis(name)) do
        refute shown(:sys.get_state(pid)) =~ @secret
        refute shown(:sys.get_status(pid)) =~ @secret
        refute shown(Process.info(pid, [:dictionary, :messages])) =~ @secret
      end
    end
  end

  test "no log line and no crash report shows a secret", %{kafka: kafka} do
    topic = create_topic(kafka, 1)

    log =
      capture_log(fn ->
        for producer <- producers() do
          pipeline = TestPipeline.start(kafka, [topic], producer: producer)
          await_assigned(pipeline, 1)
          [producer | _] = Broadway.producer_names(pipeline.name)
          monitor = Process.monitor(producer)
          Process.exit(Process.whereis(producer), :boom)
          assert_receive {:DOWN, ^monitor, _, _, :boom}
          :ok = GenServer.stop(consumer(pipeline), :boom)
          stop(pipeline)
        end
      end)

    refute log =~ @secret
  end

  @tag :hex
  test "Broadway's telemetry shows no secret", %{kafka: kafka} do
    test = self()
    id = random_name("handler")

    :telemetry.attach(
      id,
      [:broadway, :topology, :init],
      fn _, _, metadata, _ -> send(test, {:topology, metadata.config[:name], metadata}) end,
      nil
    )

    on_exit(fn -> :telemetry.detach(id) end)
    topic = create_topic(kafka, 1)
    %{name: name} = TestPipeline.start(kafka, [topic], producer: [config: config()])
    assert_receive {:topology, ^name, metadata}
    refute shown(metadata) =~ @secret
  end

  test "a wrong value of a secret is not quoted, and nothing starts" do
    producer =
      {Producer, hosts: "h", group_id: "g", topics: ["t"], config: ["sasl.password": {@secret}]}

    options = [name: :none, producer: [module: producer], processors: [default: []]]
    error = assert_raise ArgumentError, fn -> Producer.prepare_for_start(Producer, options) end
    assert Exception.message(error) =~ "sasl.password"
    refute Exception.message(error) =~ @secret
  end
end
