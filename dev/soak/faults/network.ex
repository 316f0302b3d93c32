defmodule Soak.Faults.Network do
  @moduledoc false
  # What is between members and one broker, or all of them.

  alias OffBroadwayRustKafka.Proxy
  alias Soak.{Fault, World}

  @latency_ms 2_000
  @reset 0.01

  @spec all() :: [Fault.t()]
  def all do
    for {name, text, harm} <- [
          {:cut, "the network is cut", &Proxy.cut/1},
          {:latency, "#{@latency_ms} ms of latency", &Proxy.latency(&1, @latency_ms)},
          {:reset, "connections are reset", &Proxy.reset(&1, @reset)},
          {:half_open, "connections are half open", &Proxy.half_open/1}
        ] do
      %Fault{name: name, begin: &begin(&1, text, harm), hold: 2_000..12_000, alone?: true}
    end
  end

  @spec begin(World.t(), String.t(), (Proxy.t() -> :ok)) :: Fault.result()
  defp begin(world, text, harm) do
    {to, proxies} = Enum.random([some(world), some(world), all(world)])
    what = "#{text}, to #{to}"
    world = World.ill(world, what)
    Enum.each(proxies, harm)

    {world, what,
     fn world ->
       Enum.each(proxies, &Proxy.restore/1)
       World.well(world, what)
     end}
  end

  @spec some(World.t()) :: {String.t(), [Proxy.t()]}
  defp some(world) do
    {id, proxy} = Enum.random(world.proxies)
    {"broker #{id}", [proxy]}
  end

  @spec all(World.t()) :: {String.t(), [Proxy.t()]}
  defp all(world), do: {"all brokers", Map.values(world.proxies)}
end
