defmodule OffBroadwayRustKafka.StagesTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Stages

  # A process that ends tells those that monitor it one after another, and yields between them.
  @many 100_000

  test "all are up once each name is taken, and one that goes down is told of" do
    [first, second] = names = for _ <- 1..2, do: new_name()
    stages = Stages.new(names)
    start_stage(first)
    assert {:some_down, stages} = Stages.watch(stages)
    pid = start_stage(second)
    assert {:all_up, stages} = Stages.watch(stages)

    Process.exit(pid, :kill)
    assert_receive {:DOWN, ref, :process, ^pid, :killed}
    assert {:ok, stages} = Stages.down(stages, ref, pid)
    assert {:some_down, stages} = Stages.watch(stages)
    start_stage(second)
    assert {:all_up, _} = Stages.watch(stages)
  end

  test "they are not all up while one of them, or the caller, has not heard that one went down" do
    for late <- [:stage, :caller] do
      [feeder, name] = names = for _ <- 1..2, do: new_name()
      feeder_pid = start_stage(feeder)
      pid = start_stage(name)
      {:all_up, stages} = Stages.watch(Stages.new(names))

      by_many(pid)
      if late == :stage, do: monitor_from(feeder_pid, pid), else: Process.monitor(pid)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ref, :process, ^pid, :killed}
      {:ok, stages} = Stages.down(stages, ref, pid)
      start_stage(name)
      await_all_up(stages)

      # So its message is before any that is sent from now on.
      receiver = if late == :stage, do: feeder_pid, else: self()
      {:messages, messages} = Process.info(receiver, :messages)
      assert Enum.any?(messages, &match?({:DOWN, _, :process, ^pid, :killed}, &1))
    end
  end

  test "what is monitored besides them is none of them" do
    pid = start_stage(new_name())
    ref = Process.monitor(pid)
    assert Stages.down(Stages.new([new_name()]), ref, pid) == :error
  end

  defp await_all_up(stages) do
    with {:some_down, stages} <- Stages.watch(stages), do: await_all_up(stages)
  end

  defp new_name, do: :"#{__MODULE__}#{System.unique_integer([:positive])}"

  defp start_stage(name) do
    test = self()

    pid =
      spawn_link(fn ->
        Process.register(self(), name)
        Process.flag(:trap_exit, true)
        send(test, {:up, self()})
        stage()
      end)

    Process.unlink(pid)
    assert_receive {:up, ^pid}
    pid
  end

  defp stage do
    receive do
      {:monitor, from, pid} ->
        Process.monitor(pid)
        # Once it has answered this, the monitor is in place.
        Process.info(pid, :monitored_by)
        send(from, :monitored)
        stage()
    end
  end

  defp monitor_from(stage, pid) do
    send(stage, {:monitor, self(), pid})
    assert_receive :monitored
  end

  defp by_many(pid) do
    test = self()

    start_supervised!(
      {Task,
       fn ->
         for _ <- 1..@many, do: Process.monitor(pid)
         send(test, :by_many)
         Process.sleep(:infinity)
       end},
      id: make_ref()
    )

    assert_receive :by_many, 10_000
  end
end
