defmodule OffBroadwayRustKafka.Member do
  @moduledoc false
  # From a running pipeline to its group member. No process of the pipeline is asked: producers may be
  # busy pulling, and the pipeline's own process waits while it starts and while it stops.

  alias OffBroadwayRustKafka.{Commits, Consumer, Error, Native}

  @type pipeline :: OffBroadwayRustKafka.pipeline()

  @doc "Where its assigned partitions stand, by topic and number. `call` is what an `ArgumentError` names."
  @spec progress(pipeline(), call :: String.t()) ::
          {:ok, [OffBroadwayRustKafka.progress()]} | {:error, Error.t()}
  def progress(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         {:ok, progress} <- ask(pipeline, call, &Native.progress/1),
         do: {:ok, progress |> own(table) |> Enum.sort_by(&{&1.topic, &1.partition})}
  end

  @doc "Asks its member for something."
  @spec ask(
          pipeline(),
          call :: String.t(),
          (Native.consumer() -> answer | {:error, Native.error()})
        ) :: answer | {:error, Error.t()}
        when answer: :ok | {:ok, term()}
  def ask(pipeline, call, ask) do
    with {:ok, consumer} <- fetch(pipeline, call),
         {:error, error} when is_tuple(error) <- ask.(consumer),
         do: {:error, error |> Error.from_native() |> described(pipeline)}
  end

  @doc "Waits until what the member told before is known here, to pipelines that start now too."
  @spec settle(pipeline(), call :: String.t()) :: :ok
  def settle(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         {:ok, {_consumer, owner}} <- look(table, &Consumer.owned/1, pipeline),
         do: Consumer.settle(owner),
         else: (_gone -> :ok)
  end

  @doc "The member itself."
  @spec fetch(pipeline(), call :: String.t()) :: {:ok, Native.consumer()} | {:error, Error.t()}
  def fetch(pipeline, call) do
    with {:ok, table} <- table(pipeline, call), do: consumer(table, pipeline)
  end

  @doc "Commits what may be committed, and waits for the answer."
  @spec commit(pipeline(), call :: String.t()) :: :ok | {:error, Error.t()}
  def commit(pipeline, call) do
    with {:ok, consumer} <- fetch(pipeline, call),
         {:error, error} <- Commits.send_commit(consumer, :all, :sync),
         do: {:error, described(error, pipeline)}
  end

  @doc "What a pipeline reads of its member, which others may share."
  @spec claim(pipeline(), call :: String.t()) :: {:ok, Native.claim()} | {:error, Error.t()}
  def claim(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         :error <- look(table, &Consumer.claim/1, pipeline),
         do: {:ok, :all}
  end

  @doc "The group that it is a member of."
  @spec group(pipeline(), call :: String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def group(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         :error <- look(table, &Consumer.group_id/1, pipeline),
         do: {:error, starting(pipeline)}
  end

  @doc "Where a topic of its starts that has no policy of its own."
  @spec offset_reset_policy(pipeline(), call :: String.t()) ::
          {:ok, Native.policy()} | {:error, Error.t()}
  def offset_reset_policy(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         :error <- look(table, &Consumer.offset_reset_policy/1, pipeline),
         do: {:error, starting(pipeline)}
  end

  @doc "The statistics of librdkafka that came last."
  @spec statistics(pipeline(), call :: String.t()) ::
          {:ok, OffBroadwayRustKafka.statistics()} | {:error, Error.t()}
  def statistics(pipeline, call) do
    with {:ok, table} <- table(pipeline, call),
         :error <- look(table, &Consumer.statistics/1, pipeline) do
      message =
        "there are none of #{inspect(pipeline)} yet; there will be, if its :config has a " <>
          ~s("statistics.interval.ms" above 0)

      {:error, %Error{code: :no_statistics, message: message, retryable?: true}}
    end
  end

  @doc "What pipelines have to know of a member that they share."
  @spec about(pipeline()) ::
          {:ok, %{topics: [String.t()], chunk_size: pos_integer() | nil}} | {:error, Error.t()}
  def about(member) do
    with {:ok, table} <- shared_table(member) do
      [{:topics, topics}] = :ets.lookup(table, :topics)
      [{:chunk_size, chunk_size}] = :ets.lookup(table, :chunk_size)
      {:ok, %{topics: Enum.map(topics, &elem(&1, 0)), chunk_size: chunk_size}}
    end
  rescue
    # It has just ended.
    _error in [ArgumentError, MatchError] -> {:error, no_pipeline(member)}
  end

  @doc "A member that is to be shared: itself, its owner, and the table by which others find it."
  @spec shared(pipeline()) ::
          {:ok, {Native.consumer(), owner :: pid(), Consumer.table()}} | {:error, Error.t()}
  def shared(member) do
    with {:ok, table} <- shared_table(member) do
      case look(table, &Consumer.owned/1, member) do
        {:ok, {consumer, owner}} -> {:ok, {consumer, owner, table}}
        :error -> {:error, starting(member)}
        error -> error
      end
    end
  end

  @spec shared_table(pipeline()) :: {:ok, Consumer.table()} | {:error, Error.t()}
  defp shared_table(member) do
    with {:ok, table} <- table(member, "OffBroadwayRustKafka.SharedMember") do
      if :ets.member(table, :chunk_size),
        do: {:ok, table},
        else: {:error, no_shared_member(member)}
    end
  rescue
    ArgumentError -> {:error, no_pipeline(member)}
  end

  @doc "How far a partition is behind its end."
  @spec lag(OffBroadwayRustKafka.progress()) :: OffBroadwayRustKafka.lag()
  def lag(%{high_watermark: high} = it) do
    # A start that is new is committed at once, unless commits are made by hand.
    committed = it.committed || it.start

    %{
      topic: it.topic,
      partition: it.partition,
      lag: high && max(high - committed, 0),
      backlog: high && max(high - it.next, 0)
    }
  end

  # Of a pipeline that shares a member only what it has claimed, its producers counted from 0.
  @spec own([OffBroadwayRustKafka.progress()], Consumer.table()) ::
          [OffBroadwayRustKafka.progress()]
  defp own(progress, table) do
    case Consumer.lanes(table) do
      nil -> progress
      first.._ = lanes -> for(it <- progress, it.lane in lanes, do: %{it | lane: it.lane - first})
    end
  end

  @spec table(pipeline(), String.t()) :: {:ok, Consumer.table()} | {:error, Error.t()}
  defp table(pipeline, call) do
    case whereis(pipeline, call) do
      nil ->
        {:error, no_pipeline(pipeline)}

      pid ->
        case Consumer.table(pid) do
          {:ok, table} -> {:ok, table}
          {:error, :no_table} -> {:error, no_member(pipeline)}
          {:error, :no_process} -> {:error, no_pipeline(pipeline)}
        end
    end
  end

  @spec whereis(pipeline(), String.t()) :: pid() | nil
  defp whereis(pid, _call) when is_pid(pid) and node(pid) == node(), do: pid

  defp whereis(name, call) do
    with false <- name?(name) do
      raise ArgumentError,
            "#{call} expects the name of a pipeline of this node (an atom, {:global, term} or " <>
              "{:via, module, term}) or its pid, got: #{inspect(name)}"
    end

    case GenServer.whereis(name) do
      pid when is_pid(pid) and node(pid) == node() -> pid
      _none_or_elsewhere -> nil
    end
  end

  @doc "Whether a process may have it for its name."
  @spec name?(term()) :: boolean()
  def name?(name) when is_atom(name), do: name not in [nil, true, false]
  def name?({:global, _}), do: true
  def name?({:via, module, _}), do: is_atom(module)
  def name?(_other), do: false

  @spec consumer(Consumer.table(), pipeline()) :: {:ok, Native.consumer()} | {:error, Error.t()}
  defp consumer(table, pipeline) do
    with :error <- look(table, &Consumer.fetch/1, pipeline),
         do: {:error, starting(pipeline)}
  end

  @spec starting(pipeline()) :: Error.t()
  defp starting(pipeline) do
    message = "the member of #{inspect(pipeline)} is being started"
    %Error{code: :starting, message: message, retryable?: true}
  end

  @spec look(Consumer.table(), (Consumer.table() -> {:ok, found} | :error), pipeline()) ::
          {:ok, found} | :error | {:error, Error.t()}
        when found: term()
  defp look(table, look, pipeline) do
    look.(table)
  rescue
    # The table ended with its pipeline.
    ArgumentError -> {:error, no_pipeline(pipeline)}
  end

  @spec described(Error.t(), pipeline()) :: Error.t()
  defp described(%{code: :closed}, pipeline) do
    message =
      "the member of #{inspect(pipeline)} is closed: the pipeline is stopping, or starts it anew"

    %Error{code: :closed, message: message, retryable?: true}
  end

  defp described(error, _pipeline), do: error

  @spec no_pipeline(pipeline()) :: Error.t()
  defp no_pipeline(pipeline) do
    %Error{code: :no_pipeline, message: "#{inspect(pipeline)} does not run on this node"}
  end

  @spec no_shared_member(pipeline()) :: Error.t()
  defp no_shared_member(pipeline) do
    message = "#{inspect(pipeline)} is no member that pipelines share"
    %Error{code: :no_member, message: message}
  end

  @spec no_member(pipeline()) :: Error.t()
  defp no_member(pipeline) do
    message =
      "#{inspect(pipeline)} is no pipeline whose producer is OffBroadwayRustKafka.Producer, or has " <>
        "only begun to start"

    %Error{code: :no_member, message: message}
  end
end
