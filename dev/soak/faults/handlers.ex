defmodule Soak.Faults.Handlers do
  @moduledoc false
  # Handlers that are slow, hang, ask for nothing, or lose what they were given.

  alias OffBroadwayRustKafka.History
  alias Soak.{Fault, Forms, Members, Mood, World}

  @spec all() :: [Fault.t()]
  def all do
    [
      %Fault{name: :slow, begin: &slow/1, hold: 3_000..10_000},
      %Fault{name: :no_demand, begin: &no_demand/1, hold: 4_000..15_000},
      %Fault{name: :hang, begin: &hang/1},
      %Fault{name: :fewer, begin: &fewer/1, hold: 3_000..8_000}
    ]
  end

  @spec slow(World.t()) :: Fault.result()
  defp slow(world) do
    ms = Enum.random([2, 10, 50])
    moody(world, "takes #{ms} ms a record", &Mood.pause(&1, ms))
  end

  @spec no_demand(World.t()) :: Fault.result()
  defp no_demand(world), do: moody(world, "asks for nothing", &Mood.close/1)

  @spec hang(World.t()) :: Fault.result()
  defp hang(world) do
    ms = Enum.random(1_000..8_000)
    {world, text, _heal} = moody(world, "takes #{ms} ms for one record", &Mood.hang(&1, ms))
    {world, text, nil}
  end

  # Only what is delivered again on time is not stuck then.
  @spec fewer(World.t()) :: Fault.result()
  defp fewer(%{setting: %{on_unacked: :redeliver, batchers: [_ | _]}} = world) do
    n = Enum.random([7, 50])
    what = "returns all but one of #{n} of a batch"
    moody(world, what, &Mood.fewer(&1, n), [:pipeline, :group])
  end

  defp fewer(_world), do: :none

  @spec moody(World.t(), String.t(), (Mood.t() -> :ok), [Forms.form()]) :: Fault.result()
  defp moody(world, what, fun, forms \\ Forms.all()) do
    case Members.any(world, forms) do
      nil -> :none
      member -> moody_member(world, member, what, fun)
    end
  end

  @spec moody_member(World.t(), Members.member(), String.t(), (Mood.t() -> :ok)) ::
          Fault.result()
  defp moody_member(world, member, what, fun) do
    what = "#{member.label} #{what}"
    History.fault(world.history, what)
    fun.(member.mood)

    {Members.unclean(world, member), what,
     fn world ->
       Mood.well(member.mood)
       world
     end}
  end
end
