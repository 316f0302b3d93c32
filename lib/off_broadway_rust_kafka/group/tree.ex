defmodule OffBroadwayRustKafka.Group.Tree do
  @moduledoc false
  # All processes of a pipeline, so that one that does not end in time, or whose own process was killed,
  # leaves nothing behind that has its names.
  #
  # They are found by their links and not by asking supervisors, which may be waiting for a child.

  @await_ms 5_000

  @doc "The process and all that descend from it."
  @spec of(pid()) :: [pid()]
  def of(pid), do: pid |> grow(MapSet.new()) |> MapSet.to_list()

  @doc "Kills these processes and what descends from them by now, and waits for their end."
  @spec kill([pid()]) :: :ok
  def kill(pids) do
    pids = pids |> Enum.reduce(MapSet.new(), &grow/2) |> MapSet.to_list()

    refs =
      for pid <- pids do
        ref = Process.monitor(pid)
        Process.exit(pid, :kill)
        ref
      end

    for ref <- refs do
      receive do
        {:DOWN, ^ref, _, _, _} -> :ok
      after
        @await_ms -> Process.demonitor(ref, [:flush])
      end
    end

    :ok
  end

  @spec grow(pid(), MapSet.t(pid())) :: MapSet.t(pid())
  defp grow(pid, found) do
    with false <- pid in found,
         [links: links, registered_name: name] <- Process.info(pid, [:links, :registered_name]) do
      names = [pid | List.wrap(name)]

      for(link <- links, is_pid(link), child_of?(link, names), do: link)
      |> Enum.reduce(MapSet.put(found, pid), &grow/2)
    else
      _seen_or_gone -> found
    end
  end

  # A process that a handler happens to be linked to is nobody's child here.
  @spec child_of?(pid(), [pid() | atom()]) :: boolean()
  defp child_of?(pid, parents) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {_, [parent | _]} <- List.keyfind(dictionary, :"$ancestors", 0) do
      parent in parents
    else
      _none -> false
    end
  end
end
