defmodule OffBroadwayRustKafka.Group.Uses do
  @moduledoc false
  # The options of `use OffBroadwayRustKafka`, checked when the module is compiled.

  @defaults [
    per: :partition,
    broadway: nil,
    on_crash: :set_aside,
    max_restarts: 3,
    max_seconds: 5
  ]

  @enforce_keys Keyword.keys(@defaults)
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          per: :partition | :topic | :group,
          broadway: module(),
          on_crash: :set_aside | :stop,
          max_restarts: non_neg_integer(),
          max_seconds: pos_integer()
        }

  @spec new!(term(), module()) :: t()
  def new!(options, module) do
    if not Keyword.keyword?(options), do: refuse!("expected a keyword list", options)

    case Keyword.keys(options) -- Keyword.keys(@defaults) do
      [] -> :ok
      [key | _] -> refuse!("unknown or repeated option #{inspect(key)}", options)
    end

    options = Keyword.merge(@defaults, options)
    Enum.each(options, &check!/1)
    struct!(__MODULE__, Keyword.update!(options, :broadway, &(&1 || module)))
  end

  @spec check!({atom(), term()}) :: :ok
  defp check!({:per, per}) when per in [:partition, :topic, :group], do: :ok

  defp check!({:per, other}),
    do: refuse!("expected :per to be :partition, :topic or :group", other)

  defp check!({:broadway, module}) when is_atom(module), do: :ok
  defp check!({:broadway, other}), do: refuse!("expected :broadway to be a module", other)
  defp check!({:on_crash, choice}) when choice in [:set_aside, :stop], do: :ok

  defp check!({:on_crash, other}),
    do: refuse!("expected :on_crash to be :set_aside or :stop", other)

  defp check!({:max_restarts, count}) when is_integer(count) and count >= 0, do: :ok

  defp check!({:max_restarts, other}),
    do: refuse!("expected :max_restarts to be 0 or a positive integer", other)

  defp check!({:max_seconds, seconds}) when is_integer(seconds) and seconds > 0, do: :ok

  defp check!({:max_seconds, other}),
    do: refuse!("expected :max_seconds to be a positive integer", other)

  @spec refuse!(String.t(), term()) :: no_return()
  defp refuse!(message, got) do
    raise ArgumentError,
          "invalid options given to use OffBroadwayRustKafka: #{message}, got: #{inspect(got)}"
  end
end
