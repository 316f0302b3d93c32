defmodule OffBroadwayRustKafka.Churn do
  @moduledoc false
  # Members that come and go, by a schedule that a seed decides: pipelines, two of them static
  # members, and a node of its own. They join, stop as a user would, or are killed.

  alias OffBroadwayRustKafka.{Gaps, Kafka, Members, TestNode, TestPipeline}

  @enforce_keys [:context, :random]
  defstruct @enforce_keys ++ [members: %{}, windows: [], drains: [], clean: [], killed: 0]

  @type t :: %__MODULE__{
          context: Members.context(),
          random: :rand.state(),
          members: %{id() => TestPipeline.t() | TestNode.t()},
          windows: [Gaps.window()],
          drains: [{time :: integer(), ms :: non_neg_integer()}],
          clean: [String.t()],
          killed: non_neg_integer()
        }
  @typep id :: :first | :second | :third | :fourth | :fifth | :node

  @ids [:first, :second, :third, :fourth, :fifth, :node]
  @static [:first, :second]
  @fewest 2

  @up_ms 60_000

  # Between a change of the group and the next.
  @pause_ms 200..3_000

  @doc """
  The first members. The context says what is read, and has the options of the `:producer`.
  """
  @spec start(Members.context(), integer()) :: t()
  def start(context, seed) do
    attach_drains(context.group)
    churn = %__MODULE__{context: context, random: :rand.seed_s(:exsss, seed)}
    Enum.reduce(1..@fewest, churn, fn _, churn -> join(churn) end)
  end

  @doc "Lets them come and go for so long."
  @spec run(t(), ms :: pos_integer()) :: t()
  def run(churn, ms), do: until(churn, now_ms() + ms)

  @doc "Waits for so long, while all stay."
  @spec pass(t(), ms :: non_neg_integer()) :: t()
  def pass(churn, ms), do: listen(churn, now_ms() + ms)

  @doc "All leave."
  @spec stop(t()) :: t()
  def stop(churn) do
    churn = Enum.reduce(Map.keys(churn.members), churn, &leave(&2, &1))
    pass(churn, 0)
  end

  @doc "How many members there were, how many stopped and how many were killed."
  @spec summary(t()) :: String.t()
  def summary(churn) do
    members = length(churn.clean) + churn.killed
    "#{members} members, of which #{churn.killed} were killed; longest drain #{drain(churn)} ms"
  end

  @doc "The longest drain in a window; or of all."
  @spec drain(t(), Gaps.window() | :all) :: non_neg_integer()
  def drain(churn, window \\ :all) do
    for({time, ms} <- churn.drains, window == :all or in?(time, window), do: ms)
    |> Enum.max(fn -> 0 end)
  end

  @spec in?(integer(), Gaps.window()) :: boolean()
  defp in?(time, {from, to}), do: time in from..to

  @spec until(t(), integer()) :: t()
  defp until(churn, deadline) do
    if now_ms() >= deadline do
      churn
    else
      from = System.os_time(:nanosecond)
      {change, churn} = choose(churn)
      {pause, churn} = uniform(Enum.count(@pause_ms), churn)
      churn = churn |> change.() |> listen(now_ms() + @pause_ms.first + pause - 1)
      window = {from, System.os_time(:nanosecond)}
      until(%{churn | windows: [window | churn.windows]}, deadline)
    end
  end

  @spec choose(t()) :: {(t() -> t()), t()}
  defp choose(churn) do
    count = map_size(churn.members)
    {percent, churn} = uniform(100, churn)

    cond do
      count <= @fewest or (count < length(@ids) and percent <= 45) -> {&join/1, churn}
      percent <= 80 -> {&leave/1, churn}
      true -> {&kill/1, churn}
    end
  end

  @spec join(t()) :: t()
  defp join(churn) do
    {id, churn} = pick(@ids -- Map.keys(churn.members), churn)
    put_in(churn.members[id], start_member(id, churn.context))
  end

  @spec start_member(id(), Members.context()) :: TestPipeline.t() | TestNode.t()
  defp start_member(id, context) do
    static = if id in @static, do: [instance_id: Atom.to_string(id)], else: []

    options = [
      group: context.group,
      history: context.history,
      producer: static ++ context.producer,
      processors: [concurrency: 4]
    ]

    if id == :node,
      do: context.kafka |> TestNode.start([context.topic], options) |> tap(&await_up/1),
      else: TestPipeline.start(context.kafka, [context.topic], [handle: &work/1] ++ options)
  end

  # A node takes long to start, and takes no signal before that.
  @spec await_up(TestNode.t()) :: :ok
  defp await_up(node) do
    Kafka.await(@up_ms, fn ->
      if TestNode.handled(node) == %{}, do: {:not_yet, "the node has handled nothing"}, else: :ok
    end)
  end

  # Now and then something takes long.
  @spec work(Broadway.Message.t()) :: Broadway.Message.t()
  defp work(%{metadata: %{offset: offset, partition: partition}} = message) do
    Kafka.pass(if(:erlang.phash2({offset, partition}, 100) == 0, do: 5, else: 0))
    message
  end

  @spec leave(t()) :: t()
  defp leave(churn) do
    {id, churn} = pick(Map.keys(churn.members), churn)
    leave(churn, id)
  end

  @spec leave(t(), id()) :: t()
  defp leave(churn, id) do
    {member, churn} = pop_in(churn.members[id])

    case member do
      %TestNode{} -> 0 = TestNode.kill(member, "TERM")
      %TestPipeline{name: name} -> :ok = Broadway.stop(name)
    end

    %{churn | clean: [label(member) | churn.clean]}
  end

  @spec kill(t()) :: t()
  defp kill(churn) do
    {id, churn} = pick(Map.keys(churn.members), churn)
    {member, churn} = pop_in(churn.members[id])

    case member do
      %TestNode{} -> 137 = TestNode.kill(member, "KILL")
      %TestPipeline{} -> kill_pipeline(member)
    end

    %{churn | killed: churn.killed + 1}
  end

  @spec kill_pipeline(TestPipeline.t()) :: true
  defp kill_pipeline(%{name: name}) do
    supervisor = Process.whereis(:"#{name}.Broadway.Supervisor")
    monitor = Process.monitor(name)
    true = Process.exit(supervisor, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> true
    end
  end

  @spec label(TestPipeline.t() | TestNode.t()) :: String.t()
  defp label(%module{} = member), do: module.label(member)

  @spec pick([id()], t()) :: {id(), t()}
  defp pick(ids, churn) do
    {number, churn} = uniform(length(ids), churn)
    {ids |> Enum.sort() |> Enum.at(number - 1), churn}
  end

  @spec uniform(pos_integer(), t()) :: {pos_integer(), t()}
  defp uniform(most, churn) do
    {number, random} = :rand.uniform_s(most, churn.random)
    {number, %{churn | random: random}}
  end

  # What the pipelines tell of each record is not of interest, and must not pile up.
  @spec listen(t(), integer()) :: t()
  defp listen(churn, deadline) do
    receive do
      {:drained, time, ms} -> listen(%{churn | drains: [{time, ms} | churn.drains]}, deadline)
      {:handled, _, _, _} -> listen(churn, deadline)
      {:telemetry, _, _, _, _} -> listen(churn, deadline)
    after
      max(deadline - now_ms(), 0) -> churn
    end
  end

  @spec attach_drains(String.t()) :: :ok
  defp attach_drains(group) do
    event = [:off_broadway_rust_kafka, :revoked]
    :ok = :telemetry.attach(group, event, &__MODULE__.drained/4, %{test: self(), group: group})
    ExUnit.Callbacks.on_exit(fn -> :telemetry.detach(group) end)
  end

  @doc false
  @spec drained([atom()], map(), map(), map()) :: term()
  def drained(_event, %{drain_ms: ms}, %{group_id: group}, %{group: group, test: test}),
    do: send(test, {:drained, System.os_time(:nanosecond), ms})

  def drained(_event, _measurements, _metadata, _another_group), do: :ok

  @spec now_ms() :: integer()
  defp now_ms, do: System.monotonic_time(:millisecond)
end
