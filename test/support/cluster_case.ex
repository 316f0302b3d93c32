defmodule OffBroadwayRustKafka.ClusterCase do
  @moduledoc false
  # For tests that do harm to brokers: `%{kafka: kafka}` is the cluster of `Brokers`, whole when a
  # test begins and made whole after it.
  #
  # ExUnit seeds `:rand` for each test with its own seed, which it prints: what a test leaves to
  # chance comes again with `mix test --seed`.

  use ExUnit.CaseTemplate

  alias OffBroadwayRustKafka.Brokers

  using do
    quote do
      import OffBroadwayRustKafka.{Kafka, KafkaCase}

      alias OffBroadwayRustKafka.{Brokers, Kafka, Proxy, Source, TestClient, TestPipeline}

      @moduletag :capture_log
      @moduletag :cluster
      @moduletag timeout: 180_000
    end
  end

  setup do
    Brokers.await_healthy()
    on_exit(&Brokers.heal/0)
    %{kafka: Brokers.kafka()}
  end
end
