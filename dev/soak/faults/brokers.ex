defmodule Soak.Faults.Brokers do
  @moduledoc false
  # Brokers end, hang, and lead other partitions; a topic gets more of these. What takes a while is
  # done beside the rest, and is over when the cluster is whole again.

  alias OffBroadwayRustKafka.{Brokers, History, Kafka, TestClient}
  alias Soak.{Fault, Load, Screen, World}

  @most_partitions 60
  @attempts 3

  @spec all() :: [Fault.t()]
  def all do
    [
      %Fault{name: :kill_broker, begin: &kill_any/1, hold: 2_000..8_000, alone?: true},
      %Fault{
        name: :kill_coordinator,
        begin: &kill_coordinator/1,
        hold: 2_000..8_000,
        alone?: true
      },
      %Fault{name: :pause_broker, begin: &pause/1, hold: 2_000..10_000, alone?: true},
      %Fault{name: :rolling_restart, begin: &rolling_restart/1, alone?: true, one_in: 3},
      %Fault{name: :move_leader, begin: &move_leader/1, alone?: true},
      %Fault{name: :add_partitions, begin: &add_partitions/1, alone?: true}
    ]
  end

  @spec kill_any(World.t()) :: Fault.result()
  defp kill_any(world), do: kill(world, Enum.random(Brokers.ids()), "broker")

  @spec kill_coordinator(World.t()) :: Fault.result()
  defp kill_coordinator(world), do: kill(world, Brokers.coordinator(world.group), "coordinator")

  @spec kill(World.t(), Brokers.id(), String.t()) :: Fault.result()
  defp kill(world, id, what) do
    what = "kill -9 of #{what} #{id}"
    world = World.ill(world, what)
    Brokers.kill(id)
    {world, what, &whole_again(&1, what, fn -> Brokers.start(id) end)}
  end

  @spec pause(World.t()) :: Fault.result()
  defp pause(world) do
    id = Enum.random(Brokers.ids())
    what = "SIGSTOP of broker #{id}"
    world = World.ill(world, what)
    Brokers.pause(id)
    {world, what, &whole_again(&1, what, fn -> Brokers.resume(id) end)}
  end

  @spec rolling_restart(World.t()) :: Fault.result()
  defp rolling_restart(world) do
    what = "restart of one broker after the other"

    restart = fn ->
      for id <- Enum.shuffle(Brokers.ids()) do
        Brokers.stop(id)
        Brokers.start(id)
        Brokers.await_healthy()
      end
    end

    {world |> World.ill(what) |> whole_again(what, restart), what, nil}
  end

  @spec move_leader(World.t()) :: Fault.result()
  defp move_leader(world) do
    partition = :rand.uniform(world.partitions) - 1
    leader = Brokers.leader(world.topic, partition)
    to = Enum.random(Brokers.ids() -- [leader])
    what = "partition #{partition} moves from broker #{leader} to #{to}"
    move = fn -> Brokers.move_leader(world.topic, partition, to) end
    {world |> World.ill(what) |> whole_again(what, move), what, nil}
  end

  @spec add_partitions(World.t()) :: Fault.result()
  defp add_partitions(%{partitions: partitions}) when partitions >= @most_partitions, do: :none

  defp add_partitions(world) do
    total = world.partitions + Enum.random(1..3)
    what = "#{total} partitions, after #{world.partitions}"
    History.fault(world.history, what)
    :ok = TestClient.add_partitions(Kafka.client(world.kafka), world.topic, total)
    Load.spread(world.load, total)
    {%{world | partitions: total}, what, nil}
  end

  @spec whole_again(World.t(), String.t(), (() -> term())) :: World.t()
  defp whole_again(world, what, fun),
    do: World.later(world, fn -> heal(fun, @attempts) end, &World.well(&1, what))

  # That a busy machine has not started a broker in time is nothing that is looked for here.
  @spec heal((() -> term()), pos_integer()) :: :ok
  defp heal(fun, attempts) do
    fun.()
    Brokers.await_healthy()
  rescue
    error in ExUnit.AssertionError ->
      if attempts == 1, do: reraise(error, __STACKTRACE__)
      Screen.say("trying again: #{error.message |> String.split("\n") |> hd()}")
      heal(&Brokers.heal/0, attempts - 1)
  end
end
