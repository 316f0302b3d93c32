defmodule Soak.Faults.Members do
  @moduledoc false
  # Members come and go, by request or not.

  alias OffBroadwayRustKafka.TestNode
  alias Soak.{Fault, Members, World}

  @most %{vm: 4, node: 2}

  @spec all() :: [Fault.t()]
  def all do
    [
      %Fault{name: :join, begin: &join(&1, :vm)},
      %Fault{name: :join_node, begin: &join(&1, :node)},
      %Fault{name: :leave, begin: &leave(&1, :vm, 1)},
      %Fault{name: :leave_node, begin: &leave(&1, :node, 0)},
      %Fault{name: :kill_node, begin: &kill_node/1, hold: 500..9_000},
      # For longer than the session.
      %Fault{name: :stop_node, begin: &stop_node/1, hold: 8_000..12_000}
    ]
  end

  @spec join(World.t(), :vm | :node) :: Fault.result()
  defp join(world, kind) do
    if length(Members.all(world, kind)) >= @most[kind] do
      :none
    else
      {world, label} = Members.join(world, kind)
      {world, "#{label} joins", nil}
    end
  end

  @spec leave(World.t(), :vm | :node, least :: non_neg_integer()) :: Fault.result()
  defp leave(world, kind, least) do
    case Members.all(world, kind) do
      members when length(members) <= least ->
        :none

      members ->
        member = Enum.random(members)
        {Members.leave(world, member), "#{member.label} leaves", nil}
    end
  end

  # A static member comes again, before or after its session has ended. One that has not joined yet
  # is killed while it does.
  @spec kill_node(World.t()) :: Fault.result()
  defp kill_node(world) do
    with_node(world, fn member ->
      TestNode.kill(member.node, "KILL")
      again = fn world -> world |> Members.join(:node, member.instance) |> elem(0) end
      heal = if world.setting.static?, do: again
      {Members.forget(world, member), "kill -9 of #{member.label}", heal}
    end)
  end

  @spec stop_node(World.t()) :: Fault.result()
  defp stop_node(world) do
    with_node(world, fn %{label: label, node: node} ->
      TestNode.signal(node, "STOP")
      world = Members.update(world, label, %{stopped?: true})

      {world, "SIGSTOP of #{label}",
       fn world ->
         TestNode.signal(node, "CONT")
         Members.update(world, label, %{stopped?: false})
       end}
    end)
  end

  @spec with_node(World.t(), (Members.member() -> Fault.result())) :: Fault.result()
  defp with_node(world, fun) do
    case Members.all(world, :node) do
      [] -> :none
      members -> members |> Enum.random() |> fun.()
    end
  end
end
