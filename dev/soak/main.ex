defmodule Soak.Main do
  @moduledoc false
  # The test support starts what it starts for as long as a test runs: so all of a soak is one.

  alias Soak.{Screen, Story}

  @typedoc "How long, from which seed, records a second, seconds until it counts as stuck, a folder."
  @type options :: %{
          seconds: pos_integer(),
          seed: non_neg_integer(),
          rate: pos_integer(),
          stuck: pos_integer(),
          dir: Path.t()
        }

  @doc "Runs it, and returns the exit status."
  @spec run(options()) :: 0 | 1
  def run(options) do
    Screen.log_to(Path.join(options.dir, "pipelines.log"))
    {:ok, _id} = System.trap_signal(:sigterm, fn -> System.halt(130) end)
    :persistent_term.put(__MODULE__, options)
    ExUnit.start(autorun: false, formatters: [], timeout: :infinity)
    Code.compile_quoted(as_test())
    ExUnit.run()
    :persistent_term.get({__MODULE__, :status}, 1)
  end

  @spec as_test() :: Macro.t()
  defp as_test do
    quote do
      defmodule Soak.Test do
        use ExUnit.Case

        test "soak", do: Soak.Main.told()
      end
    end
  end

  @doc false
  @spec told() :: :ok
  def told do
    sound? = __MODULE__ |> :persistent_term.get() |> Story.tell()
    :persistent_term.put({__MODULE__, :status}, if(sound?, do: 0, else: 1))
  catch
    kind, reason -> Screen.say("bin/soak: " <> Exception.format(kind, reason, __STACKTRACE__))
  end
end
