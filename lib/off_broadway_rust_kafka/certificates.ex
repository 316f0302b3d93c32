defmodule OffBroadwayRustKafka.Certificates do
  @moduledoc false
  # Certificates and keys are read when a member starts. Where they are others by the time that TLS
  # fails, a new member is to take its place, which reads them.

  alias OffBroadwayRustKafka.Properties

  @files ~w(ssl.ca.location ssl.certificate.location ssl.crl.location ssl.key.location
            ssl.keystore.location)

  # Whoever writes them needs a while for all.
  defstruct [:look, :seen, settle_ms: 5_000]

  @typedoc "A closure, which shows no secret in a state, and what it said before the member started."
  @type t :: %__MODULE__{
          look: look() | nil,
          seen: mark() | nil,
          settle_ms: non_neg_integer()
        }

  @typep look :: (() -> {:ok, mark()} | :error)
  @typep mark :: non_neg_integer()

  @spec new([{String.t(), Properties.value()}]) :: t()
  def new(properties) do
    case Enum.filter(properties, &renewable?/1) do
      [] -> %__MODULE__{}
      renewable -> %__MODULE__{look: fn -> look(renewable) end}
    end
  end

  @doc "To be called before a member reads them."
  @spec see(t()) :: t()
  def see(%{look: nil} = certificates), do: certificates

  def see(%{look: look} = certificates) do
    case look.() do
      {:ok, mark} -> %{certificates | seen: mark}
      :error -> certificates
    end
  end

  @doc "Calls `changed` in the background if there are others by now."
  @spec renew(t(), (() -> term())) :: :ok
  def renew(%{look: nil}, _changed), do: :ok

  def renew(%{look: look, seen: seen, settle_ms: settle_ms}, changed) do
    spawn(fn ->
      with {:ok, mark} when mark != seen <- look.(),
           do: settle(look, mark, settle_ms, changed)
    end)

    :ok
  end

  # Those that change again are looked at when they are refused again.
  @spec settle(look(), mark(), non_neg_integer(), (() -> term())) :: term()
  defp settle(look, mark, settle_ms, changed) do
    receive do
    after
      settle_ms -> if look.() == {:ok, mark}, do: changed.()
    end
  end

  @spec renewable?({String.t(), Properties.value()}) :: boolean()
  defp renewable?({name, value}),
    do: name in @files or (is_function(value) and String.starts_with?(name, "ssl."))

  # What cannot be read, a new member could not read either.
  @spec look([{String.t(), Properties.value()}]) :: {:ok, mark()} | :error
  defp look(renewable) do
    with {:ok, opened} <- Properties.open(renewable),
         {:ok, contents} <- contents(opened) do
      {:ok, :erlang.phash2(contents, 4_294_967_296)}
    else
      {:error, _} -> :error
    end
  end

  @spec contents([{String.t(), String.t()}]) :: {:ok, [binary()]} | {:error, term()}
  defp contents(opened) do
    Enum.reduce_while(opened, {:ok, []}, fn {name, value}, {:ok, contents} ->
      case content(name, value) do
        {:ok, content} -> {:cont, {:ok, [content | contents]}}
        {:error, reason} -> {:halt, {:error, reason}}
      end
    end)
  end

  # A folder of authorities, or the word for the system's.
  @spec content(String.t(), String.t()) :: {:ok, binary()} | {:error, term()}
  defp content(name, value) when name in @files,
    do: if(File.regular?(value), do: File.read(value), else: {:ok, value})

  defp content(_name, value), do: {:ok, value}
end
