defmodule Bench.Variant do
  @moduledoc false
  # One way to set a connector up. What is not named here is at its default, Broadway's options too.

  defstruct id: :defaults,
            title: "defaults",
            config: [],
            producer: [],
            processors: [],
            batchers: []

  @type t :: %__MODULE__{
          id: atom(),
          title: String.t(),
          config: keyword(),
          producer: keyword(),
          processors: keyword(),
          batchers: keyword()
        }

  @doc """
  At its defaults, tuned under `title` by options of the producer, and with batchers too; all of them
  with these options of the processors.
  """
  @spec all(title :: String.t(), producer :: keyword(), processors :: keyword()) :: [t()]
  def all(title, producer \\ [], processors \\ []) do
    tuned = %__MODULE__{
      id: :tuned,
      title: title,
      producer: producer,
      processors: processors ++ [max_demand: 100]
    }

    batchers = %{tuned | id: :batchers, title: "batchers of 1000", batchers: [batch_size: 1000]}
    [%__MODULE__{processors: processors}, tuned, batchers]
  end

  @doc "The settings as one would write them."
  @spec settings(t()) :: String.t()
  def settings(variant) do
    parts =
      for key <- [:config, :producer, :processors, :batchers],
          [_ | _] = options <- [Map.fetch!(variant, key)],
          do: "#{key}: #{inspect(options)}"

    if parts == [], do: "nothing set", else: Enum.join(parts, ", ")
  end

  @doc "What its pipeline counts."
  @spec kind(t()) :: :count | :count_batches | :count_chunks
  def kind(%{id: id}) when id in [:chunks, :bare_chunks], do: :count_chunks
  def kind(%{batchers: []}), do: :count
  def kind(_variant), do: :count_batches

  @doc "What follows `module:` in Broadway's options."
  @spec stages(t()) :: keyword()
  def stages(%{processors: processors, batchers: batchers}) do
    batchers = if batchers == [], do: [], else: [batchers: [default: batchers]]
    [processors: [default: processors]] ++ batchers
  end
end
