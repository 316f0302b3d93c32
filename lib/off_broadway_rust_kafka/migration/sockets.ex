defmodule OffBroadwayRustKafka.Migration.Sockets do
  @moduledoc false
  # `gen_tcp` options of a connection. The sockets are librdkafka's own.

  alias OffBroadwayRustKafka.Migration.{Given, Translation}

  @family "broker.address.family"

  # How a process of the BEAM talks to its socket.
  @without_meaning ~w(inet_backend active binary list mode packet packet_size buffer delay_send
                      exit_on_close high_watermark low_watermark high_msgq_watermark
                      low_msgq_watermark send_timeout send_timeout_close show_econnreset line_delimiter
                      reuseaddr linger deliver)a

  @spec translate(Translation.t(), term(), from :: String.t()) :: Translation.t()
  def translate(translation, options, from) do
    options
    |> Given.list(from)
    |> Enum.reduce(translation, &option(&1, &2, from))
  end

  @spec option(term(), Translation.t(), from :: String.t()) :: Translation.t()
  defp option(:inet6, translation, from), do: put(translation, @family, "v6", from)
  defp option(:inet, translation, from), do: put(translation, @family, "v4", from)

  defp option({:keepalive, value}, translation, from) when is_boolean(value),
    do: put(translation, "socket.keepalive.enable", value, from)

  defp option({:nodelay, value}, translation, from) when is_boolean(value),
    do: put(translation, "socket.nagle.disable", value, from)

  defp option({:recbuf, bytes}, translation, from) when bytes in 0..100_000_000,
    do: put(translation, "socket.receive.buffer.bytes", bytes, from)

  defp option({:sndbuf, bytes}, translation, from) when bytes in 0..100_000_000,
    do: put(translation, "socket.send.buffer.bytes", bytes, from)

  defp option(option, translation, from) do
    name = if is_tuple(option) and tuple_size(option) > 0, do: elem(option, 0), else: option

    if name in @without_meaning do
      Translation.note(
        translation,
        "#{inspect(name)} in #{from}",
        "has no meaning here: the sockets are librdkafka's own, see its properties socket.* for :config"
      )
    else
      Translation.refuse(
        "#{from} cannot have #{inspect(name)}: the sockets are librdkafka's own. Taken are :inet, " <>
          ":inet6, :keepalive, :nodelay, :recbuf and :sndbuf; see its properties socket.* for :config"
      )
    end
  end

  @spec put(Translation.t(), String.t(), Translation.value() | integer() | boolean(), String.t()) ::
          Translation.t()
  defp put(translation, property, value, from),
    do: Translation.put_property(translation, property, value, from)
end
