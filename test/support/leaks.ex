defmodule OffBroadwayRustKafka.Leaks do
  @moduledoc false
  # Looks for secrets in all that a pipeline, and what it runs on, shows of itself: what is logged, of
  # every level and with OTP's own reports; telemetry, Broadway's too; and, when asked, each process
  # that was not there before, tables and persistent terms. A closure shows nothing: what is in one
  # does not count.
  #
  # For one test at a time: it hears all of the node's logs.

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias OffBroadwayRustKafka.Telemetry

  @broadway [
    [:topology, :init],
    [:processor, :start],
    [:processor, :stop],
    [:processor, :message, :start],
    [:processor, :message, :stop],
    [:processor, :message, :exception],
    [:batcher, :start],
    [:batcher, :stop],
    [:batch_processor, :start],
    [:batch_processor, :stop]
  ]

  @info [:current_stacktrace, :dictionary, :messages, :registered_name]
  @answer_ms 500

  # As many bytes as a line of PEM has.
  @line 48

  @enforce_keys [:table, :before, :patterns]
  defstruct @enforce_keys

  @typedoc "Each secret by the name under which it is told of."
  @type secrets :: %{String.t() => binary()}
  @opaque t :: %__MODULE__{table: :ets.tid(), before: [pid()], patterns: patterns()}
  @typep patterns :: [{String.t(), :binary.cp()}]

  @doc "Listens from now on, for as long as the test runs."
  @spec listen(secrets()) :: t()
  def listen(secrets) do
    table = :ets.new(__MODULE__, [:public, :ordered_set])
    leaks = %__MODULE__{table: table, before: Process.list(), patterns: patterns(secrets)}
    id = :"#{__MODULE__}#{System.unique_integer([:positive])}"
    primary = :logger.get_primary_config()
    # Elixir's filters leave OTP's reports of supervisors out.
    :ok = :logger.set_primary_config(%{primary | level: :all, filters: [], filter_default: :log})
    # In a closure: who keeps it must not be found to have the secrets.
    own = fn -> leaks end
    :ok = :logger.add_handler(id, __MODULE__, %{level: :all, config: own})
    events = Telemetry.events() ++ for(event <- @broadway, do: [:broadway | event])
    :ok = :telemetry.attach_many(id, events, &__MODULE__.telemetry/4, own)

    on_exit(fn ->
      :telemetry.detach(id)
      :logger.remove_handler(id)
      :logger.set_primary_config(primary)
    end)

    leaks
  end

  @doc "A term that somebody sees, as an exception or the reason of an exit."
  @spec note(t(), place :: String.t(), term()) :: :ok
  def note(leaks, place, term) do
    for secret <- matching(term, leaks.patterns) do
      key = {System.unique_integer([:monotonic]), place, secret}
      :ets.insert(leaks.table, {key, shown(term)})
    end

    count(leaks, place)
  end

  @doc "Looks into every process that was not there before, and into tables and persistent terms."
  @spec look(t()) :: :ok
  def look(leaks) do
    for pid <- (Process.list() -- leaks.before) -- [self()], do: look_into(leaks, pid)

    for table <- :ets.all(),
        :ets.info(table, :owner) not in leaks.before,
        table != leaks.table,
        do: note(leaks, "table", rows(table))

    for {key, term} <- :persistent_term.get(),
        our?(key),
        do: note(leaks, "persistent term", {key, term})

    :ok
  end

  @doc "What was found until now: where, and which secret."
  @spec found(t()) :: [{place :: String.t(), secret :: String.t()}]
  def found(%__MODULE__{table: table}) do
    for {{_, place, secret}, _} <- :ets.tab2list(table), uniq: true, do: {place, secret}
  end

  @doc "What there was, at most a few, in which a secret was found: to say so in a failure."
  @spec examples(t()) :: [String.t()]
  def examples(%__MODULE__{table: table}) do
    for {{_, place, secret}, shown} <- :ets.tab2list(table),
        do: "#{secret} in #{place}: #{String.slice(shown, 0, 2_000)}"
  end

  @doc "How many terms were looked at, by place: who has looked at nothing finds nothing."
  @spec seen(t()) :: %{String.t() => pos_integer()}
  def seen(%__MODULE__{table: table}),
    do: for({{:seen, place}, count} <- :ets.tab2list(table), into: %{}, do: {place, count})

  @doc "The names of the secrets that a term shows, however deep, in whatever form."
  @spec found(term(), secrets()) :: [String.t()]
  def found(term, secrets), do: matching(term, patterns(secrets))

  @doc false
  @spec log(:logger.log_event(), map()) :: :ok
  def log(event, %{config: own}) do
    leaks = own.()
    note(leaks, "log metadata", event.meta)

    case event.msg do
      {:string, text} ->
        note(leaks, "log line", IO.chardata_to_string(text))

      report ->
        note(leaks, "report", report)
        line = :logger_formatter.format(event, %{depth: :unlimited, chars_limit: :unlimited})
        note(leaks, "log line", IO.chardata_to_string(line))
    end
  end

  @doc false
  @spec telemetry([atom()], map(), map(), (() -> t())) :: :ok
  def telemetry(event, measurements, metadata, own),
    do: note(own.(), "telemetry of #{hd(event)}", {event, measurements, metadata})

  @spec look_into(t(), pid()) :: :ok
  defp look_into(leaks, pid) do
    note(leaks, "process", Process.info(pid, @info))

    for {place, ask} <- [{"state", &:sys.get_state/2}, {"status", &:sys.get_status/2}],
        {:ok, term} <- [answer(pid, ask)],
        do: note(leaks, place, term)

    :ok
  end

  # Not every process is one of OTP's, and some are busy.
  @spec answer(pid(), (pid(), timeout() -> term())) :: {:ok, term()} | :error
  defp answer(pid, ask) do
    if otp?(pid), do: {:ok, ask.(pid, @answer_ms)}, else: :error
  catch
    :exit, _ -> :error
  end

  @spec otp?(pid()) :: boolean()
  defp otp?(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {_, {module, _, _}} <- List.keyfind(dictionary, :"$initial_call", 0),
         do: function_exported?(module, :init, 1),
         else: (_ -> false)
  end

  @spec rows(:ets.tid() | atom()) :: [tuple()]
  defp rows(table) do
    :ets.tab2list(table)
  rescue
    # It is private, or gone.
    ArgumentError -> []
  end

  # Not those of the code that is loaded.
  @spec our?(term()) :: boolean()
  defp our?(key), do: inspect(key) =~ "roadway"

  @spec count(t(), String.t()) :: :ok
  defp count(%{table: table}, place) do
    :ets.update_counter(table, {:seen, place}, 1, {{:seen, place}, 0})
    :ok
  end

  @spec shown(term()) :: String.t()
  defp shown(term),
    do: inspect(term, limit: :infinity, printable_limit: :infinity, structs: false)

  @spec matching(term(), patterns()) :: [String.t()]
  defp matching(text, patterns) when is_binary(text), do: in_texts([text], patterns)
  defp matching(term, patterns), do: in_texts([shown(term) | texts(term)], patterns)

  @spec in_texts([binary()], patterns()) :: [String.t()]
  defp in_texts(texts, patterns) do
    for {name, pattern} <- patterns,
        Enum.any?(texts, &(:binary.match(&1, pattern) != :nomatch)),
        do: name
  end

  @spec patterns(secrets()) :: patterns()
  defp patterns(secrets) do
    for {name, secret} <- secrets,
        do: {name, secret |> needles() |> :binary.compile_pattern()}
  end

  # As it is; as the numbers of its bytes; in Base64. Of a long one, one line from its middle is
  # enough.
  @spec needles(binary()) :: [binary()]
  defp needles(secret) do
    part = if byte_size(secret) > 3 * @line, do: binary_part(secret, @line, @line), else: secret

    numbers = part |> :binary.bin_to_list() |> Enum.join(", ")
    [part, numbers, Base.encode64(part, padding: false)]
  end

  # All that is text in it, and lists as the text that they may be.
  @spec texts(term()) :: [binary()]
  defp texts(term) when is_binary(term), do: [term]
  defp texts(term) when is_tuple(term), do: term |> Tuple.to_list() |> Enum.flat_map(&texts/1)
  defp texts(term) when is_map(term), do: term |> :maps.to_list() |> texts()

  defp texts([_ | _] = term) do
    case text(term) do
      {:ok, text} -> [text]
      :error -> if List.improper?(term), do: improper(term), else: Enum.flat_map(term, &texts/1)
    end
  end

  defp texts(_nothing_to_read), do: []

  @spec improper(maybe_improper_list()) :: [binary()]
  defp improper([head | tail]) when is_list(tail), do: texts(head) ++ improper(tail)
  defp improper([head | tail]), do: texts(head) ++ texts(tail)
  defp improper([]), do: []

  @spec text(maybe_improper_list()) :: {:ok, binary()} | :error
  defp text(list) do
    {:ok, IO.iodata_to_binary(list)}
  rescue
    ArgumentError -> :error
  end
end
