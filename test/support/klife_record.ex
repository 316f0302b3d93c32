defmodule Klife.Record do
  @moduledoc false
  # Klife's struct, field by field, for tests of what is made of it. No part of the package.

  defstruct [:key, :topic, :partition, :offset, :timestamp, :error_code, :value] ++
              [:batch_attributes, :is_aborted, :__batch_index, :__estimated_size, :__callback] ++
              [consumer_attempts: 0, headers: []]
end
