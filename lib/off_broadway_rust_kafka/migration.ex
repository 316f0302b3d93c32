defmodule OffBroadwayRustKafka.Migration do
  @moduledoc false
  # The options of broadway_kafka and off_broadway_klife, as they are, to ours. Each is translated,
  # or accepted with a log line that says what there is in its place, or refused with a reason and a
  # way out. guides/migration.md has them all, and a test executes it.

  alias OffBroadwayRustKafka.Migration.{BroadwayKafka, Klife, Translation}
  alias OffBroadwayRustKafka.Properties

  require Logger

  @doc "Options as `OffBroadwayRustKafka.Options` knows them, and librdkafka properties beside them."
  @spec translate(keyword()) ::
          {:ok, keyword(), [{String.t(), Properties.value()}]} | {:error, String.t()}
  def translate(options) do
    translation = options |> Translation.new() |> Klife.translate() |> BroadwayKafka.translate()

    for {level, text} <- translation.notes,
        do: Logger.log(level, "OffBroadwayRustKafka.Producer: " <> text)

    {:ok, translation.options,
     for({name, value, _from} <- translation.properties, do: {name, value})}
  catch
    {:refused, message} -> {:error, message}
  end
end
