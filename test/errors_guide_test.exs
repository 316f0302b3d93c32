defmodule OffBroadwayRustKafka.ErrorsGuideTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.{Error, Native}
  alias OffBroadwayRustKafka.Error.Remedy

  @guide "guides/errors.md"

  # Rows by the heading that they stand under: `[code | cells]`.
  defp sections do
    for section <- @guide |> File.read!() |> String.split(~r/^##+ /m), into: %{} do
      [title | lines] = String.split(section, "\n")
      {title, for("| `" <> _ = line <- lines, do: row(line))}
    end
  end

  defp row(line) do
    [code | cells] = line |> String.split("|", trim: true) |> Enum.map(&String.trim/1)
    [String.trim(code, "`") | cells]
  end

  defp explained, do: for({_, rows} <- of_librdkafka(), [_, _, _, _, _] = row <- rows, do: row)
  defp listed, do: Map.fetch!(sections(), "Not of a pipeline")
  defp of_librdkafka, do: Map.drop(sections(), ["Our own", "Not of a pipeline"])

  defp kind({code, message, retryable?}) do
    case Error.from_native({String.to_atom(code), message, retryable?, false, nil, nil}) do
      %{fatal?: true} -> "fatal"
      %{retryable?: true} -> "retryable"
      _neither -> "neither"
    end
  end

  test "the guide has every code of librdkafka's, each once, and no other" do
    codes = for {code, _, _} <- Native.error_codes(), do: code
    assert length(codes) > 150
    in_guide = for [code | _] <- explained() ++ listed(), do: code
    assert Enum.sort(in_guide) == Enum.sort(codes)
  end

  test "the guide says of each code whether it is retryable or fatal as the error itself does" do
    kinds = Map.new(Native.error_codes(), &{elem(&1, 0), kind(&1)})
    for [code, kind | _] <- explained(), do: assert({code, kind} == {code, kinds[code]})
  end

  test "the guide says what to do about a code as the log does" do
    to_do = for [code, _, _, _, to_do] <- explained(), into: %{}, do: {code, to_do}

    for {code, remedy} <- Remedy.remedies() do
      assert {code, to_do[Atom.to_string(code)]} == {code, remedy}
    end

    for code <- Remedy.fatal_codes(), do: assert(Remedy.remedy(code) != nil)
  end

  test "the guide quotes librdkafka for what is not of a pipeline" do
    sentences = Map.new(Native.error_codes(), fn {code, sentence, _} -> {code, sentence} end)
    for [code, sentence] <- listed(), do: assert({code, sentence} == {code, sentences[code]})
  end

  test "the guide has every code of our own, and no other" do
    own = for [code | _] <- sections()["Our own"], do: code
    theirs = for {code, _, _} <- Native.error_codes(), do: code

    made =
      made("lib/**/*.ex", ~r/\bcode: :(\w+)/) ++
        made("native/nif/src/{error,testing}.rs", ~r/"(\w+)"\.(?:into|to_owned)\(\)/)

    assert Enum.sort(Enum.uniq(made) -- theirs) == Enum.sort(own)
    assert own -- theirs == own
  end

  # The codes that the sources spell out.
  defp made(sources, pattern) do
    for path <- Path.wildcard(sources),
        [code] <- Regex.scan(pattern, File.read!(path), capture: :all_but_first),
        do: code
  end
end
