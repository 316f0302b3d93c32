defmodule OffBroadwayRustKafka.GuidesTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Guide

  # Guides name the tests that show what they say.
  for name <- ["guarantees", "migration", "security", "setting_the_pace"] do
    guide = "guides/#{name}.md"

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

  # Others are code to copy. It is run here as it stands: their tests are tests of this suite.
  for guide <- [
        "guides/genstage_and_flow.md",
        "guides/pipeline_per_partition.md",
        "guides/setting_the_pace.md",
        "guides/testing.md"
      ] do
    @guide guide
    @modules Guide.run(guide)

    test "#{@guide} has tests, which this suite runs" do
      tests =
        for module <- @modules, function_exported?(module, :__ex_unit__, 0) do
          %{tests: tests} = module.__ex_unit__()
          assert tests != []
          module
        end

      assert tests != []
    end

    test "the code in #{@guide} is formatted" do
      for {code, line} <- Guide.code(@guide) do
        formatted = code |> Code.format_string!() |> IO.iodata_to_binary()
        assert formatted <> "\n" == code, "#{@guide}:#{line} is not formatted"
      end
    end
  end

  test "every guide is read here" do
    assert Path.wildcard("guides/*.md") ==
             for(
               name <- [
                 "errors",
                 "genstage_and_flow",
                 "guarantees",
                 "migration",
                 "pipeline_per_partition",
                 "security",
                 "setting_the_pace",
                 "testing"
               ],
               do: "guides/#{name}.md"
             )
  end
end
