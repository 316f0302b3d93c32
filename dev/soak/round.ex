defmodule Soak.Round do
  @moduledoc false
  # One round: a group starts, faults happen to it, all is healed, all is read to the end, all its
  # members leave, and what happened is judged.

  alias Soak.{Judge, Load, Main, Members, Plan, Screen, Setting, World}

  @enforce_keys [:world, :steps, :started, :records]
  defstruct @enforce_keys ++ [heals: [], faults: 0]

  @typep t :: %__MODULE__{
           world: World.t(),
           steps: [Plan.step()],
           started: integer(),
           records: non_neg_integer(),
           heals: [{at_ms :: non_neg_integer(), String.t(), Soak.Fault.heal()}],
           faults: non_neg_integer()
         }

  # A node that a broker's trouble keeps from leaving, and brokers that take their time.
  @settle_ms 240_000

  @doc "Plays it for so long; `records` is how many there were before."
  @spec play(World.t(), pos_integer(), Main.options(), records :: non_neg_integer()) ::
          Judge.verdict()
  def play(world, ms, options, records) do
    Screen.say("-- " <> Setting.text(world.setting))
    kinds = List.duplicate(:vm, world.setting.members) ++ [:node]

    world =
      for kind <- kinds, reduce: world do
        world -> world |> Members.join(kind) |> elem(0)
      end

    started = System.monotonic_time(:millisecond)
    round = %__MODULE__{world: world, steps: Plan.random(ms), started: started, records: records}
    %{world: world, faults: faults} = round |> go_on(ms) |> heal_all()
    finish(world, faults, options)
  end

  @spec go_on(t(), pos_integer()) :: t()
  defp go_on(%{heals: [{at, _, _} = heal | heals]} = round, ms)
       when at <= ms and (round.steps == [] or at <= elem(hd(round.steps), 0)) do
    %{round | heals: heals} |> await(at) |> heal(heal) |> go_on(ms)
  end

  defp go_on(%{steps: [{at, hold, fault} | steps]} = round, ms),
    do: %{round | steps: steps} |> await(at) |> begin(fault, at + hold) |> go_on(ms)

  defp go_on(round, ms), do: await(round, ms)

  @spec await(t(), non_neg_integer()) :: t()
  defp await(round, at),
    do: %{round | world: World.listen(round.world, round.started + at)}

  @spec begin(t(), Soak.Fault.t(), non_neg_integer()) :: t()
  defp begin(%{world: world} = round, fault, heal_at) do
    alone? = MapSet.size(world.trouble) == 0

    case if(fault.alone? and not alone?, do: :none, else: fault.begin.(world)) do
      :none ->
        round

      {world, text, heal} ->
        say(round, text)
        heals = if heal, do: Enum.sort([{heal_at, text, heal} | round.heals]), else: round.heals
        %{round | world: world, heals: heals, faults: round.faults + 1}
    end
  end

  @spec heal(t(), {non_neg_integer(), String.t(), Soak.Fault.heal()}) :: t()
  defp heal(round, {_, text, heal}) do
    say(round, "over: " <> text)
    %{round | world: heal.(round.world)}
  end

  @spec heal_all(t()) :: t()
  defp heal_all(%{heals: heals} = round), do: Enum.reduce(heals, round, &heal(&2, &1))

  @spec say(t(), String.t()) :: :ok
  defp say(%{world: world, records: records}, text) do
    records = Screen.number(records + Load.count(world.load))
    Screen.say(String.pad_trailing(text, 60) <> " " <> records <> " records")
  end

  @spec finish(World.t(), non_neg_integer(), Main.options()) :: Judge.verdict()
  defp finish(world, faults, options) do
    world = World.settle(world, @settle_ms)
    Load.stop(world.load)
    {world, stuck} = Judge.await_end(world, options.stuck)

    world =
      for {_, member} <- world.members, reduce: world do
        world -> Members.leave(world, member)
      end

    verdict = world |> World.settle(@settle_ms) |> Judge.verdict(stuck)
    World.close(world)
    Map.put(verdict, :faults, faults)
  end
end
