defmodule Broadway.Message do
  @moduledoc "What travels through the pipeline; the fields and most functions of the real one."

  alias Broadway.{Acknowledger, NoopAcknowledger}

  @enforce_keys [:data, :acknowledger]
  defstruct @enforce_keys ++
              [metadata: %{}, batcher: :default, batch_key: :default, batch_mode: :bulk] ++
              [status: :ok]

  @type t :: %__MODULE__{}

  @spec update_data(t(), (term() -> term())) :: t()
  def update_data(%__MODULE__{} = message, fun), do: %{message | data: fun.(message.data)}

  @spec put_data(t(), term()) :: t()
  def put_data(%__MODULE__{} = message, data), do: %{message | data: data}

  @spec put_batcher(t(), atom()) :: t()
  def put_batcher(%__MODULE__{} = message, batcher), do: %{message | batcher: batcher}

  @spec put_batch_key(t(), term()) :: t()
  def put_batch_key(%__MODULE__{} = message, key), do: %{message | batch_key: key}

  @spec failed(t(), term()) :: t()
  def failed(%__MODULE__{} = message, reason), do: %{message | status: {:failed, reason}}

  @spec ack_immediately(t() | [t(), ...]) :: t() | [t(), ...]
  def ack_immediately(%__MODULE__{} = message), do: hd(ack_immediately([message]))

  def ack_immediately([_ | _] = messages) do
    {successful, failed} = Enum.split_with(messages, &(&1.status == :ok))
    Acknowledger.ack_messages(successful, failed)
    for message <- messages, do: %{message | acknowledger: NoopAcknowledger.init()}
  end
end

defmodule Broadway.BatchInfo do
  @moduledoc "What `handle_batch/4` is told of its batch."
  defstruct [:batcher, :batch_key, :partition, :size, :trigger]
end
