defmodule Broadway.Acknowledger do
  @moduledoc "The behaviour of acknowledgers, and what every stage does at the end of a message."

  alias Broadway.Message
  require Logger

  @callback ack(ack_ref :: term(), successful :: [Message.t()], failed :: [Message.t()]) :: :ok
  @callback configure(ack_ref :: term(), ack_data :: term(), options :: keyword()) ::
              {:ok, term()}
  @optional_callbacks configure: 3

  @doc "One `ack/3` for each acknowledger and `ack_ref`."
  def ack_messages(successful, failed) do
    (Enum.map(successful, &{:successful, &1}) ++ Enum.map(failed, &{:failed, &1}))
    |> Enum.group_by(fn {_, %{acknowledger: {module, ref, _}}} -> {module, ref} end)
    |> Enum.each(fn {{module, ref}, group} ->
      successful = for {:successful, message} <- group, do: message
      module.ack(ref, successful, for({:failed, message} <- group, do: message))
    end)
  end

  @doc "Shows the failed ones to `handle_failed/2`, then acknowledges all."
  def settle(successful, failed, %{module: module, context: context}) do
    told? = failed != [] and function_exported?(module, :handle_failed, 2)
    handle_failed = fn -> returned(module.handle_failed(failed, context), failed, module) end
    failed = if told?, do: guard(handle_failed, fn _ -> failed end), else: failed
    guard(fn -> ack_messages(successful, failed) end, fn _ -> :ok end)
  end

  @doc "Runs `fun`; a raise, throw or exit is logged and becomes the status given to `otherwise`."
  def guard(fun, otherwise) do
    fun.()
  catch
    kind, reason ->
      reason = Exception.normalize(kind, reason, __STACKTRACE__)
      crash = if kind == :throw, do: {:nocatch, reason}, else: reason
      text = Exception.format(kind, reason, __STACKTRACE__)
      Logger.error(text, crash_reason: {crash, __STACKTRACE__})
      otherwise.({kind, reason, __STACKTRACE__})
  end

  @doc "The messages a callback returned; that some are missing is logged."
  def returned(messages, given, module) do
    if length(messages) != length(given),
      do: Logger.error("#{inspect(module)} must return all messages given to it")

    Enum.map(messages, fn %Message{} = message -> message end)
  end
end

defmodule Broadway.NoopAcknowledger do
  @moduledoc "Does nothing; what a message has after `Broadway.Message.ack_immediately/1`."
  @behaviour Broadway.Acknowledger

  def init, do: {__MODULE__, nil, nil}

  @impl Broadway.Acknowledger
  def ack(nil, _successful, _failed), do: :ok
end

defmodule Broadway.CallerAcknowledger do
  @moduledoc "Sends `{:ack, ref, successful, failed}` and `{:configure, ref, options}` to a process."
  @behaviour Broadway.Acknowledger

  def init({pid, _ref} = to, data) when is_pid(pid), do: {__MODULE__, to, data}

  @impl Broadway.Acknowledger
  def ack({pid, ref}, successful, failed) do
    send(pid, {:ack, ref, successful, failed})
    :ok
  end

  @impl Broadway.Acknowledger
  def configure({pid, ref}, data, options) do
    send(pid, {:configure, ref, options})
    {:ok, data}
  end
end
