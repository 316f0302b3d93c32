defmodule OffBroadwayRustKafka.Group.Callbacks do
  @moduledoc false
  # A user's callbacks, called with care: what they raise or answer wrongly is told by their name, and
  # where. Neither arguments are, nor answers, nor an exception's message: they may hold secrets.

  alias OffBroadwayRustKafka.Error

  @spec kafka_config(module(), term()) :: {:ok, keyword()} | {:error, Error.t()}
  def kafka_config(module, init_args) do
    call(
      module,
      :kafka_config,
      [init_args],
      "the options of OffBroadwayRustKafka.Producer",
      {nil, nil}
    )
  end

  @doc "For a pipeline of this topic and partition, where it is of one."
  @spec broadway_config(module(), term(), String.t() | nil, non_neg_integer() | nil) ::
          {:ok, keyword()} | {:error, Error.t()}
  def broadway_config(module, init_args, topic, partition) do
    arguments = [init_args, topic, partition]
    place = {topic, partition}

    with {:ok, config} <-
           call(module, :broadway_config, arguments, "the options of Broadway", place) do
      case config[:producer] || [] do
        producer when is_list(producer) ->
          if Keyword.keyword?(producer),
            do: {:ok, config},
            else: {:error, bad_producer(module, producer, place)}

        other ->
          {:error, bad_producer(module, other, place)}
      end
    end
  end

  @typep place :: {String.t() | nil, non_neg_integer() | nil}

  @spec call(module(), atom(), [term()], String.t(), place()) ::
          {:ok, keyword()} | {:error, Error.t()}
  defp call(module, name, arguments, expected, place) do
    with {:ok, config} <- answer(module, name, arguments),
         :ok <- keyword(config, expected) do
      {:ok, config}
    else
      {:error, what} ->
        {:error, error("#{inspect(module)}.#{name}/#{length(arguments)} #{what}", place)}
    end
  end

  @spec answer(module(), atom(), [term()]) :: {:ok, term()} | {:error, String.t()}
  defp answer(module, name, arguments) do
    {:ok, apply(module, name, arguments)}
  rescue
    exception ->
      {:error, "raised #{inspect(exception.__struct__)} at #{at(module, __STACKTRACE__)}"}
  catch
    :throw, _ -> {:error, "threw at #{at(module, __STACKTRACE__)}"}
    :exit, _ -> {:error, "exited at #{at(module, __STACKTRACE__)}"}
  end

  @spec keyword(term(), String.t()) :: :ok | {:error, String.t()}
  defp keyword(config, expected) do
    if config != [] and Keyword.keyword?(config),
      do: :ok,
      else: {:error, "must return a keyword list, #{expected}, got: #{shown(config)}"}
  end

  @spec shown(term()) :: String.t()
  defp shown(term) when is_atom(term) or is_number(term) or term == [], do: inspect(term)
  defp shown(_term), do: "another term (not shown)"

  # The line of theirs, or what it calls last. Where no clause matches, the arguments are in place of the arity.
  @spec at(module(), Exception.stacktrace()) :: String.t()
  defp at(module, stacktrace) do
    case List.keyfind(stacktrace, module, 0, List.first(stacktrace)) do
      {of, name, arguments, location} when is_list(arguments) ->
        Exception.format_stacktrace_entry({of, name, length(arguments), location})

      entry ->
        Exception.format_stacktrace_entry(entry)
    end
  end

  @spec bad_producer(module(), term(), place()) :: Error.t()
  defp bad_producer(module, got, place) do
    error(
      "#{inspect(module)}.broadway_config/3 must return a keyword list for :producer, as " <>
        "[concurrency: 2], got: #{shown(got)}",
      place
    )
  end

  @spec error(String.t(), place()) :: Error.t()
  defp error(message, {topic, partition}) do
    %Error{
      code: :invalid_callback,
      message: message,
      fatal?: true,
      topic: topic,
      partition: partition
    }
  end
end
