defmodule OffBroadwayRustKafka.Pace do
  @moduledoc false
  # What `pause/2`, `resume/2`, `seek/2` and `update_topics/2` are given, checked before a member is asked.

  import OffBroadwayRustKafka.Bounds

  alias OffBroadwayRustKafka.{Error, Member, Native, Topics}

  @type pipeline :: OffBroadwayRustKafka.pipeline()
  @type done :: :ok | {:error, Error.t()}

  @typep ask :: (Native.consumer(), Native.scope() -> :ok | {:error, Native.error()})

  @spec pause(pipeline(), term()) :: done()
  def pause(pipeline, partitions), do: change(pipeline, partitions, "pause/2", &Native.pause/2)

  @spec resume(pipeline(), term()) :: done()
  def resume(pipeline, partitions), do: change(pipeline, partitions, "resume/2", &Native.resume/2)

  @spec change(pipeline(), term(), String.t(), ask()) :: done()
  defp change(pipeline, partitions, function, ask) do
    call = call(function)
    given = scope!(partitions, call)

    with {:ok, scope} <- own(given, pipeline, call) do
      ask = fn scope -> Member.ask(pipeline, call, &ask.(&1, scope)) end
      if given == :all and is_list(scope), do: ask_all(scope, ask), else: ask.(scope)
    end
  end

  # A topic that it claims and that the member has left, before or just now, holds up nothing.
  @spec ask_all([Native.subject()], (Native.scope() -> done())) :: done()
  defp ask_all([], _ask), do: :ok

  defp ask_all(scope, ask) do
    with {:error, %Error{code: :not_assigned, topic: topic}} = error <- ask.(scope) do
      if topic in scope, do: ask_all(scope -- [topic], ask), else: error
    end
  end

  @spec seek(pipeline(), term()) :: done()
  def seek(pipeline, positions) do
    call = call("seek/2")
    positions = positions!(positions, call)
    places = for {topic, partition, _} <- positions, do: {topic, partition}

    with {:ok, _} <- own(places, pipeline, call),
         do: Member.ask(pipeline, call, &Native.seek(&1, positions))
  end

  @spec update_topics(pipeline(), term()) :: done()
  def update_topics(pipeline, topics) do
    call = call("update_topics/2")
    topics = topics!(topics, call)

    with :ok <- has_member(pipeline, call),
         {:ok, default} <- Member.offset_reset_policy(pipeline, call) do
      topics = for {name, own} <- topics, do: {name, own || default}

      with :ok <- Member.ask(pipeline, call, &Native.update_topics(&1, topics)),
           do: Member.settle(pipeline, call)
    end
  end

  # Of a member that pipelines share each has a part of its own.
  @spec own(Native.scope(), pipeline(), String.t()) :: {:ok, Native.scope()} | {:error, Error.t()}
  defp own(scope, pipeline, call) do
    with {:ok, claim} <- Member.claim(pipeline, call), do: within(scope, claim, pipeline)
  end

  @spec within(Native.scope(), Native.claim(), pipeline()) ::
          {:ok, Native.scope()} | {:error, Error.t()}
  defp within(scope, :all, _pipeline), do: {:ok, scope}
  defp within(:all, {:topics, topics}, _pipeline), do: {:ok, topics}
  defp within(:all, {:partition, topic, partition}, _pipeline), do: {:ok, [{topic, partition}]}

  defp within(subjects, claim, pipeline) do
    case Enum.find(subjects, &(not claimed?(&1, claim))) do
      nil -> {:ok, subjects}
      subject -> {:error, not_own(subject, pipeline)}
    end
  end

  @spec claimed?(Native.subject(), Native.claim()) :: boolean()
  defp claimed?({topic, _partition}, {:topics, topics}), do: topic in topics
  defp claimed?(topic, {:topics, topics}), do: topic in topics
  defp claimed?(subject, {:partition, topic, partition}), do: subject == {topic, partition}

  @spec not_own(Native.subject(), pipeline()) :: Error.t()
  defp not_own(subject, pipeline) do
    {topic, partition} = if is_tuple(subject), do: subject, else: {subject, nil}
    message = "#{inspect(pipeline)} does not read it of the member that it shares"
    %Error{code: :not_assigned, message: message, topic: topic, partition: partition}
  end

  @spec has_member(pipeline(), String.t()) :: done()
  defp has_member(pipeline, call) do
    with {:ok, claim} when claim != :all <- Member.claim(pipeline, call) do
      message =
        "#{inspect(pipeline)} has no member of its own: give #{call} the name of the one that it shares"

      {:error, %Error{code: :no_member, message: message}}
    else
      {:ok, :all} -> :ok
      error -> error
    end
  end

  @spec call(String.t()) :: String.t()
  defp call(function), do: "OffBroadwayRustKafka." <> function

  @spec scope!(term(), String.t()) :: Native.scope()
  defp scope!(:all, _call), do: :all

  defp scope!(partitions, call) do
    list!(partitions, call, ":all or a non-empty list of topics and of {topic, partition}", fn
      {topic, partition} -> is_partition(partition) and Topics.name?(topic)
      topic -> Topics.name?(topic)
    end)
  end

  @spec positions!(term(), String.t()) :: [Native.sought()]
  defp positions!(positions, call) do
    expected =
      "a non-empty list of {topic, partition, position}, where a position is an offset, :beginning, " <>
        ":end or {:timestamp, milliseconds since the Unix epoch}"

    positions = list!(positions, call, expected, &position?/1)
    places = for {topic, partition, _} <- positions, do: {topic, partition}

    case places -- Enum.uniq(places) do
      [] ->
        positions

      [place | _] ->
        raise ArgumentError,
              "#{call} expects each partition once, got #{inspect(place)} more than once"
    end
  end

  @spec position?(term()) :: boolean()
  defp position?({topic, partition, position}) when is_partition(partition) do
    Topics.name?(topic) and
      case position do
        {:timestamp, ms} -> is_timestamp(ms)
        position when position in [:beginning, :end] -> true
        offset -> is_offset(offset)
      end
  end

  defp position?(_other), do: false

  @spec topics!(term(), String.t()) :: [Topics.topic(), ...]
  defp topics!(topics, call) do
    case Topics.parse(topics) do
      {:ok, topics} -> topics
      {:error, message} -> raise ArgumentError, "invalid topics given to #{call}: #{message}"
    end
  end

  @spec list!(term(), String.t(), String.t(), (term() -> boolean())) :: [term(), ...]
  defp list!(list, call, expected, good?) do
    if not is_list(list) or list == [] or List.improper?(list),
      do: raise(ArgumentError, "#{call} expects #{expected}, got: #{inspect(list)}")

    for element <- list, not good?.(element) do
      raise ArgumentError,
            "#{call} expects #{expected}, got #{inspect(element)} in: #{inspect(list)}"
    end

    list
  end
end
