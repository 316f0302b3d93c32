defmodule OffBroadwayRustKafka.Group do
  @moduledoc false
  # What `use OffBroadwayRustKafka` starts: a member that is shared by the pipelines of its partitions,
  # and behind it what starts and stops them.

  alias OffBroadwayRustKafka.{Assignment, Error, Options, SharedMember}
  alias OffBroadwayRustKafka.Group.{Callbacks, Pipelines, Uses}

  @spec start_link(module(), Uses.t(), term()) :: Supervisor.on_start() | {:error, Error.t()}
  def start_link(module, uses, init_args) do
    with {:ok, name} <- name(module, init_args),
         {:ok, given} <- Callbacks.kafka_config(module, init_args),
         {:ok, options} <- options(module, given) do
      # Init arguments may hold secrets, which no state is to show.
      pipelines = %{
        module: module,
        uses: uses,
        init_args: fn -> init_args end,
        name: name,
        group_id: options.group_id,
        drain_ms: options.drain_timeout,
        own: [message_format: options.message_format] ++ in_flight(options.max_in_flight)
      }

      SharedMember.start_link(name, options, [
        &{Assignment, {&1, {Pipelines, Map.put(pipelines, :table, &1)}}}
      ])
    end
  end

  # Supervisors show what their children are started with.
  @spec child_spec(module(), term()) :: Supervisor.child_spec()
  def child_spec(module, init_args) do
    id = with {:ok, name} <- name(module, init_args), do: name
    start = {__MODULE__, :start_child, [module, fn -> init_args end]}
    %{id: id, start: start, type: :supervisor}
  end

  @doc false
  @spec start_child(module(), (() -> term())) :: Supervisor.on_start() | {:error, Error.t()}
  def start_child(module, init_args), do: module.start_link(init_args.())

  @spec name(module(), term()) :: {:ok, GenServer.name()} | {:error, Error.t()}
  defp name(module, init_args) do
    name = if Keyword.keyword?(init_args), do: init_args[:name] || module, else: module

    if OffBroadwayRustKafka.Member.name?(name) do
      {:ok, name}
    else
      {:error,
       invalid(
         "#{inspect(module)}.start_link/1 expects :name to be an atom, {:global, term} or " <>
           "{:via, module, term}, got: #{inspect(name)}"
       )}
    end
  end

  @spec options(module(), keyword()) :: {:ok, Options.t()} | {:error, Error.t()}
  defp options(module, given) do
    subject = "the member, by #{inspect(module)}.kafka_config/1"
    {:ok, Options.validate!(given, subject)}
  rescue
    error in ArgumentError -> {:error, invalid(Exception.message(error))}
  end

  @spec in_flight(pos_integer() | nil) :: keyword()
  defp in_flight(nil), do: []
  defp in_flight(most), do: [max_in_flight: most]

  @spec invalid(String.t()) :: Error.t()
  defp invalid(message), do: %Error{code: :invalid_config, message: message, fatal?: true}
end
