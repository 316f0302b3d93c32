defmodule OffBroadwayRustKafka.OnFatal do
  @moduledoc false
  # What a pipeline does about errors that time alone does not end, as its option `:on_fatal` says.

  alias OffBroadwayRustKafka.Error
  alias OffBroadwayRustKafka.Error.Remedy

  # A connection may break in the middle of its handshake, which looks like a refusal. It is one when
  # no broker lets us in.
  @handshake [:authentication, :ssl]
  @doubt_ms 60_000

  @enforce_keys [:choice]
  defstruct [:choice, :doubt]

  @type choice :: :stop | :retry
  @type t :: %__MODULE__{
          choice: choice() | :stopped,
          doubt: {Error.t(), told_ms :: integer()} | nil
        }

  @typedoc """
  Whether the member goes on by itself, a new one is to take its place, or the pipeline ends.
  """
  @type verdict :: :go_on | :start_again | {:stop, Error.t()}

  @spec new(choice()) :: t()
  def new(choice), do: %__MODULE__{choice: choice}

  @doc "Judges an error. `ended?` says that the member cannot go on."
  @spec judge(t(), Error.t(), ended? :: boolean(), now_ms :: integer()) :: {verdict(), t()}
  def judge(on_fatal, error, ended?, now_ms \\ System.monotonic_time(:millisecond))

  # Somebody else has our instance id: to come back, in whatever way, would fence him, and he us in
  # turn.
  def judge(on_fatal, %Error{code: :fenced_instance_id}, _ended?, _now_ms), do: {:go_on, on_fatal}

  def judge(%{choice: :stop, doubt: {refused, told_ms}} = on_fatal, error, ended?, now_ms)
      when error.code == :all_brokers_down do
    if now_ms - told_ms < @doubt_ms,
      do: stop(on_fatal, refused),
      else: judge(%{on_fatal | doubt: nil}, error, ended?, now_ms)
  end

  def judge(%{choice: :stop} = on_fatal, %Error{code: code} = error, false, now_ms)
      when code in @handshake,
      do: {:go_on, %{on_fatal | doubt: {error, now_ms}}}

  def judge(%{choice: :stop} = on_fatal, %Error{fatal?: true} = error, ended?, _now_ms) do
    if Remedy.passing?(error.code),
      do: {going_on(ended?), on_fatal},
      else: stop(on_fatal, error)
  end

  # Once is enough.
  def judge(%{choice: :stopped} = on_fatal, _error, _ended?, _now_ms), do: {:go_on, on_fatal}

  def judge(on_fatal, _error, ended?, _now_ms), do: {going_on(ended?), on_fatal}

  @spec stop(t(), Error.t()) :: {verdict(), t()}
  defp stop(on_fatal, error), do: {{:stop, error}, %{on_fatal | choice: :stopped, doubt: nil}}

  @spec going_on(ended? :: boolean()) :: verdict()
  defp going_on(true), do: :start_again
  defp going_on(false), do: :go_on
end
