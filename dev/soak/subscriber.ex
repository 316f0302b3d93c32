defmodule Soak.Subscriber do
  @moduledoc false
  # What handles a partition of a member in this VM that is a group of stages: it does as its mood is.

  use OffBroadwayRustKafka.Stage.Subscriber

  alias OffBroadwayRustKafka.History.StageGroup
  alias Soak.Mood

  @spec start_link(tuple()) :: GenServer.on_start()
  def start_link(arg), do: GenStage.start_link(__MODULE__, arg)

  @impl GenStage
  def init({stage, topic, partition, %{max_demand: max_demand} = own}) do
    tag = StageGroup.subscribed(own.member, {topic, partition}, max_demand)
    {:consumer, Map.put(own, :tag, tag), subscribe_to: [{stage, max_demand: max_demand}]}
  end

  @impl GenStage
  def handle_events(records, _from, own) do
    StageGroup.got(records, own.tag)
    for _record <- records, do: Mood.work(own.mood)
    StageGroup.handled(records, own.tag)
    {:noreply, [], own}
  end
end
