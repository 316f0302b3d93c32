defmodule OffBroadwayRustKafka.Options.Types do
  @moduledoc false
  # What options' values may be.

  alias OffBroadwayRustKafka.{Member, Topics}

  @day 86_400_000

  @spec group_id(term()) :: {:ok, String.t()} | {:error, String.t()}
  def group_id(id) do
    if is_binary(id) and id != "" and String.printable?(id),
      do: {:ok, id},
      else: {:error, "expected a non-empty string, got: #{inspect(id)}"}
  end

  @spec integer(term(), integer(), integer(), String.t()) ::
          {:ok, integer()} | {:error, String.t()}
  def integer(value, min, max, _unit)
      when is_integer(value) and value >= min and value <= max,
      do: {:ok, value}

  def integer(value, min, max, unit),
    do: {:error, "expected #{unit} between #{min} and #{max}, got: #{inspect(value)}"}

  @spec timeout(term()) :: {:ok, pos_integer() | nil} | {:error, String.t()}
  def timeout(:infinity), do: {:ok, nil}

  def timeout(value) do
    with {:error, _} <- integer(value, 1, @day, "milliseconds") do
      {:error,
       "expected milliseconds between 1 and #{@day}, or :infinity, got: #{inspect(value)}"}
    end
  end

  @spec integer_or_infinity(term(), integer(), integer()) ::
          {:ok, timeout()} | {:error, String.t()}
  def integer_or_infinity(:infinity, _min, _max), do: {:ok, :infinity}

  def integer_or_infinity(value, min, max) do
    with {:error, _} <- integer(value, min, max, "milliseconds") do
      {:error,
       "expected milliseconds between #{min} and #{max}, or :infinity, got: #{inspect(value)}"}
    end
  end

  @spec name(term()) :: {:ok, GenServer.name()} | {:error, String.t()}
  def name(name) do
    if Member.name?(name),
      do: {:ok, name},
      else:
        {:error,
         "expected an atom, {:global, term} or {:via, module, term}, got: #{inspect(name)}"}
  end

  @spec subscriber(term()) :: {:ok, module()} | {:error, String.t()}
  def subscriber(module) do
    if is_atom(module) and Code.ensure_loaded?(module) and
         function_exported?(module, :start_link, 1),
       do: {:ok, module},
       else: {:error, "expected a module with a start_link/1, got: #{inspect(module)}"}
  end

  @spec any(term()) :: {:ok, term()}
  def any(value), do: {:ok, value}

  @spec instance_id(term()) :: {:ok, String.t()} | {:error, String.t()}
  def instance_id(id) do
    if Topics.name?(id) do
      {:ok, id}
    else
      {:error,
       "expected a name of 1 to 249 letters, digits, '.', '_' and '-', got: #{inspect(id)}"}
    end
  end
end
