defmodule Demo.Interrupt do
  @moduledoc false
  # What ends the demo early: Ctrl-C, which bin/demo sends on as SIGTERM, or a failure elsewhere. It
  # reaches the process that tells the story as a throw at its next check.

  import Kernel, except: [send: 2]

  @type reason :: :interrupted | {:failed, message :: String.t()}

  @spec on_sigterm(pid()) :: :ok
  def on_sigterm(pid) do
    {:ok, _id} = System.trap_signal(:sigterm, fn -> send(pid, :interrupted) end)
    :ok
  end

  @spec send(pid(), reason()) :: :ok
  def send(pid, reason) do
    Kernel.send(pid, {__MODULE__, reason})
    :ok
  end

  @doc "Throws the reason if there is one, or if one comes within `ms`."
  @spec check(ms :: non_neg_integer()) :: :ok
  def check(ms \\ 0) do
    receive do
      {__MODULE__, reason} -> throw(reason)
    after
      ms -> :ok
    end
  end
end
