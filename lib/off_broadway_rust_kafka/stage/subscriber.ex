defmodule OffBroadwayRustKafka.Stage.Subscriber do
  @moduledoc """
  Acknowledges what a GenStage consumer has handled: when its `c:GenStage.handle_events/3` returns.

      defmodule MyApp.Subscriber do
        use OffBroadwayRustKafka.Stage.Subscriber

        def start_link({_producer, _topic, _partition, _extra_args} = arg),
          do: GenStage.start_link(__MODULE__, arg)

        @impl GenStage
        def init({producer, _topic, _partition, extra_args}),
          do: {:consumer, extra_args, subscribe_to: [{producer, max_demand: 100}]}

        @impl GenStage
        def handle_events(records, _from, extra_args) do
          Enum.each(records, &MyApp.handle/1)
          {:noreply, [], extra_args}
        end
      end

  It does what `use GenStage` does, with the same options, and puts itself around `handle_events/3`. However the
  stage asks for more, automatically or by hand, what it was handed counts as handled once that function
  has returned, whatever it answers, and not before. What raises, or ends the process, is delivered again
  to the subscriber that is started in its place.

  It is for stages that have done with their events when the function returns. One that passes them on to
  another process, a Flow for example, is `use GenStage`, and acknowledges by
  `OffBroadwayRustKafka.Stage.ack/1` where they have been handled. Events that are no records, as they came
  from elsewhere, are left alone.

  With `commit_strategy: :sync` the function is followed by the commit of what it has handled; of one that
  fails there is a `:commit_failed` event, and it is tried again. With `:none`
  `OffBroadwayRustKafka.Stage.commit/3` is the stage's own affair.
  """

  alias OffBroadwayRustKafka.{Record, Stage}

  defmacro __using__(options) do
    quote location: :keep do
      use GenStage, unquote(options)

      @before_compile OffBroadwayRustKafka.Stage.Subscriber
    end
  end

  defmacro __before_compile__(env) do
    if not Module.defines?(env.module, {:handle_events, 3}, :def) do
      raise CompileError,
        file: env.file,
        line: env.line,
        description:
          "#{inspect(env.module)} uses #{inspect(__MODULE__)}, which expects it to define handle_events/3"
    end

    quote do
      defoverridable handle_events: 3

      @impl GenStage
      def handle_events(events, from, state) do
        answer = super(events, from, state)
        OffBroadwayRustKafka.Stage.Subscriber.handled(events)
        answer
      end
    end
  end

  @doc false
  @spec handled([term()]) :: :ok
  def handled(events) do
    # What fails of it is told by an event, or belongs to an assignment that is over.
    _ = Stage.ack(for %Record{source: source} = record when source != nil <- events, do: record)
    :ok
  end
end
