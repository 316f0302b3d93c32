defmodule OffBroadwayRustKafka.GuidesTest do
  use ExUnit.Case, async: true

  # Guides name the tests that show what they say.
  for guide <- Path.wildcard("guides/*.md") do
    test "every test that #{guide} names is there" do
      links =
        ~r{\[([^\]]+)\]\(\.\./((?:test|native)/[^)]+)\)}
        |> Regex.scan(File.read!(unquote(guide)), capture: :all_but_first)

      assert links != []

      for [name, path] <- links do
        assert File.exists?(path), "#{path} does not exist"
        assert File.read!(path) =~ name, "#{path} has no test named #{inspect(name)}"
      end
    end
  end
end
