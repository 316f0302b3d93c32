defmodule OffBroadwayRustKafka.History.Simulated do
  @moduledoc false
  # Sound histories of members that share a topic, by chance: they deliver, handle and ack out of
  # order, commit what is complete, give partitions up with records in flight, ack those late, and
  # are killed. What is told late, as by a member that was stopped, is told late here too.

  alias OffBroadwayRustKafka.History

  @topic "simulated"

  # Of a partition: who has it, in which epoch, the next offset to deliver, what is unacked, what is
  # committed.
  @partition %{owner: nil, epoch: 0, next: 0, unacked: [], committed: nil, stale: []}

  @doc """
  Options: `:partitions`, `:records` of each, `:members`, `:run` (most that are delivered at once)
  and `:trouble`, how many of 1000 steps are a rebalance or a kill.
  """
  @spec events(seed :: integer(), keyword()) :: [History.event()]
  def events(seed, options) do
    :rand.seed(:exsss, seed)
    options = Map.new(options)
    numbers = 0..(options.partitions - 1)
    partitions = Map.new(numbers, &{&1, @partition})
    sim = %{options: options, time: 0, events: [], partitions: partitions, incarnations: %{}}
    sim = Enum.reduce(1..options.members, sim, &start(&2, "m#{&1}"))
    sim = Enum.reduce(numbers, sim, &assign/2)
    sim = run(sim, Enum.to_list(numbers))

    for number <- numbers, reduce: sim do
      sim -> put(sim, nil, :produced, number, nil, {0, options.records, []})
    end
    |> Map.fetch!(:events)
    |> Enum.reverse()
  end

  @spec run(map(), [non_neg_integer()]) :: map()
  defp run(sim, []), do: sim

  defp run(sim, open) do
    number = Enum.random(open)

    sim =
      if :rand.uniform(1_000) <= sim.options.trouble,
        do: trouble(sim, number),
        else: step(sim, number)

    done? = sim.partitions[number].committed == sim.options.records
    run(sim, if(done?, do: List.delete(open, number), else: open))
  end

  @spec step(map(), non_neg_integer()) :: map()
  defp step(sim, number) do
    partition = sim.partitions[number]
    left = sim.options.records - partition.next

    cond do
      partition.unacked != [] and (left == 0 or :rand.uniform(3) > 1) ->
        ack(sim, number, partition)

      left > 0 ->
        deliver(sim, number, partition, min(left, :rand.uniform(sim.options.run)))

      true ->
        commit(sim, number)
    end
  end

  @spec deliver(map(), non_neg_integer(), map(), pos_integer()) :: map()
  defp deliver(sim, number, partition, count) do
    {first, last} = span = {partition.next, partition.next + count - 1}

    sim
    |> put(partition.owner, :demanded, nil, nil, {0, count})
    |> put(partition.owner, :delivered, number, partition.epoch, {0, [span]})
    |> update(number, %{next: last + 1, unacked: partition.unacked ++ Enum.to_list(first..last)})
  end

  # A few of those in flight, one of them perhaps acked before its time.
  @spec ack(map(), non_neg_integer(), map()) :: map()
  defp ack(sim, number, partition) do
    {now, later} = Enum.split(partition.unacked, :rand.uniform(sim.options.run))

    {now, later} =
      if :rand.uniform(4) == 1 and length(now) > 1,
        do: {tl(now), [hd(now) | later]},
        else: {now, later}

    of = &put(&1, partition.owner, &2, number, partition.epoch, &3)

    sim = for offset <- now, reduce: sim, do: (sim -> of.(sim, :handled, [{offset, offset}]))
    sim = of.(sim, :acked, History.Spans.new(now))

    sim =
      for {owner, epoch, offset} <- partition.stale,
          reduce: sim,
          do: (sim -> put(sim, owner, :acked, number, epoch, [{offset, offset}]))

    sim = update(sim, number, %{unacked: later, stale: []})
    if :rand.uniform(10) == 1, do: commit(sim, number), else: sim
  end

  @spec commit(map(), non_neg_integer()) :: map()
  defp commit(sim, number) do
    partition = sim.partitions[number]
    offset = List.first(partition.unacked, partition.next)

    if offset == partition.committed,
      do: sim,
      else:
        sim
        |> put(partition.owner, :committed, number, nil, {offset, 1})
        |> update(number, %{committed: offset})
  end

  @spec trouble(map(), non_neg_integer()) :: map()
  defp trouble(sim, number) do
    partition = sim.partitions[number]

    if :rand.uniform(2) == 1 do
      sim =
        put(
          commit(sim, number),
          partition.owner,
          :revoked,
          number,
          partition.epoch,
          length(partition.unacked)
        )

      assign(number, sim)
    else
      label = History.label(partition.owner)
      sim = put(sim, label, :gone, nil, nil, "SIGKILL")

      moved =
        for {number, %{owner: owner}} <- sim.partitions, owner == partition.owner, do: number

      sim = start(sim, label)
      Enum.reduce(moved, sim, &assign/2)
    end
  end

  @spec start(map(), String.t()) :: map()
  defp start(sim, label) do
    incarnation = Map.get(sim.incarnations, label, 0) + 1
    member = "#{label}##{incarnation}"

    %{sim | incarnations: Map.put(sim.incarnations, label, incarnation)}
    |> put(member, :started, nil, nil, nil)
    |> put(member, :lane, nil, nil, 0)
  end

  @spec assign(non_neg_integer(), map()) :: map()
  defp assign(number, sim) do
    {label, incarnation} = Enum.random(sim.incarnations)
    partition = sim.partitions[number]
    epoch = partition.epoch + 1
    start = partition.committed || 0
    stale = for offset <- partition.unacked, do: {partition.owner, partition.epoch, offset}
    member = "#{label}##{incarnation}"

    sim
    |> put(member, :assigned, number, epoch, start)
    |> update(number, %{owner: member, epoch: epoch, next: start, unacked: [], stale: stale})
  end

  @spec update(map(), non_neg_integer(), map()) :: map()
  defp update(sim, number, changed),
    do: %{sim | partitions: Map.update!(sim.partitions, number, &Map.merge(&1, changed))}

  @spec put(map(), term(), atom(), non_neg_integer() | nil, term(), term()) :: map()
  defp put(sim, member, kind, number, epoch, value) do
    place = if number, do: {@topic, number}
    event = {sim.time, member, kind, place, epoch, value}
    %{sim | time: sim.time + 10_000, events: [event | sim.events]}
  end
end
