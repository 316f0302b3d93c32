defmodule Soak.Faults do
  @moduledoc false
  # All of them.

  alias Soak.{Fault, Faults}

  @spec all() :: [Fault.t()]
  def all do
    Faults.Members.all() ++
      Faults.Stages.all() ++
      Faults.Handlers.all() ++
      Faults.Operators.all() ++
      Faults.Brokers.all() ++ Faults.Network.all()
  end
end
