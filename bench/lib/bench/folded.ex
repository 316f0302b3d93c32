defmodule Bench.Folded do
  @moduledoc false
  # Stacks as flame graphs are made of: `thread;caller;callee COUNT`, a line each.

  @type stack :: {frames :: [String.t(), ...], count :: pos_integer()}

  @spec parse(String.t()) :: [stack()]
  def parse(text) do
    for line <- String.split(text, "\n", trim: true) do
      [_, stack, count] = Regex.run(~r/^(.*) (\d+)$/, line)
      {String.split(stack, ";"), String.to_integer(count)}
    end
  end

  @doc "Shares of all samples by what `key` says of the frames, the largest first."
  @spec shares([stack()], ([String.t()] -> key)) :: [{key, share :: float()}] when key: term()
  def shares(stacks, key) do
    total = stacks |> Enum.map(&elem(&1, 1)) |> Enum.sum()

    stacks
    |> Enum.group_by(fn {frames, _} -> key.(frames) end, &elem(&1, 1))
    |> Enum.map(fn {key, counts} -> {key, Enum.sum(counts) / total} end)
    |> Enum.sort_by(&elem(&1, 1), :desc)
  end
end
