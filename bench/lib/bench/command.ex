defmodule Bench.Command do
  @moduledoc false
  # OS processes. Each ends by itself when its standard input does, so none outlives the bench.

  alias Bench.{Connector, Figures}

  @kept_lines 20

  @doc "Runs it to its end: the figures it printed, or what it said before it failed."
  @spec run(Connector.command(), timeout_ms :: pos_integer()) ::
          {:ok, Figures.t()} | {:error, String.t()}
  def run(command, timeout) do
    port = start(command)
    gather(port, System.monotonic_time(:millisecond) + timeout, [])
  end

  @spec start(Connector.command()) :: port()
  def start({program, arguments}) do
    path = System.find_executable(program) || raise "no #{program} here"

    Port.open({:spawn_executable, path}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      args: arguments,
      line: 4096
    ])
  end

  @doc "Ends what `start/1` started, unless it is gone: the last of each figure it printed."
  @spec stop(port()) :: {:ok, Figures.t()} | {:error, String.t()}
  def stop(port) do
    lines = said(port, [])

    receive do
      {^port, {:exit_status, status}} -> {:error, last("ended with status #{status}", lines)}
    after
      0 ->
        Port.close(port)
        flush(port)
        {:ok, lines |> Enum.reverse() |> Figures.parse()}
    end
  end

  @spec said(port(), [String.t()]) :: [String.t()]
  defp said(port, lines) do
    receive do
      {^port, {:data, {_, line}}} -> said(port, [line | lines])
    after
      0 -> lines
    end
  end

  @spec gather(port(), until :: integer(), [String.t()]) ::
          {:ok, Figures.t()} | {:error, String.t()}
  defp gather(port, until, lines) do
    receive do
      {^port, {:data, {_, line}}} -> gather(port, until, [line | lines])
      {^port, {:exit_status, 0}} -> {:ok, Figures.parse(lines)}
      {^port, {:exit_status, status}} -> {:error, last("ended with status #{status}", lines)}
    after
      max(until - System.monotonic_time(:millisecond), 0) ->
        Port.close(port)
        flush(port)
        {:error, last("out of time", lines)}
    end
  end

  @spec last(String.t(), [String.t()]) :: String.t()
  defp last(reason, lines) do
    shown = lines |> Enum.take(@kept_lines) |> Enum.reverse()
    Enum.join([reason | shown], "\n  ")
  end

  @spec flush(port()) :: :ok
  defp flush(port) do
    receive do
      {^port, _} -> flush(port)
    after
      0 -> :ok
    end
  end
end
