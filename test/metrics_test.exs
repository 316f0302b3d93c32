# Where telemetry_metrics is not, there is nothing to test.
if Code.ensure_loaded?(Telemetry.Metrics) do
  defmodule OffBroadwayRustKafka.MetricsTest do
    use ExUnit.Case, async: true

    alias OffBroadwayRustKafka.{Metrics, Telemetry}

    test "each definition is of an event that is documented, and of a measurement of it" do
      {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Telemetry)

      for %{event_name: event, measurement: measurement} = metric <- Metrics.definitions() do
        assert event in Telemetry.events()
        [_, text] = String.split(docs, "`#{inspect(event)}`", parts: 2)
        [text | _] = String.split(text, "* `[:off_broadway_rust_kafka, ")
        counter? = metric.__struct__ |> inspect() |> String.ends_with?("Counter")

        # A counter counts events, whatever they measure.
        if not (counter? or Map.get(metric, :kind) == :counter),
          do: assert(text =~ "`#{inspect(measurement)}`", "#{inspect(event)} has #{measurement}?")
      end
    end

    test "no name is there twice" do
      names = for metric <- Metrics.definitions(), do: metric.name
      assert names == Enum.uniq(names)
    end

    test "each tag has a value in the metadata of its event, which is text for any name" do
      name = {:via, Registry, {MyRegistry, "orders"}}
      place = %{topic: "t", partition: 0, host: "kafka", port: 9092}
      metadata = Map.merge(place, %{name: name, group_id: "group"})

      for metric <- Metrics.definitions() do
        values = metric.tag_values.(metadata)
        assert values.name == inspect(name)
        for tag <- metric.tags, do: assert(to_string(values[tag]) != "")
      end
    end
  end
end
