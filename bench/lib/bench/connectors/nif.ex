defmodule Bench.Connectors.Nif do
  @moduledoc false
  # What this project's producer sits on, without Broadway: one process that pulls, and acks all of it.

  @behaviour Bench.Connector

  alias Bench.{Child, Connector, Job, Variant}
  alias Bench.Connectors.Ours
  alias OffBroadwayRustKafka.{Native, Producer}

  @demand 500

  @impl Connector
  def title, do: "our NIF, no Broadway"

  @impl Connector
  def variants do
    [%Variant{id: :pulled, title: "500 a pull", producer: [max_in_flight: 20_000]}]
  end

  @impl Connector
  def versions, do: []

  @impl Connector
  def missing, do: nil

  @impl Connector
  def takes_part?(kind, _variant, _shape), do: kind in [:read, :calls]

  @impl Connector
  def applications, do: Ours.applications()

  @impl Connector
  def command(job), do: Child.command(job)

  @impl Connector
  def start(job, {_kind, counter}) do
    spawn_link(fn ->
      consumer = open(job)
      pull(consumer, counter)
    end)

    :ok
  end

  @doc "A member of the group, owned and served by this process."
  @spec open(Job.t()) :: Native.consumer()
  def open(job) do
    {:ok, consumer} = Native.start(config(job))
    :ok = Native.attach(consumer, 0)
    consumer
  end

  @doc "The acks of all that a pull has brought."
  @spec acks([Native.run()]) :: [{Native.slot(), Native.epoch(), Native.offset()}]
  def acks(runs) do
    for {_topic, _partition, slot, epoch, records} <- runs,
        {offset, _ts, _key, _value, _headers} <- records,
        do: {slot, epoch, offset}
  end

  @doc "The same as the acknowledger sends it: of records that follow one another, the first and the last."
  @spec ranges([Native.run()]) :: [
          {Native.slot(), Native.epoch(), first :: Native.offset(), last :: Native.offset()}
        ]
  def ranges(runs) do
    for {_topic, _partition, slot, epoch, records} <- runs,
        do: {slot, epoch, elem(hd(records), 0), elem(List.last(records), 0)}
  end

  @doc "Pulls so many records, waiting for those that are still to come."
  @spec pull_all(Native.consumer(), non_neg_integer()) :: [Native.run()]
  def pull_all(_consumer, 0), do: []

  def pull_all(consumer, left) do
    {status, count, runs} = Native.pull(consumer, 0, left)
    if status == :armed and count < left, do: await_wake()
    runs ++ pull_all(consumer, left - count)
  end

  @doc "Waits until there is something to pull."
  @spec await_wake() :: :ok
  def await_wake do
    receive do
      {:off_broadway_rust_kafka, :wake} -> :ok
      {:off_broadway_rust_kafka, _event} -> await_wake()
    end
  end

  @spec pull(Native.consumer(), :counters.counters_ref()) :: no_return()
  defp pull(consumer, counter) do
    {status, count, runs} = Native.pull(consumer, 0, @demand)
    :ok = Native.ack_ranges(consumer, ranges(runs))
    :counters.add(counter, 1, count)
    if status == :armed, do: await_wake()
    pull(consumer, counter)
  end

  # The configuration that a pipeline of these options would have.
  @spec config(Job.t()) :: Native.config()
  defp config(job) do
    pipeline = [name: __MODULE__] ++ Ours.options(job)
    {[{_owner, %{config: config}}], _rewritten} = Producer.prepare_for_start(Producer, pipeline)
    config.()
  end
end
