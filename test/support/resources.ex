defmodule OffBroadwayRustKafka.Resources do
  @moduledoc false
  # What this node holds: of the VM, and of the operating system as /proc tells it.

  alias OffBroadwayRustKafka.Kafka

  # Longer than the second that librdkafka's threads may sleep before they see that they are to end.
  @steady_ms 1_500
  @look_ms 100

  @enforce_keys [:threads, :files, :processes, :ports, :tables]
  defstruct @enforce_keys

  @typedoc "How many there are of each."
  @type t :: %__MODULE__{
          threads: non_neg_integer(),
          files: non_neg_integer(),
          processes: non_neg_integer(),
          ports: non_neg_integer(),
          tables: non_neg_integer()
        }

  @doc "What is held now. What only garbage refers to is not."
  @spec count() :: t()
  def count do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)

    %__MODULE__{
      threads: entries("/proc/self/task"),
      files: entries("/proc/self/fd"),
      processes: :erlang.system_info(:process_count),
      ports: :erlang.system_info(:port_count),
      tables: length(:ets.all())
    }
  end

  @doc "Waits until what is held stays the same for a while, and returns it."
  @spec await_steady(timeout_ms :: pos_integer()) :: t()
  def await_steady(timeout), do: await_steady(count(), @steady_ms, timeout)

  @spec await_steady(t(), integer(), integer()) :: t()
  defp await_steady(held, left, _timeout) when left <= 0, do: held

  defp await_steady(held, left, timeout) do
    if timeout <= 0, do: ExUnit.Assertions.flunk("comes and goes: #{inspect(held)}, #{threads()}")

    Kafka.pass(@look_ms)

    case count() do
      ^held -> await_steady(held, left - @look_ms, timeout - @look_ms)
      other -> await_steady(other, @steady_ms, timeout - @look_ms)
    end
  end

  @doc "Waits until no more is held than then."
  @spec await_no_more_than(t(), timeout_ms :: pos_integer()) :: t()
  def await_no_more_than(baseline, timeout) do
    Kafka.await(timeout, fn ->
      now = count()

      case more(baseline, now) do
        [] -> now
        more -> {:not_yet, "are held #{inspect(more)} (before, after), threads #{threads()}"}
      end
    end)
  end

  @spec atoms() :: non_neg_integer()
  def atoms, do: :erlang.system_info(:atom_count)

  @doc "Kilobytes of memory: of the whole process, and of what the VM itself has in use."
  @spec memory() :: %{resident_kb: pos_integer(), vm_kb: pos_integer()}
  def memory do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    %{resident_kb: resident_kb("self"), vm_kb: div(:erlang.memory(:total), 1024)}
  end

  @doc "The most that a process of the operating system has in memory until then (monotonic milliseconds)."
  @spec peak_kb(String.t(), until_ms :: integer(), non_neg_integer()) :: non_neg_integer()
  def peak_kb(pid, until, most \\ 0) do
    most = max(most, resident_kb(pid))

    if System.monotonic_time(:millisecond) < until do
      Kafka.pass(@look_ms)
      peak_kb(pid, until, most)
    else
      most
    end
  end

  @doc "What a process of the operating system has in memory."
  @spec resident_kb(os_pid :: String.t()) :: pos_integer()
  def resident_kb(pid) do
    [_, resident] = Regex.run(~r/^VmRSS:\s+(\d+) kB$/m, File.read!("/proc/#{pid}/status"))
    String.to_integer(resident)
  end

  @doc """
  How much a series grows from one of its values to the next: the median of the slopes between all
  pairs of them, which noise does not move. Its largest step does not count: memory that the VM or the
  C library takes once, and keeps.
  """
  @spec growth([number(), ...]) :: float()
  def growth(series) do
    indexed = series |> without_largest_step() |> Enum.with_index()
    slopes = for {a, i} <- indexed, {b, j} <- indexed, j > i, do: (b - a) / (j - i)
    slopes |> Enum.sort() |> Enum.at(div(length(slopes), 2)) |> Kernel.*(1.0)
  end

  @spec without_largest_step([number(), ...]) :: [number()]
  defp without_largest_step([first | rest] = series) do
    steps = Enum.zip_with(rest, series, &(&1 - &2))
    {before, [largest | later]} = Enum.split_while(steps, &(&1 < Enum.max(steps)))
    Enum.scan([first | before] ++ [min(largest, 0) | later], &+/2)
  end

  @spec more(t(), t()) :: [{atom(), non_neg_integer(), non_neg_integer()}]
  defp more(baseline, now) do
    for {what, before} <- Map.from_struct(baseline),
        held = Map.fetch!(now, what),
        held > before,
        do: {what, before, held}
  end

  # An entry may be gone before it is read.
  @spec threads() :: String.t()
  defp threads do
    names =
      for path <- Path.wildcard("/proc/self/task/*/comm"),
          {:ok, name} <- [File.read(path)],
          do: String.trim(name)

    names |> Enum.frequencies() |> inspect(limit: :infinity)
  end

  @spec entries(Path.t()) :: non_neg_integer()
  defp entries(path), do: path |> File.ls!() |> length()
end
