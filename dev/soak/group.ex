defmodule Soak.Group do
  @moduledoc false
  # A member in this VM with a pipeline for each of its partitions, which is what `Soak.Pipeline` is.

  # However often pipelines crash, the group has to go on.
  use OffBroadwayRustKafka, broadway: Soak.Pipeline, max_restarts: 1_000_000, max_seconds: 1

  alias OffBroadwayRustKafka.History

  @doc "With `broadway` as `TestPipeline` makes it, and its member, which is written down."
  @spec start_link(History.Member.t(), keyword()) :: Supervisor.on_start()
  def start_link(member, broadway) do
    {_, kafka} = broadway[:producer][:module]
    own = Keyword.drop(broadway, [:name, :producer])
    start_link(name: broadway[:name], member: member, kafka: kafka, broadway: own)
  end

  @impl OffBroadwayRustKafka
  def kafka_config(args), do: args[:kafka]

  @impl OffBroadwayRustKafka
  def broadway_config(args, _topic, _partition),
    do: [producer: [module: {History.Producer, history: args[:member]}]] ++ args[:broadway]
end
