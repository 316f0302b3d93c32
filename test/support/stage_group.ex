defmodule OffBroadwayRustKafka.StageGroup do
  @moduledoc false
  # A `OffBroadwayRustKafka.Stage.Group` whose subscribers tell the test process what they do:
  # `{:subscribed, name, pid, producer, {topic, partition}}` and `{:got, name, pid, records}`. `:handle` does
  # something to the records that one was handed, `:start` before one is started; what either returns as
  # `{:answer, answer}` is answered instead. `:history` records it, under the label of its name. With another
  # `:subscriber`, `:own` is what that is given besides.

  use OffBroadwayRustKafka.Stage.Subscriber

  alias OffBroadwayRustKafka.{History, Kafka, Stage, TestPipeline, TestStage}

  @enforce_keys [:name, :group, :member, :strategy]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          name: atom(),
          group: String.t(),
          member: History.Member.t() | nil,
          strategy: :async | :sync | :none
        }

  @max_demand 10

  @spec start(Kafka.t(), [String.t()], keyword()) :: t()
  def start(kafka, topics, options \\ []) do
    {own, options} = Keyword.split(options, [:handle, :start, :max_demand])
    {history, options} = Keyword.pop(options, :history)
    {more, options} = Keyword.pop(options, :own, %{})
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"
    options = [name: name] ++ TestStage.options(kafka, topics, options)
    member = history && History.StageGroup.member(history, options)
    extra_args = Enum.into(own, Map.merge(%{test: self(), name: name, member: member}, more))
    options = Keyword.merge([subscriber: __MODULE__, extra_args: extra_args], options)
    TestPipeline.listen(name)
    ExUnit.Callbacks.start_supervised!(child(member, options))
    strategy = options[:commit_strategy] || :async
    %__MODULE__{name: name, group: options[:group_id], member: member, strategy: strategy}
  end

  @spec child(History.Member.t() | nil, keyword()) :: Supervisor.child_spec()
  defp child(nil, options), do: Supervisor.child_spec({Stage.Group, options}, restart: :temporary)

  defp child(member, options),
    do: %{child(nil, options) | start: {History.StageGroup, :start_link, [member, options]}}

  @doc "Stops it as its supervisor would."
  @spec stop(t()) :: :ok
  def stop(%{name: name, member: member, strategy: strategy}) do
    # Where commits are made by hand, a clean stop makes none.
    if member && strategy != :none, do: History.StageGroup.draining(member)
    ExUnit.Callbacks.stop_supervised!(name)
  end

  def start_link({_producer, topic, partition, extra_args} = arg) do
    start = extra_args[:start] || (& &1)

    with {:answer, answer} <- start.({topic, partition}),
         do: answer,
         else: (_ -> GenStage.start_link(__MODULE__, arg))
  end

  @impl GenStage
  def init({producer, topic, partition, extra_args}) do
    %{test: test, name: name, member: member} = extra_args
    max_demand = extra_args[:max_demand] || @max_demand
    place = {topic, partition}
    tag = member && History.StageGroup.subscribed(member, place, max_demand)
    send(test, {:subscribed, name, self(), producer, place})
    state = Map.put(extra_args, :tag, tag)
    {:consumer, state, subscribe_to: [{producer, max_demand: max_demand}]}
  end

  @impl GenStage
  def handle_events(records, _from, %{tag: tag} = state) do
    if tag, do: History.StageGroup.got(records, tag)
    send(state.test, {:got, state.name, self(), records})
    handle = state[:handle] || (& &1)
    answer = handle.(records)
    if tag, do: History.StageGroup.handled(records, tag)
    with {:answer, answer} <- answer, do: answer, else: (_ -> {:noreply, [], state})
  end
end
