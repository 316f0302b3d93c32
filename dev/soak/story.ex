defmodule Soak.Story do
  @moduledoc false
  # Round after round, each with a group, a topic and members of its own, so that what has to be
  # remembered of it ends with it.

  alias OffBroadwayRustKafka.Brokers
  alias Soak.{Judge, Main, Round, Setting, Tally, World}

  @round_s 50..110
  # What would be left for less than this goes into the round before.
  @least_s 40

  @doc "Tells it, and says whether all was as it should be."
  @spec tell(Main.options()) :: boolean()
  def tell(options) do
    Process.flag(:trap_exit, true)
    kafka = Brokers.kafka()
    # The group's coordinator is there from now on, and each broker's proxy.
    Brokers.await_healthy()
    proxied = Brokers.proxied()
    started = System.monotonic_time(:second)
    tally = rounds(%Tally{}, 1, started + options.seconds, {kafka, proxied}, options)
    seconds = System.monotonic_time(:second) - started
    IO.puts(Tally.line(tally, seconds, options.seed))
    Tally.sound?(tally)
  end

  @spec rounds(Tally.t(), pos_integer(), integer(), tuple(), Main.options()) :: Tally.t()
  defp rounds(tally, number, until, {kafka, proxied} = cluster, options) do
    left = until - System.monotonic_time(:second)
    :rand.seed(:exsss, :erlang.phash2({options.seed, number}))
    setting = Setting.random()
    seconds = Enum.random(@round_s)
    seconds = if left - seconds < @least_s, do: left, else: seconds

    if left <= 0 do
      tally
    else
      world = World.new(kafka, proxied, setting, options)
      {outcome, verdict} = play(world, seconds * 1000, options, tally.records)
      Tally.tell(verdict, number, options.dir)
      tally = Tally.add(tally, verdict)
      if outcome == :ended, do: rounds(tally, number + 1, until, cluster, options), else: tally
    end
  end

  # What breaks a round off is worth as much as what it finds in the end, and is the last round's.
  @spec play(World.t(), pos_integer(), Main.options(), non_neg_integer()) ::
          {:ended | :broke_off, Judge.verdict()}
  defp play(world, ms, options, records) do
    {:ended, Round.play(world, ms, options, records)}
  rescue
    error -> {:broke_off, Judge.broke_off(world, Exception.format(:error, error, __STACKTRACE__))}
  catch
    kind, reason ->
      {:broke_off, Judge.broke_off(world, Exception.format(kind, reason, __STACKTRACE__))}
  end
end
