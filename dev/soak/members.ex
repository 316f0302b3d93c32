defmodule Soak.Members do
  @moduledoc false
  # The members of the group: in this VM, of any form, and pipelines on nodes of their own.

  alias OffBroadwayRustKafka.{History, TestNode, TestPipeline}
  alias Soak.{Forms, Mood, Setting, World}

  @typedoc "A member in this VM has a form, a name and a mood; a node may be stopped for a while."
  @type member :: %{
          label: String.t(),
          kind: :vm | :node,
          form: Forms.form(),
          instance: String.t(),
          name: atom(),
          pid: pid() | nil,
          mood: Mood.t() | nil,
          stop: (() -> :ok) | nil,
          node: TestNode.t() | nil,
          stopped?: boolean()
        }

  @insist_ms 10_000

  @doc "Another member, in this VM or on a node, or one that comes again; with its label."
  @spec join(World.t(), :vm | :node, instance :: String.t() | nil) :: {World.t(), String.t()}
  def join(world, kind, instance \\ nil) do
    instance = instance || "member-#{world.next}"
    options = Setting.pipeline(world.setting, world.group, instance)
    start(world, kind, instance, options)
  end

  @spec start(World.t(), :vm | :node, String.t(), keyword()) :: {World.t(), String.t()}
  defp start(world, :vm, instance, options) do
    mood = Mood.new()
    form = Enum.random(Forms.all())
    options = [name: name(form, world.next)] ++ options
    %{name: name} = pipeline = TestPipeline.new(options)
    {pid, stop} = Forms.start(form, world, pipeline, options, mood)
    # Its end is heard of, and is not that of the soak.
    Process.unlink(pid)
    Process.monitor(pid)
    own = %{kind: :vm, form: form, instance: instance, name: name, pid: pid, mood: mood}
    add(world, TestPipeline.label(pipeline), Map.put(own, :stop, stop))
  end

  defp start(world, :node, instance, options) do
    options = [history: world.history] ++ options
    node = TestNode.start(world.proxied, [world.topic], options)
    File.write!(Path.join(world.dir, "nodes"), node.pid <> "\n", [:append])
    add(world, TestNode.label(node), %{kind: :node, instance: instance, node: node})
  end

  # Which form it has is seen by its label.
  @spec name(Forms.form(), pos_integer()) :: atom()
  defp name(form, number),
    do: Module.concat(Soak, "#{form |> Atom.to_string() |> Macro.camelize()}#{number}")

  @spec add(World.t(), String.t(), map()) :: {World.t(), String.t()}
  defp add(world, label, own) do
    unknown = %{label: label, form: :pipeline, name: nil, pid: nil, mood: nil}
    unknown = Map.merge(unknown, %{stop: nil, node: nil, stopped?: false})
    members = Map.put(world.members, label, Map.merge(unknown, own))
    {%{world | members: members, next: world.next + 1}, label}
  end

  @doc "Those of a kind that are not just stopped."
  @spec all(World.t(), :vm | :node) :: [member()]
  def all(world, kind) do
    for {_, member} <- Enum.sort(world.members),
        member.kind == kind,
        not member.stopped?,
        do: member
  end

  @doc "One in this VM that is of such a form, if there is one."
  @spec any(World.t(), [Forms.form()]) :: member() | nil
  def any(world, forms \\ Forms.all()) do
    case Enum.filter(all(world, :vm), &(&1.form in forms)) do
      [] -> nil
      members -> Enum.random(members)
    end
  end

  @spec update(World.t(), String.t(), map()) :: World.t()
  def update(world, label, changes),
    do: %{world | members: Map.update!(world.members, label, &Map.merge(&1, changes))}

  @spec forget(World.t(), member()) :: World.t()
  def forget(world, %{label: label}), do: %{world | members: Map.delete(world.members, label)}

  @doc "Ends a member as a user would; it is gone from here at once, and soon altogether."
  @spec leave(World.t(), member()) :: World.t()
  def leave(world, %{kind: :vm, stop: stop, pid: pid} = member) do
    world
    |> forget(member)
    |> World.later(fn -> stop(stop, pid) end)
  end

  # Its port is this process's, which hears of its end.
  def leave(world, %{kind: :node, node: node, label: label} = member) do
    TestNode.signal(node, "TERM")
    spawn(fn -> insist(node.pid) end)
    world = forget(world, member)
    put_in(world.later[node.port], &gone(&1, label))
  end

  # A node that only begins to start has nobody yet who hears a signal.
  @spec insist(String.t()) :: :ok
  defp insist(pid) do
    Process.sleep(@insist_ms)

    case System.cmd("kill", ["-TERM", pid], stderr_to_stdout: true) do
      {_, 0} -> insist(pid)
      _gone -> :ok
    end
  end

  @spec gone(World.t(), String.t()) :: World.t()
  defp gone(world, label) do
    History.gone(world.history, label, "after SIGTERM")
    world
  end

  @spec stop((() -> :ok), pid()) :: :ok
  defp stop(stop, pid) do
    monitor = Process.monitor(pid)
    :ok = stop.()

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end
  end

  @doc "It may stop with records that nobody has acknowledged."
  @spec unclean(World.t(), member()) :: World.t()
  def unclean(world, %{label: label}), do: %{world | unclean: MapSet.put(world.unclean, label)}

  @doc "Who has this process or port is gone, and nobody asked for it; if it is a member at all."
  @spec ended!(World.t(), pid() | port(), String.t()) :: World.t()
  def ended!(world, whose, how) do
    case Enum.find(world.members, fn {_, member} ->
           member.pid == whose or (member.node != nil and member.node.port == whose)
         end) do
      nil -> world
      {label, _} -> raise "member #{label} ended by itself: #{how}"
    end
  end
end
