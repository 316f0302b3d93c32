defmodule OffBroadwayRustKafka.Membership do
  @moduledoc false
  # A member outside of Broadway, with its owner linked to the process that starts it: that process
  # is the one by whose name the member is found (`OffBroadwayRustKafka.Member`).

  alias OffBroadwayRustKafka.{Consumer, Error, MemberSpec, Native, Options}

  # How long the last commit and the leaving of the group may take, of which the owner counts this.
  @stop_ms 5_000
  @shutdown_ms 3_500

  # Past that the owner has ended.
  @grace_ms 2_000

  @enforce_keys [:owner, :consumer]
  defstruct @enforce_keys

  @type t :: %__MODULE__{owner: pid(), consumer: Native.consumer()}

  @doc "Within so many milliseconds a membership is stopped."
  @spec stop_ms() :: pos_integer()
  def stop_ms, do: @stop_ms + @grace_ms

  @spec start_link(Options.t(), name :: term()) :: {:ok, t()} | {:error, Error.t()}
  def start_link(%Options{} = options, name) do
    table = Consumer.new_table()
    Process.flag(:trap_exit, true)

    with {:ok, arg} <- consumer(options, table, name, 1),
         {:ok, owner} <- Consumer.start_link(arg) do
      {:ok, consumer} = Consumer.fetch(table)
      {:ok, %__MODULE__{owner: owner, consumer: consumer}}
    end
  end

  @doc "Commits what is acknowledged, if that is not done by hand, and leaves the group."
  @spec stop(t()) :: :ok
  def stop(%__MODULE__{owner: owner}) do
    GenServer.stop(owner, :shutdown, stop_ms())
  catch
    # It had ended, or takes longer: it goes on in the background.
    :exit, _ -> :ok
  end

  @doc "What an owner is to be given. With 0 lanes they are claimed."
  @spec consumer(Options.t(), Consumer.table(), term(), lanes :: non_neg_integer()) ::
          {:ok, Consumer.arg()} | {:error, Error.t()}
  def consumer(options, table, name, lanes) do
    place = %{
      table: table,
      name: name,
      lanes: lanes,
      max_in_flight: options.max_in_flight,
      shutdown_ms: @shutdown_ms
    }

    # The options were checked, but a secret may be gone since.
    with {:error, message} <- MemberSpec.new(options, place),
         do: {:error, Error.from_native({:invalid_config, message, false, true, nil, nil})}
  end
end
