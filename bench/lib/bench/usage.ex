defmodule Bench.Usage do
  @moduledoc false
  # What this whole process has used, all threads of it, as Linux tells it.

  # Of a tick in /proc: 100 a second wherever Linux runs.
  @tick_us 10_000

  @spec cpu_us() :: non_neg_integer()
  def cpu_us do
    # The name, in parentheses, may have spaces.
    fields = "/proc/self/stat" |> File.read!() |> String.split(") ") |> List.last()
    [user, system] = fields |> String.split() |> Enum.slice(11, 2)
    (String.to_integer(user) + String.to_integer(system)) * @tick_us
  end

  @spec peak_mib() :: float()
  def peak_mib do
    [_, kib] = Regex.run(~r/VmHWM:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kib) / 1024
  end
end
