defmodule OffBroadwayRustKafka.Credentials do
  @moduledoc false
  # What a member that runs is given anew: OAUTHBEARER tokens, and passwords that are functions. Each
  # is had by a process of its own, which hands it to librdkafka and ends: no other has it, nor waits
  # for it. Certificates are not given anew, see there.

  alias OffBroadwayRustKafka.{Certificates, Error, Native, Properties}

  @user "sasl.username"
  @password "sasl.password"
  @mechanisms ["sasl.mechanism", "sasl.mechanisms"]

  # Past this librdkafka is told that there is none, and asks again.
  @token_ms 30_000

  # Until a member that has too much to do is asked again.
  @busy_ms 50

  # In milliseconds; what is valid for longer has no end.
  @century 3_155_760_000_000

  defstruct [:token, :password, certificates: %Certificates{}]

  @typedoc "Closures, which show no secret in a state."
  @type t :: %__MODULE__{
          token: (() -> term()) | nil,
          password: (() -> {:ok, Native.properties()} | {:error, String.t()}) | nil,
          certificates: Certificates.t()
        }

  @type source :: (() -> term()) | nil

  @doc false
  # Arguments may be secrets too.
  @spec source(term()) :: {:ok, source()} | {:error, String.t()}
  def source(nil), do: {:ok, nil}
  def source(function) when is_function(function, 0), do: {:ok, function}

  def source({module, name, args}) when is_atom(module) and is_atom(name) and is_list(args),
    do: {:ok, fn -> apply(module, name, args) end}

  def source(_other),
    do: {:error, "expected a function without arguments or {module, function, arguments}"}

  @doc "The mechanism that a token needs, where the properties name none."
  @spec properties(source(), [{String.t(), Properties.value()}]) ::
          {:ok, Native.properties()} | {:error, String.t()}
  def properties(nil, _given), do: {:ok, []}

  def properties(_source, given) do
    with :ok <- check_protocol(given) do
      case for({name, value} <- given, name in @mechanisms, do: value) do
        [] -> {:ok, [{"sasl.mechanism", "OAUTHBEARER"}]}
        ["OAUTHBEARER"] -> {:ok, []}
        _other -> {:error, "with :oauthbearer, sasl.mechanism can only be OAUTHBEARER"}
      end
    end
  end

  # With another there is no login, and the function is never asked.
  @spec check_protocol([{String.t(), Properties.value()}]) :: :ok | {:error, String.t()}
  defp check_protocol(given) do
    {_, protocol} = List.keyfind(given, "security.protocol", 0, {nil, "plaintext"})

    if String.downcase(protocol) in ["sasl_ssl", "sasl_plaintext"] do
      :ok
    else
      {:error,
       "with :oauthbearer, security.protocol in :config can only be sasl_ssl or sasl_plaintext, " <>
         "got: #{protocol}"}
    end
  end

  @spec new(source(), [{String.t(), Properties.value()}]) :: t()
  def new(source, properties) do
    pair = for name <- [@user, @password], pair = List.keyfind(properties, name, 0), do: pair
    renewable? = length(pair) == 2 and Enum.any?(pair, fn {_, value} -> is_function(value) end)

    %__MODULE__{
      token: source,
      password: if(renewable?, do: fn -> Properties.open(pair) end),
      certificates: Certificates.new(properties)
    }
  end

  @doc "Answers the member's question for a token, in the background."
  @spec give_token(t(), Native.consumer()) :: :ok
  def give_token(%{token: token}, consumer) do
    spawn(fn ->
      case token(token) do
        {:ok, token, expiry, principal} ->
          hand_over(fn -> Native.set_token(consumer, token, expiry, principal) end)

        {:error, reason} ->
          hand_over(fn -> Native.refuse_token(consumer, reason) end)
      end
    end)

    :ok
  end

  @doc "To be called before a member reads them."
  @spec see(t()) :: t()
  def see(credentials),
    do: %{credentials | certificates: Certificates.see(credentials.certificates)}

  @doc """
  Reads anew what the brokers have refused, in the background. Where a new member is wanted for that
  the caller is sent `wanted`.
  """
  @spec renew(t(), Error.t(), Native.consumer(), wanted :: term()) :: :ok
  def renew(%{password: password}, %{code: :authentication}, consumer, _wanted)
      when password != nil do
    spawn(fn ->
      # What could not be read is the same as before.
      with {:ok, [{@user, user}, {@password, password}]} <- password.(),
           do: hand_over(fn -> Native.set_password(consumer, user, password) end)
    end)

    :ok
  end

  def renew(%{certificates: certificates}, %{code: :ssl}, _consumer, wanted) do
    caller = self()
    Certificates.renew(certificates, fn -> send(caller, wanted) end)
  end

  def renew(_credentials, _error, _consumer, _wanted), do: :ok

  # A member that is busy takes it later, and asks for it once.
  @spec hand_over((() -> :ok | {:error, Native.error()})) :: :ok | {:error, Native.error()}
  defp hand_over(give) do
    with {:error, {_code, _message, true, _ended?, _topic, _partition}} <- give.() do
      Process.sleep(@busy_ms)
      hand_over(give)
    end
  end

  @spec token(source()) ::
          {:ok, String.t(), expiry_ms :: integer(), principal :: String.t()}
          | {:error, String.t()}
  defp token(nil), do: {:error, "there is no :oauthbearer function"}

  defp token(source) do
    Process.flag(:trap_exit, true)
    task = Task.async(fn -> ask(source) end)

    case Task.yield(task, @token_ms) || Task.shutdown(task, :brutal_kill) do
      {:ok, answer} -> answer
      {:exit, _} -> {:error, "the :oauthbearer function ended"}
      nil -> {:error, "the :oauthbearer function took longer than #{@token_ms} ms"}
    end
  end

  # Whatever it raises may have a secret in it. What it says of its failure is to be seen.
  @spec ask((() -> term())) :: {:ok, String.t(), integer(), String.t()} | {:error, String.t()}
  defp ask(source) do
    case source.() do
      {:ok, answer} -> answer(Map.new(answer))
      {:error, reason} -> {:error, "the :oauthbearer function failed: #{inspect(reason)}"}
      _other -> unusable()
    end
  rescue
    error -> {:error, "the :oauthbearer function raised #{inspect(error.__struct__)}"}
  catch
    kind, _ -> {:error, "the :oauthbearer function ended by #{kind}"}
  end

  @spec answer(map()) :: {:ok, String.t(), integer(), String.t()} | {:error, String.t()}
  # What the NIF did not take would be in its stacktrace.
  defp answer(%{token: token, principal: principal, lifetime: lifetime})
       when is_binary(token) and is_binary(principal) and lifetime in 1..@century do
    if text?(token) and text?(principal),
      do: {:ok, token, System.os_time(:millisecond) + lifetime, principal},
      else: unusable()
  end

  defp answer(_other), do: unusable()

  # For C.
  @spec text?(binary()) :: boolean()
  defp text?(string), do: String.valid?(string) and not String.contains?(string, <<0>>)

  @spec unusable() :: {:error, String.t()}
  defp unusable do
    {:error,
     "the :oauthbearer function answered neither {:ok, token: string, principal: string, " <>
       "lifetime: milliseconds} nor {:error, reason}"}
  end
end
