defmodule OffBroadwayRustKafka.Wishes do
  @moduledoc false
  # What a running member was asked to be: its topics, and what is paused. It is kept in the pipeline's table, so that
  # a member that is started in its place goes on with that, and not with what the pipeline began with.

  alias OffBroadwayRustKafka.{Consumer, Native}

  @doc "Keeps what an event says of it."
  @spec hear(Native.event() | tuple(), Consumer.table()) :: :ok
  def hear({name, paused}, table) when name in [:paused, :resumed],
    do: keep(table, :paused, paused)

  def hear({:subscribed, topics}, table), do: keep(table, :topics, topics)
  def hear(_event, _table), do: :ok

  @doc "The configuration of a member that starts now."
  @spec config(Native.config(), Consumer.table()) :: Native.config()
  def config(config, table) do
    for key <- [:paused, :topics], [{^key, value}] <- [:ets.lookup(table, key)], reduce: config do
      config -> %{config | key => value}
    end
  end

  @spec keep(Consumer.table(), atom(), term()) :: :ok
  defp keep(table, key, value) do
    :ets.insert(table, {key, value})
    :ok
  rescue
    # The pipeline's own process was killed, and the table with it.
    ArgumentError -> :ok
  end
end
