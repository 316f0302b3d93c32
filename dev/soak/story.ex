defmodule Soak.Story do
  @moduledoc false
  # Round after round, each with a group, a topic and members of its own, so that what has to be
  # remembered of it ends with it.

  alias OffBroadwayRustKafka.Brokers
  alias Soak.{Main, Round, Setting, Tally, World}

  @round_s 40..90

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
    case until - System.monotonic_time(:second) do
      left when left <= 0 ->
        tally

      left ->
        :rand.seed(:exsss, {options.seed, number, 0})
        setting = Setting.random()
        seconds = min(left, Enum.random(@round_s))

        verdict =
          kafka
          |> World.new(proxied, setting, options)
          |> Round.play(seconds * 1000, options, tally.records)

        Tally.tell(verdict, number, options.dir)
        rounds(Tally.add(tally, verdict), number + 1, until, cluster, options)
    end
  end
end
