defmodule OffBroadwayRustKafka.Lease do
  @moduledoc false
  # A pipeline's hold on a part of a member that others share: lanes, claimed for as long as this
  # process lives. It is a child of the pipeline, before the producers and stopped after them. When the
  # member goes, so does it, and Broadway starts it anew with all stages behind it: they find the next
  # member as they found this one.

  use GenServer

  alias OffBroadwayRustKafka.{Consumer, Error, Member, Native}

  # How long a member may take to be there again, and those who had our part to be gone.
  @member_ms 5_000
  @claimed_ms 2_000
  @look_ms 20

  @enforce_keys [:member, :owner]
  defstruct @enforce_keys

  @type t :: %__MODULE__{member: Member.pipeline(), owner: pid()}

  @type arg :: %{
          table: Consumer.table(),
          member: Member.pipeline(),
          claim: Native.claim(),
          lanes: pos_integer(),
          max_in_flight: pos_integer()
        }

  @doc "Whether the part can be had, asked before anything starts."
  @spec check(arg()) :: :ok | {:error, Error.t()}
  def check(arg) do
    with {:ok, {consumer, _owner, _members}} <- find(arg.member, now() + @member_ms) do
      check = fn -> Native.check_claim(consumer, arg.claim) end
      once_free(check, arg, now() + @claimed_ms)
    end
  end

  @spec start_link(arg()) :: GenServer.on_start()
  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)

  @impl GenServer
  def init(arg) do
    # Stopped by its supervisor it ends in its turn, after those that depend on it.
    Process.flag(:trap_exit, true)
    :ets.match_delete(arg.table, {:consumer, :_})

    with {:ok, {consumer, owner, members}} <- find(arg.member, now() + @member_ms),
         claim = fn -> Native.claim(consumer, arg.claim, arg.lanes, arg.max_in_flight) end,
         {:ok, first} <- once_free(claim, arg, now() + @claimed_ms) do
      Process.monitor(owner)
      lanes = first..(first + arg.lanes - 1)
      :ets.insert(arg.table, consumer: consumer, lanes: lanes, claim: arg.claim, member: members)
      {:ok, %__MODULE__{member: arg.member, owner: owner}}
    else
      {:error, error} -> {:stop, error}
    end
  end

  @impl GenServer
  def handle_info({:DOWN, _, :process, owner, _reason}, %{owner: owner} = state) do
    message = "the member #{inspect(state.member)} has ended; the pipeline waits for the next one"
    {:stop, {:shutdown, %Error{code: :closed, message: message, retryable?: true}}, state}
  end

  def handle_info({:EXIT, _from, reason}, state), do: {:stop, reason, state}
  def handle_info(_other, state), do: {:noreply, state}

  @typep found :: {Native.consumer(), owner :: pid(), Consumer.table()}

  @spec find(Member.pipeline(), deadline_ms :: integer()) :: {:ok, found()} | {:error, Error.t()}
  defp find(member, deadline) do
    case Member.shared(member) do
      {:error, error} -> if waited?(deadline), do: {:error, error}, else: find(member, deadline)
      found -> found
    end
  end

  @spec once_free((() -> free | {:error, Native.error()}), arg(), deadline_ms :: integer()) ::
          free | {:error, Error.t()}
        when free: :ok | {:ok, non_neg_integer()}
  defp once_free(ask, arg, deadline) do
    with {:error, error} <- ask.() do
      error = Error.from_native(error)

      if error.code == :claimed and not waited?(deadline),
        do: once_free(ask, arg, deadline),
        else: {:error, described(error, arg)}
    end
  end

  @spec described(Error.t(), arg()) :: Error.t()
  defp described(%{code: :claimed} = error, arg) do
    message =
      "another pipeline of the member #{inspect(arg.member)} reads what this one is to read: " <>
        error.message

    %{error | message: message}
  end

  defp described(error, _arg), do: error

  # Lets a moment pass, if there is time left.
  @spec waited?(deadline_ms :: integer()) :: boolean()
  defp waited?(deadline) do
    over? = now() >= deadline
    if not over?, do: Process.sleep(@look_ms)
    over?
  end

  @spec now() :: integer()
  defp now, do: System.monotonic_time(:millisecond)
end
