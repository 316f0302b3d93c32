# Run by bin/demo, which has checked the arguments.
{:ok, _, _} =
  "*.ex" |> Path.expand(__DIR__) |> Path.wildcard() |> Kernel.ParallelCompiler.compile()

{options, []} =
  OptionParser.parse!(System.argv(),
    strict: [
      mode: :string,
      brokers: :string,
      topic: :string,
      records: :integer,
      partitions: :integer,
      columns: :integer
    ]
  )

modes = %{"mock" => :mock, "kafka" => :kafka, "brokers" => :brokers}
Demo.Screen.start(options[:columns])

options
|> Map.new()
|> Map.update!(:mode, &Map.fetch!(modes, &1))
|> Demo.Story.run()
|> System.halt()
