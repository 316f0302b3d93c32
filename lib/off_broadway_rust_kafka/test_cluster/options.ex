defmodule OffBroadwayRustKafka.TestCluster.Options do
  @moduledoc false
  # What a cluster is started with: checked, and documented, in one place.

  alias OffBroadwayRustKafka.Options.Types
  alias OffBroadwayRustKafka.Topics

  @cluster "OffBroadwayRustKafka.TestCluster"
  @most_brokers 100
  @most_partitions 10_000

  @schema NimbleOptions.new!(
            topics: [
              default: [],
              type: {:custom, __MODULE__, :topics, []},
              type_doc: "list of `t:String.t/0`, `t:tuple/0` or `t:keyword/0`",
              doc: """
              The topics to create, each with one partition or as many as it says: any of
              `["orders", "refunds"]`, `[{"orders", 4}]`, `[orders: 4]` and
              `[[name: "orders", partitions: 4]]`.
              """
            ],
            brokers: [
              default: 1,
              type: {:custom, Types, :integer, [1, @most_brokers, "brokers"]},
              type_doc: "`t:pos_integer/0`",
              doc: "How many brokers, up to #{@most_brokers}. Their ids are 1 and up."
            ],
            name: [
              type: {:custom, Types, :name, []},
              type_doc: "`t:GenServer.name/0`",
              doc: "A name for the cluster, to call it by in place of its pid."
            ]
          )

  @spec schema() :: NimbleOptions.t()
  def schema, do: @schema

  @spec validate!(term()) :: keyword()
  def validate!(options) do
    if not Keyword.keyword?(options) do
      refuse!("expected a keyword list of options, got: #{inspect(options)}")
    end

    case NimbleOptions.validate(options, @schema) do
      {:ok, options} -> options
      {:error, error} -> refuse!(Exception.message(error))
    end
  end

  @spec partitions(term()) :: {:ok, pos_integer()} | {:error, String.t()}
  def partitions(partitions), do: Types.integer(partitions, 1, @most_partitions, "partitions")

  @doc false
  @spec topics(term()) :: {:ok, [{String.t(), pos_integer()}]} | {:error, String.t()}
  def topics(topics) do
    if is_list(topics) and not List.improper?(topics),
      do: each(topics, []),
      else: {:error, "expected a list of topics, got: #{inspect(topics)}"}
  end

  @spec each([term()], [{String.t(), pos_integer()}]) ::
          {:ok, [{String.t(), pos_integer()}]} | {:error, String.t()}
  defp each([], topics), do: {:ok, Enum.reverse(topics)}

  defp each([given | rest], topics) do
    with {name, partitions} <- topic(given),
         true <- Topics.name?(name) or {:error, unnamed(given)},
         {:ok, _} <- partitions(partitions),
         false <- List.keymember?(topics, name, 0) do
      each(rest, [{name, partitions} | topics])
    else
      true -> {:error, "expected each topic once, got #{inspect(elem(topic(given), 0))} twice"}
      {:error, message} -> {:error, message}
    end
  end

  @spec topic(term()) :: {term(), term()} | {:error, String.t()}
  defp topic(name) when is_binary(name), do: {name, 1}
  defp topic({name, partitions}) when is_binary(name), do: {name, partitions}

  defp topic({name, partitions}) when is_atom(name) and name not in [nil, true, false],
    do: {Atom.to_string(name), partitions}

  defp topic([_ | _] = options) do
    with true <- Keyword.keyword?(options),
         {:ok, [name: name, partitions: partitions]} <- named(options) do
      {name, partitions}
    else
      _ -> {:error, unnamed(options)}
    end
  end

  defp topic(given), do: {:error, unnamed(given)}

  @spec named(keyword()) :: {:ok, keyword()} | {:error, [atom()]}
  defp named(options) do
    with {:ok, options} <- Keyword.validate(options, [:name, partitions: 1]),
         do: {:ok, Enum.sort(options)}
  end

  @spec unnamed(term()) :: String.t()
  defp unnamed(given) do
    ~s(expected a topic, as "orders", {"orders", 4}, orders: 4 or [name: "orders", partitions: 4], ) <>
      "with a name of 1 to 249 letters, digits, dots, underscores and dashes, " <>
      "got: #{inspect(given)}"
  end

  @spec refuse!(String.t()) :: no_return()
  defp refuse!(message),
    do: raise(ArgumentError, "invalid options given to #{@cluster}: #{message}")
end
