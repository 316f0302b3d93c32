# Run by bin/soak, which has checked the arguments.
{:ok, _, _} =
  "**/*.ex" |> Path.expand(__DIR__) |> Path.wildcard() |> Kernel.ParallelCompiler.compile()

{options, []} =
  OptionParser.parse!(System.argv(),
    strict: [seconds: :integer, seed: :integer, rate: :integer, stuck: :integer, dir: :string]
  )

options |> Map.new() |> Soak.Main.run() |> System.halt()
