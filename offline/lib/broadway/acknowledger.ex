defmodule Broadway.Acknowledger do
  @moduledoc "The behaviour of acknowledgers, and what every stage does at the end of a message."

  alias Broadway.Message
  require Logger

  @callback ack(ack_ref :: term(), successful :: [Message.t()], failed :: [Message.t()]) :: :ok
  @callback configure(ack_ref :: term(), ack_data :: term(), options :: keyword()) ::
              {:ok, term()}
  @optional_callbacks configure: 3

  @doc "One `ack/3` for each acknowledger and `ack_ref`."
  @spec ack_messages([Message.t()], [Message.t()]) :: :ok
  def ack_messages(successful, failed) do
    group = fn %{acknowledger: {module, ref, _}} -> {module, ref} end
    successful = Enum.group_by(successful, group)
    failed = Enum.group_by(failed, group)

    for {module, ref} = group <- Map.keys(Map.merge(successful, failed)),
        do: module.ack(ref, successful[group] || [], failed[group] || [])

    :ok
  end

  @doc "Shows the failed ones to `handle_failed/2`, then acknowledges all."
  @spec settle([Message.t()], [Message.t()], map()) :: :ok
  def settle(successful, failed, %{module: module, context: context}) do
    told? = failed != [] and function_exported?(module, :handle_failed, 2)
    handle_failed = fn -> module.handle_failed(failed, context) end
    failed = if told?, do: guard(handle_failed, fn _ -> failed end), else: failed
    guard(fn -> ack_messages(successful, failed) end, fn _ -> :ok end)
  end

  @doc "Runs `fun`; a raise, throw or exit is logged and becomes the status given to `otherwise`."
  @spec guard((() -> result), (status :: tuple() -> result)) :: result when result: term()
  def guard(fun, otherwise) do
    fun.()
  catch
    kind, reason ->
      Logger.error(Exception.format(kind, reason, __STACKTRACE__))
      otherwise.({kind, Exception.normalize(kind, reason, __STACKTRACE__), __STACKTRACE__})
  end
end

defmodule Broadway.NoopAcknowledger do
  @moduledoc "Does nothing; what a message has after `Broadway.Message.ack_immediately/1`."
  @behaviour Broadway.Acknowledger

  @spec init() :: {module(), nil, nil}
  def init, do: {__MODULE__, nil, nil}

  @impl Broadway.Acknowledger
  def ack(nil, _successful, _failed), do: :ok
end

defmodule Broadway.CallerAcknowledger do
  @moduledoc "Sends `{:ack, ref, successful, failed}` to a process."
  @behaviour Broadway.Acknowledger

  @spec init({pid(), ref :: term()}, data :: term()) :: {module(), {pid(), term()}, term()}
  def init({pid, _ref} = to, data) when is_pid(pid), do: {__MODULE__, to, data}

  @impl Broadway.Acknowledger
  def ack({pid, ref}, successful, failed) do
    send(pid, {:ack, ref, successful, failed})
    :ok
  end
end
