defmodule Bench.Profile.Text do
  @moduledoc false
  # PROFILE.md: what a flame graph shows, in words.

  alias Bench.{Folded, Machine, Table}

  @largest 3
  @listed 10
  # A stripped VM's own functions, and what nobody has a map of.
  @nameless ["[beam.smp]", "[unknown]"]

  @spec head(pos_integer()) :: String.t()
  def head(seconds) do
    """
    ## Where the time goes

    Written by `bin/bench profile` on #{Date.utc_today()}#{Machine.commit()}: perf on the VM while \
    records are read at full speed, for #{seconds} s. Native code has no frame pointers, \
    so that a caller of it may be missing from a stack. Shares are of all samples in which a function itself \
    was at work.
    """
  end

  @spec section(String.t(), Path.t(), [Folded.stack()], [{String.t(), float()}]) :: String.t()
  def section(name, file, stacks, objects) do
    {nameless, named} =
      stacks
      |> Folded.shares(&List.last/1)
      |> Enum.split_with(fn {name, _} -> name in @nameless end)

    largest =
      for {{name, share}, n} <- named |> Enum.take(@largest) |> Enum.with_index(1),
          do: "#{n}. `#{name(name)}`: #{percent(share)}\n"

    """

    ### #{name}

    The three largest entries of [the flame graph](#{file}); the VM's own functions without a symbol are \
    #{nameless |> Enum.map(&elem(&1, 1)) |> Enum.sum() |> percent()} together:

    #{largest}
    The next ones: #{listed(Enum.drop(named, @largest))}.

    By where the code is, `[JIT]` being that of Elixir and Erlang: #{listed(Enum.map(objects, &object/1))}.

    By thread: #{listed(Folded.shares(stacks, &thread/1))}.
    """
  end

  @spec listed([{String.t(), float()}]) :: String.t()
  defp listed(shares) do
    shares
    |> Enum.take(@listed)
    |> Enum.map_join(", ", fn {name, share} -> "`#{name(name)}` #{percent(share)}" end)
  end

  # As perf has them from the VM: $'Elixir.Enum':each/2, $lists:reverse/1, $global::call.
  @spec name(String.t()) :: String.t()
  defp name(frame) do
    case Regex.run(~r/^\$'?(?:Elixir\.)?([^:]+?)'?:'?([^:']+?)'?(\/\d+)?$/, frame) do
      [_, module, function | arity] -> "#{module}.#{function}#{arity}"
      nil -> String.trim_leading(frame, "$")
    end
  end

  @spec object({String.t(), float()}) :: {String.t(), float()}
  defp object({name, share}), do: {String.replace(name, ~r/^\[JIT\].*/, "[JIT]"), share}

  # Threads of one kind differ by a number.
  @spec thread([String.t()]) :: String.t()
  defp thread([name | _]), do: String.replace(name, ~r/[0-9]+/, "N")

  @spec percent(number()) :: String.t()
  defp percent(share), do: Table.decimal(share * 100) <> " %"
end
