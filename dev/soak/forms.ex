defmodule Soak.Forms do
  @moduledoc false
  # What a member in this VM is: a pipeline, a group with a pipeline for each partition, or one with a stage and
  # a subscriber for each.

  alias OffBroadwayRustKafka.{History, TestPipeline}
  alias Soak.{Group, Mood, Pipeline, Setting, Subscriber, World}

  @type form :: :pipeline | :group | :stages

  @stop_ms 90_000

  @spec all() :: [form(), ...]
  def all, do: [:pipeline, :group, :stages]

  @doc "Starts one of this name; what is left to do when it has been stopped comes with it."
  @spec start(form(), World.t(), TestPipeline.t(), keyword(), Mood.t()) ::
          {pid(), stop :: (() -> :ok)}
  def start(:pipeline, world, pipeline, options, mood) do
    broadway = broadway(world, pipeline, [history: world.history] ++ options, mood)
    {:ok, pid} = Pipeline.start_link(broadway)
    {pid, fn -> Broadway.stop(pipeline.name, :normal, @stop_ms) end}
  end

  # Its consumer's restarts are not told apart: it is let live.
  def start(:group, world, pipeline, options, mood) do
    given = %{sink: History.sink(world.history), label: TestPipeline.label(pipeline)}
    member = History.Member.new(given, pipeline.name, pipeline.group)
    {:ok, watch} = History.Member.start_link(member)
    Process.unlink(watch)
    History.Member.began(member)
    {:ok, pid} = Group.start_link(member, broadway(world, pipeline, options, mood))

    {pid,
     fn ->
       Supervisor.stop(pipeline.name, :normal, @stop_ms)
       GenServer.stop(watch)
     end}
  end

  def start(:stages, world, %{name: name} = pipeline, options, mood) do
    own = [name: name, subscriber: Subscriber] ++ Setting.stages(options)
    own = TestPipeline.member(pipeline.group, world.proxied, [world.topic], own)
    member = History.StageGroup.member(world.history, own)
    extra_args = %{member: member, mood: mood, max_demand: options[:processors][:max_demand]}
    {:ok, pid} = History.StageGroup.start_link(member, [extra_args: extra_args] ++ own)

    {pid,
     fn ->
       History.StageGroup.draining(member)
       Supervisor.stop(name, :normal, @stop_ms)
     end}
  end

  @spec broadway(World.t(), TestPipeline.t(), keyword(), Mood.t()) :: keyword()
  defp broadway(world, pipeline, options, mood) do
    pipeline
    |> TestPipeline.broadway(world.proxied, [world.topic], options)
    |> Keyword.put(:context, %{mood: mood})
  end
end
