defmodule Bench.Scale.Child do
  @moduledoc false
  # The VM in which one way is measured.

  use Broadway

  alias Bench.{Await, Child, Figures, Machine, Usage}
  alias Bench.Scale.Way

  @patience_ms 60_000
  @poll_ms 5
  # After the assignment of all partitions, which is not what an idle pipeline costs.
  @settle_ms 5_000

  @type job :: %{way: Way.t(), brokers: String.t(), topics: [String.t()], group: String.t()}

  @spec command(job()) :: Bench.Connector.command()
  def command(job) do
    encoded = job |> :erlang.term_to_binary() |> Base.encode16()

    {"mix",
     ["run", "--no-compile", "--no-deps-check", "--no-start", "-e", "Bench.Scale.Child.main()"] ++
       ["--", encoded]}
  end

  @spec main() :: no_return()
  def main do
    [job] = System.argv()
    job = job |> Base.decode16!() |> :erlang.binary_to_term()
    spawn(&Child.end_with_input/0)

    for application <- [:logger, :off_broadway_rust_kafka | Machine.broadway_applications()],
        do: {:ok, _} = Application.ensure_all_started(application)

    Logger.configure(level: :warning)
    measure(job)
    System.halt(0)
  end

  @spec measure(job()) :: :ok
  defp measure(%{way: %{mode: :read} = way} = job) do
    counter = :counters.new(1, [:write_concurrency])
    before = Usage.peak_mib()
    start(job, {:count, counter})
    first = await(counter, 1, @patience_ms, 1)
    if first == 0, do: give_up("no record")
    {since, cpu} = {Await.now_us(), Usage.cpu_us()}
    read = await(counter, way.records, way.seconds * 1000, @poll_ms) - first
    {elapsed, cpu} = {max(Await.now_us() - since, 1), Usage.cpu_us() - cpu}

    print(before,
      records: read,
      rate: read * 1_000_000 / elapsed,
      cpu_us: cpu / max(read, 1)
    )
  end

  defp measure(%{way: way} = job) do
    before = Usage.peak_mib()
    assigned = watch_assignments(way.partitions)
    start(job, way.mode)
    receive do: ({^assigned, :all} -> :ok), after: (@patience_ms -> give_up("no assignment"))
    if way.mode == :idle, do: Process.sleep(@settle_ms)
    {since, cpu} = {Await.now_us(), Usage.cpu_us()}
    Process.sleep(way.seconds * 1000)
    share = (Usage.cpu_us() - cpu) / (Await.now_us() - since)
    print(before, cpu_percent: share * 100)
  end

  @spec print(float(), keyword(number())) :: :ok
  defp print(before, figures) do
    peak = Usage.peak_mib()
    Figures.print(figures ++ [peak_mib: peak, grown_mib: peak - before, sockets: sockets()])
  end

  @spec start(job(), term()) :: :ok
  defp start(%{way: way} = job, context) do
    producer =
      [hosts: job.brokers, group_id: job.group, topics: job.topics] ++
        [offset_reset_policy: :earliest] ++ way.producer

    {:ok, _} =
      Broadway.start_link(__MODULE__,
        name: __MODULE__,
        context: context,
        producer: [
          module: {OffBroadwayRustKafka.Producer, producer},
          concurrency: way.producers
        ],
        processors: [default: [concurrency: way.processors, max_demand: way.max_demand]]
      )

    :ok
  end

  @impl Broadway
  def handle_message(_processor, message, {:count, counter}) do
    :counters.add(counter, 1, 1)
    message
  end

  def handle_message(_processor, _message, :stuck), do: Process.sleep(:infinity)
  def handle_message(_processor, message, :idle), do: message

  @spec watch_assignments(pos_integer()) :: reference()
  defp watch_assignments(partitions) do
    {ref, counter} = {make_ref(), :counters.new(1, [])}
    event = [:off_broadway_rust_kafka, :assigned]

    :ok =
      :telemetry.attach(ref, event, &__MODULE__.assigned/4, {self(), ref, counter, partitions})

    ref
  end

  @doc false
  @spec assigned([atom()], map(), map(), term()) :: :ok
  def assigned(_event, measurements, _metadata, {pid, ref, counter, partitions}) do
    :counters.add(counter, 1, measurements.count)
    if :counters.get(counter, 1) >= partitions, do: send(pid, {ref, :all})
    :ok
  end

  # How many were counted, once there are enough or no time is left.
  @spec await(:counters.counters_ref(), pos_integer(), timeout_ms :: integer(), pos_integer()) ::
          non_neg_integer()
  defp await(counter, enough, timeout, poll),
    do:
      Await.count(
        fn -> :counters.get(counter, 1) end,
        enough,
        Await.now_us() + timeout * 1000,
        poll
      )

  # Of this process alone; what has no peer is no connection.
  @spec sockets() :: non_neg_integer()
  defp sockets do
    own =
      for fd <- File.ls!("/proc/self/fd"),
          {:ok, "socket:[" <> inode} <- [File.read_link("/proc/self/fd/" <> fd)],
          into: MapSet.new(),
          do: String.trim_trailing(inode, "]")

    Enum.count(connections(), &(&1 in own))
  end

  @spec connections() :: [inode :: String.t()]
  defp connections do
    for table <- ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        {:ok, text} <- [File.read(table)],
        line <- text |> String.split("\n", trim: true) |> tl(),
        fields = String.split(line),
        # Established.
        Enum.at(fields, 3) == "01",
        do: Enum.at(fields, 9)
  end

  @spec give_up(String.t()) :: no_return()
  defp give_up(what) do
    IO.puts("#{what} within #{div(@patience_ms, 1000)} s")
    System.halt(1)
  end
end
