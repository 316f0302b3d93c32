defmodule OffBroadwayRustKafka.Terms do
  @moduledoc false
  # Random terms for the NIFs: any at all, and such as their specs ask for, at the edges of what
  # these allow and now and then with a foreign term somewhere inside. They follow from `:rand`'s
  # seed in the calling process.

  alias OffBroadwayRustKafka.Native

  @typedoc "Resources of each kind, and what strings are worth a try as names of things."
  @type pool :: %{
          consumer: [reference()],
          cluster: [reference()],
          client: [reference()],
          strings: [String.t()]
        }

  # Where integers of one size or another end, and what may not be allocated.
  @edges for(
           bits <- [0, 7, 8, 15, 16, 31, 32, 59, 60, 63, 64, 200],
           by <- -1..1,
           do: 2 ** bits + by
         )

  @doc "The NIFs: the functions that have a spec and were loaded."
  @spec nifs() :: [{atom(), arity()}]
  def nifs do
    {:ok, specs} = Code.Typespec.fetch_specs(Native)
    public = Native.__info__(:functions)
    for {nif, _} <- specs, nif in public, do: nif
  end

  @doc "Arguments of the types that the NIF's spec names, or nearly."
  @spec arguments({atom(), arity()}, pool()) :: [term()]
  def arguments({name, _} = nif, pool) do
    {:ok, specs} = Code.Typespec.fetch_specs(Native)
    {:ok, types} = Code.Typespec.fetch_types(Native)
    {^nif, [{:type, _, :fun, [{:type, _, :product, forms}, _]}]} = List.keyfind(specs, nif, 0)
    context = %{pool: pool, types: Map.new(types, fn {_, {name, form, _}} -> {name, form} end)}
    for form <- forms, do: argument(form, name, context)
  end

  @spec argument(tuple(), atom(), map()) :: term()
  defp argument({:ann_type, _, [{:var, _, :timeout_ms}, form]}, name, context) do
    # A test client waits for as long as it is told to.
    waits? = name |> Atom.to_string() |> String.starts_with?("client_")
    if waits? and one_in?(2), do: :rand.uniform(3) - 1, else: not_soon(form, waits?, context)
  end

  defp argument(form, _name, context), do: of_type(form, context)

  @spec not_soon(tuple(), boolean(), map()) :: term()
  defp not_soon(form, waits?, context) do
    case of_type(form, context) do
      ms when waits? and ms in 3..0xFFFFFFFF -> 0
      term -> term
    end
  end

  @spec of_type(tuple(), map()) :: term()
  defp of_type(form, context) do
    if one_in?(12), do: any(context.pool), else: typed(form, context)
  end

  @spec typed(tuple(), map()) :: term()
  defp typed({:ann_type, _, [_name, form]}, context), do: of_type(form, context)
  defp typed({:atom, _, atom}, _context), do: atom

  defp typed({:remote_type, _, [{:atom, _, String}, {:atom, _, :t}, []]}, context),
    do: string(context.pool)

  defp typed({:user_type, _, kind, []}, context) when kind in [:consumer, :cluster, :client],
    do: Enum.random(context.pool[kind])

  defp typed({:user_type, _, name, []}, context), do: typed(context.types[name], context)

  defp typed({:type, _, :union, forms}, context),
    do: forms |> Enum.random() |> of_type(context)

  defp typed({:type, _, :tuple, forms}, context),
    do: forms |> Enum.map(&of_type(&1, context)) |> List.to_tuple()

  defp typed({:type, _, :list, [form]}, context) do
    tail = if one_in?(12), do: any(context.pool), else: []
    elements = for _ <- 1..(:rand.uniform(4) - 1)//1, do: of_type(form, context)
    elements ++ tail
  end

  defp typed({:type, _, :map, fields}, context) do
    Map.new(fields, fn {:type, _, :map_field_exact, [key, value]} ->
      {typed(key, context), of_type(value, context)}
    end)
  end

  defp typed({:type, _, :binary, []}, context), do: string(context.pool)
  defp typed({:type, _, :reference, []}, _context), do: make_ref()
  defp typed({:type, _, :boolean, []}, _context), do: one_in?(2)
  defp typed({:type, _, :integer, []}, _context), do: integer()
  defp typed({:type, _, :non_neg_integer, []}, _context), do: abs(integer())
  defp typed({:type, _, :pos_integer, []}, _context), do: abs(integer()) + 1

  @doc "Any term."
  @spec any(pool()) :: term()
  def any(pool), do: any(pool, 3)

  @spec any(pool(), depth :: non_neg_integer()) :: term()
  defp any(pool, 0), do: leaf(pool)

  defp any(pool, depth) do
    inner = fn -> any(pool, depth - 1) end
    some = fn -> for _ <- 1..(:rand.uniform(4) - 1)//1, do: inner.() end

    case :rand.uniform(10) do
      1 -> some.()
      2 -> [inner.() | inner.()]
      3 -> List.to_tuple(some.())
      4 -> Map.new(some.(), &{&1, inner.()})
      5 -> Enum.reduce(1..10_000, leaf(pool), fn _, deep -> [deep] end)
      _ -> leaf(pool)
    end
  end

  @spec leaf(pool()) :: term()
  defp leaf(pool) do
    case :rand.uniform(10) do
      1 -> integer()
      2 -> :rand.normal() * 1.0e300
      3 -> Enum.random([nil, true, :earliest, :up, :ok, :"", :"ä ", :"Elixir.String"])
      4 -> string(pool)
      5 -> :crypto.strong_rand_bytes(:rand.uniform(90))
      6 -> <<5::size(3)>>
      7 -> Enum.random(pool.consumer ++ pool.cluster ++ pool.client)
      8 -> make_ref()
      9 -> Enum.random([self(), &leaf/1, Range.new(1, 2), hd(Port.list()), %{}, {}, []])
      10 -> List.duplicate(0, 10_000)
    end
  end

  @spec integer() :: integer()
  defp integer do
    case :rand.uniform(4) do
      1 -> Enum.random(@edges)
      2 -> -Enum.random(@edges)
      _ -> :rand.uniform(12) - 3
    end
  end

  @spec string(pool()) :: binary()
  defp string(pool) do
    case :rand.uniform(8) do
      1 ->
        Enum.random(["", <<0>>, "a\0b", "ä", <<255, 254>>, "^a(", String.duplicate("x", 70_000)])

      2 ->
        Integer.to_string(integer())

      _ ->
        Enum.random(pool.strings)
    end
  end

  @spec one_in?(pos_integer()) :: boolean()
  defp one_in?(count), do: :rand.uniform(count) == 1
end
