defmodule OffBroadwayRustKafka.Topics do
  @moduledoc false
  # The `:topics` option, and where to start reading one.

  import OffBroadwayRustKafka.Bounds

  alias OffBroadwayRustKafka.Native

  @options [:name, :topic, :offset_reset_policy]

  @type topic :: {name :: String.t(), Native.policy() | nil}

  @spec parse(term()) :: {:ok, [topic(), ...]} | {:error, String.t()}
  def parse([_ | _] = topics) do
    with false <- List.improper?(topics),
         {:ok, topics} <- each(topics) do
      unique(topics)
    else
      true -> {:error, expected_topics(topics)}
      error -> error
    end
  end

  def parse(topics), do: {:error, expected_topics(topics)}

  @spec policy(term()) :: {:ok, Native.policy()} | {:error, String.t()}
  def policy(policy) when policy in [:earliest, :latest], do: {:ok, policy}

  def policy({:timestamp, ms} = policy) when is_timestamp(ms), do: {:ok, policy}

  def policy(policy) do
    {:error,
     "expected :earliest, :latest or {:timestamp, milliseconds since the Unix epoch}, " <>
       "got: #{inspect(policy)}"}
  end

  @doc false
  # Kafka's own rule, for topics and for instance ids.
  @spec name?(term()) :: boolean()
  def name?(name),
    do: is_binary(name) and name =~ ~r/\A[A-Za-z0-9._-]{1,249}\z/ and name not in [".", ".."]

  @spec each([term()]) :: {:ok, [topic()]} | {:error, String.t()}
  defp each(topics) do
    results = Enum.map(topics, &topic/1)

    case List.keyfind(results, :error, 0) do
      nil -> {:ok, Keyword.values(results)}
      error -> error
    end
  end

  @spec topic(term()) :: {:ok, topic()} | {:error, String.t()}
  defp topic(name) when is_binary(name) do
    if name?(name) do
      {:ok, {name, nil}}
    else
      {:error,
       "expected a topic name of 1 to 249 letters, digits, dots, underscores and dashes, " <>
         "got: #{inspect(name)}"}
    end
  end

  defp topic(options) do
    with {:ok, options} <- keyword(options),
         {:ok, name} <- name(options),
         {:ok, {name, nil}} <- topic(name),
         {:ok, policy} <- own_policy(options) do
      {:ok, {name, policy}}
    end
  end

  @spec keyword(term()) :: {:ok, keyword()} | {:error, String.t()}
  defp keyword(options) do
    with true <- is_list(options) and Keyword.keyword?(options),
         [] <- Keyword.keys(options) -- @options do
      {:ok, options}
    else
      false ->
        {:error,
         ~s(expected a topic name, or a keyword list as in [name: "orders", ) <>
           "offset_reset_policy: :earliest], got: #{inspect(options)}"}

      keys ->
        {:error,
         "unknown or repeated topic options #{inspect(keys)} in #{inspect(options)}, " <>
           "expected: #{inspect(@options)}"}
    end
  end

  @spec name(keyword()) :: {:ok, String.t()} | {:error, String.t()}
  defp name(options) do
    case Keyword.take(options, [:name, :topic]) do
      [{_, name}] when is_binary(name) -> {:ok, name}
      _ -> {:error, "expected one :name, a string, for a topic, got: #{inspect(options)}"}
    end
  end

  @spec own_policy(keyword()) :: {:ok, Native.policy() | nil} | {:error, String.t()}
  defp own_policy(options) do
    with {:ok, policy} <- Keyword.fetch(options, :offset_reset_policy),
         {:error, message} <- policy(policy) do
      {:error, "invalid :offset_reset_policy of a topic: #{message}"}
    else
      :error -> {:ok, nil}
      ok -> ok
    end
  end

  @spec unique([topic()]) :: {:ok, [topic()]} | {:error, String.t()}
  defp unique(topics) do
    names = Enum.map(topics, &elem(&1, 0))

    case names -- Enum.uniq(names) do
      [] -> {:ok, topics}
      [name | _] -> {:error, "expected each topic once, got #{inspect(name)} more than once"}
    end
  end

  @spec expected_topics(term()) :: String.t()
  defp expected_topics(got) do
    "expected a non-empty list of topic names or keyword lists with a :name, got: #{inspect(got)}"
  end
end
