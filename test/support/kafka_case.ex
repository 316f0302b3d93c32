defmodule OffBroadwayRustKafka.KafkaCase do
  @moduledoc false
  # For tests on Kafka: `%{kafka: kafka}` in their context, and words to speak about what pipelines
  # did to it.

  use ExUnit.CaseTemplate

  alias OffBroadwayRustKafka.{Assignment, Consumer, Kafka, TestPipeline}

  @await_ms 15_000
  @consumer_ms 120_000

  @type place :: {topic :: String.t(), partition :: non_neg_integer()}

  using do
    quote do
      import OffBroadwayRustKafka.{Kafka, KafkaCase}

      alias OffBroadwayRustKafka.{Kafka, TestClient, TestCluster, TestPipeline}

      @moduletag :capture_log
    end
  end

  setup do
    %{kafka: Kafka.shared()}
  end

  @doc "Waits until the pipeline has handled `count` more records, and returns them as handled."
  @spec handled(TestPipeline.t(), non_neg_integer()) :: [Broadway.Message.t()]
  def handled(pipeline, count), do: receive_handled(pipeline.name, count, [], deadline())

  @doc "What the pipeline has handled since it was last asked."
  @spec handled_so_far(TestPipeline.t()) :: [Broadway.Message.t()]
  def handled_so_far(%{name: name} = pipeline) do
    receive do
      {:handled, ^name, _, message} -> [message | handled_so_far(pipeline)]
    after
      0 -> []
    end
  end

  @doc "Waits until batches with `count` more records were handled, and returns those records."
  @spec batched(TestPipeline.t(), non_neg_integer()) :: [Broadway.Message.t()]
  def batched(pipeline, count), do: receive_batched(pipeline.name, count, [], deadline())

  @doc "What batches had in them since last asked."
  @spec batched_so_far(TestPipeline.t()) :: [Broadway.Message.t()]
  def batched_so_far(%{name: name} = pipeline) do
    receive do
      {:batch, ^name, _, messages} -> messages ++ batched_so_far(pipeline)
    after
      0 -> []
    end
  end

  @doc "The offsets of messages by topic and partition, in the order of the messages."
  @spec offsets([Broadway.Message.t()]) :: %{place() => [non_neg_integer()]}
  def offsets(messages),
    do: Enum.group_by(messages, &{&1.metadata.topic, &1.metadata.partition}, & &1.metadata.offset)

  @doc "Drops what a pipeline has told this process by one kind of event."
  @spec forget_told(atom(), atom()) :: :ok
  def forget_told(name, event) do
    receive do
      {:telemetry, ^name, ^event, _, _} -> forget_told(name, event)
    after
      0 -> :ok
    end
  end

  @doc "Waits until the pipeline was assigned `count` partitions in all, and returns their starts."
  @spec await_assigned(TestPipeline.t(), pos_integer()) :: %{place() => integer()}
  def await_assigned(pipeline, count), do: await_assigned(pipeline.name, count, %{}, deadline())

  @doc "The process that owns the group member of a pipeline."
  @spec consumer(TestPipeline.t()) :: pid()
  def consumer(%{name: name}) do
    Kafka.await(@consumer_ms, fn ->
      with supervisor when supervisor != nil <- Process.whereis(:"#{name}.Broadway.Supervisor"),
           children = Supervisor.which_children(supervisor),
           {_, pid, _, _} when is_pid(pid) <- List.keyfind(children, Consumer, 0),
           do: pid,
           else: (_ -> {:not_yet, "there is no consumer"})
    end)
  end

  @doc "The process of a group that starts and ends what it has for its partitions, and the supervisor of that."
  @spec starter(%{:name => atom(), optional(term()) => term()}) :: {pid(), pid()}
  def starter(%{name: name}) do
    {_, assignment, _, _} = List.keyfind(Supervisor.which_children(name), Assignment, 0)

    [{_, starter, _, _}, {DynamicSupervisor, supervisor, _, _}] =
      Supervisor.which_children(assignment)

    {starter, supervisor}
  end

  @doc "Stops the pipeline as a user would, and returns what it handled since last asked."
  @spec stop(TestPipeline.t()) :: [Broadway.Message.t()]
  def stop(pipeline) do
    :ok = Broadway.stop(pipeline.name)
    handled_so_far(pipeline)
  end

  @doc "Every record was handled once, in its partition's order, and exactly these are committed."
  @spec assert_exact([Broadway.Message.t()], Kafka.offsets(), Kafka.offsets()) :: :ok
  def assert_exact(messages, from, committed) do
    handled = offsets(messages)

    for {place, start} <- from do
      next = committed[place] || start

      assert Map.get(handled, place, []) == Enum.to_list(start..(next - 1)//1),
             "of #{inspect(place)}, from #{start} and committed at #{inspect(committed[place])}, " <>
               "were handled #{inspect(handled[place], limit: :infinity)}"
    end

    assert Map.keys(handled) -- Map.keys(from) == []
    :ok
  end

  @doc "Every record below `count` was handled at least once in every partition."
  @spec assert_complete([Broadway.Message.t()], [place()], non_neg_integer()) :: :ok
  def assert_complete(messages, places, count) do
    handled = messages |> offsets() |> Map.new(fn {at, offsets} -> {at, Enum.uniq(offsets)} end)

    for place <- places do
      missing = Enum.to_list(0..(count - 1)//1) -- Map.get(handled, place, [])
      assert missing == [], "of #{inspect(place)} were never handled #{inspect(missing)}"
    end

    :ok
  end

  @spec receive_handled(atom(), integer(), list(), integer()) :: [Broadway.Message.t()]
  defp receive_handled(_name, 0, messages, _deadline), do: Enum.reverse(messages)

  defp receive_handled(name, count, messages, deadline) do
    receive do
      {:handled, ^name, _, message} ->
        receive_handled(name, count - 1, [message | messages], deadline)
    after
      left(deadline) -> flunk("#{count} records were not handled, but #{summary(messages)}")
    end
  end

  @spec receive_batched(atom(), integer(), list(), integer()) :: [Broadway.Message.t()]
  defp receive_batched(_name, count, batches, _deadline) when count <= 0,
    do: batches |> Enum.reverse() |> Enum.concat()

  defp receive_batched(name, count, batches, deadline) do
    receive do
      {:batch, ^name, _, messages} ->
        receive_batched(name, count - length(messages), [messages | batches], deadline)
    after
      left(deadline) ->
        flunk("#{count} records came in no batch, but #{batches |> Enum.concat() |> summary()}")
    end
  end

  @spec await_assigned(atom(), integer(), map(), integer()) :: %{place() => integer()}
  defp await_assigned(_name, count, starts, _deadline) when map_size(starts) >= count, do: starts

  defp await_assigned(name, count, starts, deadline) do
    receive do
      {:telemetry, ^name, :assigned, _, %{partitions: partitions}} ->
        new = Map.new(partitions, &{{&1.topic, &1.partition}, &1.start_offset})
        await_assigned(name, count, Map.merge(starts, new), deadline)
    after
      left(deadline) -> flunk("#{count} partitions were to be assigned, but #{inspect(starts)}")
    end
  end

  @spec summary([Broadway.Message.t()]) :: String.t()
  defp summary(messages) do
    messages
    |> offsets()
    |> Map.new(fn {place, offsets} -> {place, length(offsets)} end)
    |> inspect()
  end

  @spec deadline() :: integer()
  defp deadline, do: System.monotonic_time(:millisecond) + @await_ms

  @spec left(integer()) :: non_neg_integer()
  defp left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)
end
