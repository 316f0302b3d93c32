defmodule Soak.Fault do
  @moduledoc false
  # A fault as data. `begin` does it and returns what it did, for a reader, and how to heal it, if
  # that is to be done; or `:none`, where there is nothing to do it to just now.

  alias Soak.World

  @enforce_keys [:name, :begin]
  defstruct @enforce_keys ++ [hold: 0..0, alone?: false, one_in: 1]

  @typedoc """
  `hold` is how many ms it lasts, at least and at most; `alone?` says that no other such fault may
  be there at the same time; `one_in` turns of all faults it comes, as it takes long.
  """
  @type t :: %__MODULE__{
          name: atom(),
          begin: (World.t() -> result()),
          hold: Range.t(),
          alone?: boolean(),
          one_in: pos_integer()
        }
  @type heal :: (World.t() -> World.t())
  @type result :: {World.t(), text :: String.t(), heal() | nil} | :none
end
