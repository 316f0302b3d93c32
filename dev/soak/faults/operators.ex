defmodule Soak.Faults.Operators do
  @moduledoc false
  # What somebody does to a running pipeline on purpose, which is no fault of its, and must harm nothing.

  alias OffBroadwayRustKafka.Error
  alias Soak.{Fault, Members, World}

  # A member may be started anew just now, and stay paused.
  @resume_ms 30_000
  @again_ms 200
  @back 500

  @spec all() :: [Fault.t()]
  def all do
    [
      %Fault{name: :pause, begin: &pause/1, hold: 1_000..12_000},
      %Fault{name: :pause_some, begin: &pause_some/1, hold: 1_000..12_000},
      %Fault{name: :seek_back, begin: &seek_back/1}
    ]
  end

  @spec pause(World.t()) :: Fault.result()
  defp pause(world) do
    member = Members.any(world)
    pause(world, member, :all, "#{member.label} is paused")
  end

  @spec pause_some(World.t()) :: Fault.result()
  defp pause_some(world) do
    with_offsets(world, fn member, offsets ->
      some = Enum.take_random(offsets, div(length(offsets) + 1, 2))
      places = for it <- some, do: {it.topic, it.partition}
      pause(world, member, places, "#{length(places)} partitions of #{member.label} are paused")
    end)
  end

  @spec pause(World.t(), Members.member(), OffBroadwayRustKafka.partitions(), String.t()) ::
          Fault.result()
  defp pause(world, %{name: name}, partitions, text) do
    case OffBroadwayRustKafka.pause(name, partitions) do
      # It may be done later.
      {:error, %Error{code: code}} when code != :timed_out ->
        :none

      _done ->
        {world, text,
         fn world ->
           resume(name, System.monotonic_time(:millisecond) + @resume_ms)
           world
         end}
    end
  end

  @spec resume(atom(), integer()) :: :ok
  defp resume(name, deadline) do
    case OffBroadwayRustKafka.resume(name) do
      :ok ->
        :ok

      # It has left meanwhile.
      {:error, %Error{code: :no_pipeline}} ->
        :ok

      {:error, error} ->
        if System.monotonic_time(:millisecond) > deadline, do: raise(error)
        Process.sleep(@again_ms)
        resume(name, deadline)
    end
  end

  @spec seek_back(World.t()) :: Fault.result()
  defp seek_back(world) do
    with_offsets(world, fn member, offsets ->
      %{topic: topic, partition: partition, position: position} = Enum.random(offsets)
      to = max(position - :rand.uniform(@back), 0)

      case OffBroadwayRustKafka.seek(member.name, [{topic, partition, to}]) do
        :ok -> {world, "#{partition} is sought to #{to} by #{member.label}", nil}
        {:error, _} -> :none
      end
    end)
  end

  @spec with_offsets(
          World.t(),
          (Members.member(), [OffBroadwayRustKafka.offsets(), ...] ->
             Fault.result())
        ) :: Fault.result()
  defp with_offsets(world, fun) do
    member = Members.any(world)

    case OffBroadwayRustKafka.offsets(member.name) do
      {:ok, [_ | _] = offsets} -> fun.(member, offsets)
      _none -> :none
    end
  end
end
