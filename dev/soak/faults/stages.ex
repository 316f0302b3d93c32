defmodule Soak.Faults.Stages do
  @moduledoc false
  # Processes of a pipeline, or of a group of stages, are killed.

  alias OffBroadwayRustKafka.{Consumer, History}
  alias Soak.{Fault, Forms, Members, World}

  @spec all() :: [Fault.t()]
  def all do
    for {name, prefix} <- [
          kill_processor: "Processor_default_",
          kill_batcher: "Batcher_default",
          kill_batch_processor: "BatchProcessor_default_",
          kill_producer: "Producer_"
        ] do
      fault(name, String.trim_trailing(prefix, "_"), [:pipeline, :group], &stages(&1, prefix))
    end ++
      [
        fault(:kill_stage, "stage or its subscriber", [:stages], &pairs/1),
        fault(:kill_consumer, "consumer", [:pipeline, :stages], &consumer/1)
      ]
  end

  @spec fault(atom(), String.t(), [Forms.form()], (Members.member() -> [pid()])) :: Fault.t()
  defp fault(name, what, forms, find) do
    begin = fn world ->
      member = Members.any(world, forms)
      kill(world, member, "kill of a #{what}", if(member, do: find.(member), else: []))
    end

    %Fault{name: name, begin: begin}
  end

  @spec kill(World.t(), Members.member() | nil, String.t(), [pid()]) :: Fault.result()
  defp kill(_world, _member, _what, []), do: :none

  defp kill(world, member, what, pids) do
    what = "#{what} of #{member.label}"
    History.fault(world.history, what)
    pids |> Enum.random() |> Process.exit(:kill)
    {Members.unclean(world, member), what, nil}
  end

  @spec stages(Members.member(), String.t()) :: [pid()]
  defp stages(%{form: :pipeline, name: name}, prefix) do
    for suffix <- ["", 0, 1, 2, 3],
        pid = Process.whereis(:"#{name}.Broadway.#{prefix}#{suffix}"),
        do: pid
  end

  # Its pipelines have its name before theirs.
  defp stages(%{form: :group, name: name}, prefix) do
    for registered <- Process.registered(),
        text = Atom.to_string(registered),
        text =~ inspect(name) <> "." and text =~ ".Broadway." <> prefix,
        pid = Process.whereis(registered),
        do: pid
  end

  # Each pair is linked to its stage and its subscriber, and to their supervisor.
  @spec pairs(Members.member()) :: [pid()]
  defp pairs(member) do
    for supervisor <- children(member, DynamicSupervisor),
        {_, pair, _, _} <- DynamicSupervisor.which_children(supervisor),
        {:links, links} <- [Process.info(pair, :links)],
        pid <- links,
        pid != supervisor,
        do: pid
  catch
    :exit, _ -> []
  end

  # It may just be starting again.
  @spec consumer(Members.member()) :: [pid()]
  defp consumer(%{form: :stages} = member), do: children(member, Consumer)

  defp consumer(%{name: name}),
    do: children(%{name: :"#{name}.Broadway.Supervisor"}, Consumer)

  @spec children(%{:name => atom(), optional(atom()) => term()}, module()) :: [pid()]
  defp children(%{name: name}, id) do
    if Process.whereis(name),
      do: for({^id, pid, _, _} <- Supervisor.which_children(name), is_pid(pid), do: pid),
      else: []
  catch
    :exit, _ -> []
  end
end
