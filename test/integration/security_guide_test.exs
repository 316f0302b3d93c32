defmodule OffBroadwayRustKafka.Integration.SecurityGuideTest do
  # The guide's options, as they stand, but for where the brokers and the files are.
  use OffBroadwayRustKafka.KafkaCase, async: true

  alias OffBroadwayRustKafka.{Guide, Options, Producer, Secured}

  @guide "guides/security.md"
  @code Guide.code(@guide)

  defmodule MyApp.Identity do
    # As the broker of bin/kafka takes it.
    def token do
      now = System.os_time(:second)
      part = &Base.url_encode64(&1, padding: false)
      claims = ~s({"sub":"alice","iat":#{now - 1},"exp":#{now + 120}})
      {:ok, "#{part.(~s({"alg":"none"}))}.#{part.(claims)}.", 60}
    end
  end

  setup_all do
    dir = Path.join(System.tmp_dir!(), random_name("security"))
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)

    if Secured.given?() do
      File.cp_r!(Secured.path(""), dir)
    else
      {_, 0} = System.cmd("elixir", ["dev/certificates.exs", dir], stderr_to_stdout: true)
    end

    File.write!(Path.join(dir, "kafka"), "alice-secret\n")
    File.write!(Path.join(dir, "key-password"), "client-secret\n")
    %{dir: dir}
  end

  defp options(code, line, dir) do
    code =
      code
      |> String.replace(["/etc/kafka", "/run/secrets"], dir)
      |> String.replace("MyApp.Identity", inspect(MyApp.Identity))

    {{Producer, options}, _} = Code.eval_string(code, [], file: @guide, line: line)
    options
  end

  defp listener("kafka:9093"), do: :sasl_ssl
  defp listener("kafka:9094"), do: :mutual

  for {code, line} <- @code do
    test "the options at line #{line} are taken", %{dir: dir} do
      options = options(unquote(code), unquote(line), dir)
      assert %Options{hosts: ["kafka:" <> _]} = Options.validate!(options)
    end

    @tag :secured
    test "the options at line #{line} read from a broker that wants them", context do
      %{kafka: kafka, dir: dir} = context
      topic = create_topic(kafka, 1)
      fill(kafka, topic, 1, 3)

      {[hosts: hosts], options} =
        unquote(code) |> options(unquote(line), dir) |> Keyword.split([:hosts])

      producer = Keyword.drop(options, [:group_id, :topics])
      pipeline = TestPipeline.start(Secured.kafka(listener(hosts)), [topic], producer: producer)
      assert [%{data: "1"}, _, _] = handled(pipeline, 3)
    end

    test "the code at line #{line} is formatted" do
      assert unquote(code) |> Code.format_string!() |> IO.iodata_to_binary() ==
               String.trim_trailing(unquote(code))
    end
  end

  test "three lines are what a listener with SASL_SSL needs more" do
    {code, _} = hd(@code)
    more = for line <- String.split(code, "\n"), line =~ ~r/ssl: |sasl: |hosts: /, do: line
    assert length(more) == 3
  end
end
