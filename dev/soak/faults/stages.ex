defmodule Soak.Faults.Stages do
  @moduledoc false
  # Processes of a pipeline are killed.

  alias OffBroadwayRustKafka.{Consumer, History}
  alias Soak.{Fault, Members, World}

  @spec all() :: [Fault.t()]
  def all do
    for {name, prefix} <- [
          kill_processor: "Processor_default_",
          kill_batcher: "Batcher_default",
          kill_batch_processor: "BatchProcessor_default_",
          kill_producer: "Producer_"
        ] do
      %Fault{name: name, begin: &kill(&1, fn member -> stages(member, prefix) end, prefix)}
    end ++ [%Fault{name: :kill_consumer, begin: &kill(&1, fn m -> consumer(m) end, "consumer")}]
  end

  @spec kill(World.t(), (Members.member() -> [pid()]), String.t()) :: Fault.result()
  defp kill(world, find, what) do
    member = world |> Members.all(:vm) |> Enum.random()
    what = String.trim_trailing(what, "_")

    case find.(member) do
      [] ->
        :none

      pids ->
        History.fault(world.history, "kill of a #{what} of #{member.label}")
        pids |> Enum.random() |> Process.exit(:kill)
        {Members.unclean(world, member), "kill of a #{what} of #{member.label}", nil}
    end
  end

  @spec stages(Members.member(), String.t()) :: [pid()]
  defp stages(%{name: name}, prefix) do
    for suffix <- ["", 0, 1, 2, 3],
        pid = Process.whereis(:"#{name}.Broadway.#{prefix}#{suffix}"),
        do: pid
  end

  # It may just be starting again.
  @spec consumer(Members.member()) :: [pid()]
  defp consumer(%{name: name}) do
    with supervisor when supervisor != nil <- Process.whereis(:"#{name}.Broadway.Supervisor") do
      for {Consumer, pid, _, _} <- Supervisor.which_children(supervisor), is_pid(pid), do: pid
    else
      nil -> []
    end
  catch
    :exit, _ -> []
  end
end
