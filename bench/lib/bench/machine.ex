defmodule Bench.Machine do
  @moduledoc false
  # Where figures come from: the machine and the versions of what all connectors share.

  alias Bench.Connector

  # A load average that leaves the figures as they are.
  @quiet 1.0

  @spec broadway() :: String.t()
  def broadway do
    if stand_ins?(), do: "the stand-ins in offline/", else: Connector.version(:broadway)
  end

  @doc "The stand-ins are part of this project's own application."
  @spec broadway_applications() :: [atom()]
  def broadway_applications,
    do: if(stand_ins?(), do: [:off_broadway_rust_kafka], else: [:broadway])

  @spec stand_ins?() :: boolean()
  def stand_ins?, do: Connector.version(:broadway) == nil

  @spec versions() :: [{String.t(), String.t()}]
  def versions do
    [
      {"Elixir", System.version()},
      {"Erlang/OTP", System.otp_release()},
      {"Kafka", System.get_env("BENCH_KAFKA", "unknown")}
    ]
  end

  @spec description() :: String.t()
  def description do
    cpu = field("/proc/cpuinfo", ~r/^model name\s*:\s*(.+)$/m)
    kib = field("/proc/meminfo", ~r/^MemTotal:\s*(\d+) kB$/m)
    memory = if kib, do: ", #{round(String.to_integer(kib) / 1_048_576)} GiB of memory"
    "#{System.schedulers_online()} cores (#{cpu || "unknown"})#{memory}, #{os()}"
  end

  @doc "Of what is measured, after a comma; nothing where it is not known."
  @spec commit() :: String.t()
  def commit do
    case System.get_env("BENCH_COMMIT", "") do
      "" -> ""
      commit -> ", commit #{commit}"
    end
  end

  @doc "What to say of figures where much else was running before the bench began."
  @spec noise() :: String.t() | nil
  def noise do
    case Float.parse(System.get_env("BENCH_LOAD", "")) do
      {load, _} when load > @quiet ->
        "The machine was not quiet (load average before it began: #{load}): figures of a quiet one differ."

      _ ->
        nil
    end
  end

  @spec field(Path.t(), Regex.t()) :: String.t() | nil
  defp field(path, pattern) do
    with {:ok, text} <- File.read(path), [_, value] <- Regex.run(pattern, text) do
      value
    else
      _ -> nil
    end
  end

  @spec os() :: String.t()
  defp os do
    {_family, name} = :os.type()
    version = :os.version()
    version = if is_tuple(version), do: version |> Tuple.to_list() |> Enum.join("."), else: ""
    "#{name} #{version}"
  end
end
