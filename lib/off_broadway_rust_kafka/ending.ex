defmodule OffBroadwayRustKafka.Ending do
  @moduledoc false
  # A pipeline that ends by itself does so as its user would end it: what is in flight is handled
  # and committed. Its consumer is stopped on the way, so that somebody else has to wait for it.

  alias OffBroadwayRustKafka.{Consumer, Error}

  @doc "Ends the pipeline whose own process owns the table, whatever its name is."
  @spec pipeline(Consumer.table(), Error.t()) :: :ok
  def pipeline(table, error) do
    with pid when is_pid(pid) <- :ets.info(table, :owner), do: spawn(fn -> stop(pid, error) end)
    :ok
  end

  @spec stop(pid(), Error.t()) :: :ok
  defp stop(pipeline, error) do
    GenServer.stop(pipeline, {:shutdown, error}, :infinity)
  catch
    # It ended meanwhile.
    :exit, _ -> :ok
  end
end
