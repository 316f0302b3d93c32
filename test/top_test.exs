defmodule OffBroadwayRustKafka.TopTest do
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.Top.{JSON, Owners, Row, Screen}

  defp row(partition, fields \\ []) do
    struct!(
      %Row{group: "orders", member: "MyApp.Orders", topic: "orders", partition: partition, at: 0},
      fields
    )
  end

  describe "a rate" do
    test "is in records a second since the sample before, by position" do
      before = [row(0, at: 0, position: 100, committed: 0)]
      now = [row(0, at: 500, position: 600, committed: 0)]
      assert [%{rate: 1_000}] = Row.rates(now, before)
    end

    test "is that of commits where no position is known" do
      assert [%{rate: 20}] = Row.rates([row(0, at: 500, committed: 30)], [row(0, committed: 20)])
    end

    test "is not known of a partition that was not there before, nor without time between" do
      assert [%{rate: nil}] = Row.rates([row(1, at: 1, position: 1)], [row(0, position: 0)])
      assert [%{rate: nil}] = Row.rates([row(0, position: 1)], [row(0, position: 0)])
    end

    test "is none where a partition was put back" do
      assert [%{rate: 0}] = Row.rates([row(0, at: 9, position: 1)], [row(0, position: 5)])
    end

    test "goes on when another member takes the partition over" do
      before = [row(0, position: 1, member: "one")]
      assert [%{rate: 2_000}] = Row.rates([row(0, at: 1, position: 3, member: "two")], before)
    end
  end

  test "what is behind and does not move comes first, then the most lag, then the oldest unacknowledged" do
    calm = row(0, rate: 5, lag: 0)
    old = row(1, rate: 5, lag: 0, unacked_ms: 9_000)
    behind = row(2, rate: 5, lag: 1_000_000)
    stuck = row(3, rate: 0, lag: 1)
    idle = row(4, rate: 0, lag: 0)
    unknown = row(5)
    rows = [calm, old, behind, stuck, idle, unknown]

    for _ <- 1..5 do
      sorted = rows |> Enum.shuffle() |> Row.by_trouble()
      assert Enum.map(sorted, & &1.partition) == [3, 2, 1, 0, 4, 5]
    end
  end

  describe "the table" do
    @rows [
      [topic: "orders", rate: 0, lag: 123_456, unacked: 10, unacked_ms: 61_000, committed: 17],
      [
        topic: "a-topic-whose-name-is-as-long-as-names-of-topics-often-are.v2",
        member: "MyApp.Pipelines.WithALongName.Orders",
        rate: 1_234_567,
        lag: 9_999_999_999_999,
        unacked: 123_456_789,
        unacked_ms: 999_999_999,
        committed: 99_999_999_999_999
      ]
    ]

    defp rows, do: for({fields, at} <- Enum.with_index(@rows), do: row(at, fields))

    test "is never wider than the terminal, and its columns stand under each other" do
      for columns <- [80, 120, 200] do
        [summary, titles | body] = lines = Screen.render(rows(), "app@host", columns)
        assert summary =~ "2 partitions"
        assert Enum.all?(lines, &(String.length(&1) <= columns))
        {lag, _} = :binary.match(titles, "LAG")
        assert [short, _long] = body
        assert String.slice(short, 0, lag + 3) =~ ~r/ 123k$/
      end
    end

    test "shows names in full where there is room for them" do
      [long, pipeline] = [Enum.at(rows(), 1).topic, "MyApp.Pipelines.WithALongName.Orders"]
      wide = rows() |> Screen.render("app@host", 200) |> Enum.join("\n")
      assert wide =~ long and wide =~ pipeline
      narrow = rows() |> Screen.render("app@host", 80) |> Enum.join("\n")
      refute narrow =~ long
      assert narrow =~ "…"
    end

    test "shows the first rows where the terminal has no lines for all, and sums them all" do
      rows = for partition <- 0..99, do: row(partition, lag: 1)
      lines = Screen.render(rows, "app@host", 80, 24)
      assert length(lines) == 24
      assert hd(lines) =~ "100 partitions"
      assert hd(lines) =~ "lag 100"
    end

    test "shows what is not known as such" do
      [_, _, line] = Screen.render([row(7, member: nil)], "app@host", 80)
      assert String.split(line) == ["orders", "7", "-", "-", "-", "-", "-", "-"]
    end

    test "says what is paused, which is not stuck" do
      rows = [row(1, rate: 0, lag: 5, paused: true), row(2, rate: 0, lag: 5, paused: false)]
      assert [%{partition: 2}, %{partition: 1}] = Row.by_trouble(rows)
      [summary, _, paused, stuck] = Screen.render(rows, "app@host", 80)
      assert summary =~ "1 stuck"
      assert ["orders", "1", "paused", "5" | _] = String.split(paused)
      assert ["orders", "2", "0", "5" | _] = String.split(stuck)
    end

    test "says of no partitions that there are none" do
      assert ["0 partitions" <> _, _titles] = Screen.render([], "app@host", 80)
    end
  end

  test "whose a partition is comes from what the members were assigned, as assignors encode it" do
    topic = fn name, partitions ->
      encoded = for partition <- partitions, into: <<>>, do: <<partition::32>>
      <<byte_size(name)::16, name::binary, length(partitions)::32, encoded::binary>>
    end

    both = <<1::16, 2::32>> <> topic.("orders", [0, 7]) <> topic.("rows", [1]) <> <<-1::32>>
    members = [{"a-1", "/10.0.0.1", both}, {"b-2", "/10.0.0.2", <<0::16, 0::32>>}]

    assert Owners.by_place(members) == %{
             {"orders", 0} => "10.0.0.1 a-1",
             {"orders", 7} => "10.0.0.1 a-1",
             {"rows", 1} => "10.0.0.1 a-1"
           }

    # Of another encoding, while the group rebalances, or cut short.
    for size <- 0..(byte_size(both) - 5) do
      places = Owners.by_place([{"a-1", "/10.0.0.1", binary_part(both, 0, size)}])
      assert Enum.all?(Map.keys(places), &(&1 in [{"orders", 0}, {"orders", 7}, {"rows", 1}]))
    end
  end

  test "counts and ages take six characters at most" do
    assert Screen.count(99_999) == "99999"
    assert Screen.count(100_000) == "100k"
    assert Screen.count(1_250_000) == "1.2M"
    assert Screen.count(2_500_000_000) == "2.5G"
    assert Screen.age(250) == "250ms"
    assert Screen.age(61_000) == "61s"
    assert Screen.age(600_000) == "10m"

    for power <- 0..14, factor <- [1, 9.99] do
      number = round(10 ** power * factor)
      assert String.length(Screen.count(number)) <= 6, "#{number}"
      if power < 12, do: assert(String.length(Screen.age(number)) <= 6, "#{number}")
    end
  end

  test "JSON is a line that a parser reads, whatever is in the names" do
    line =
      [row(0, member: ~s(a "b"\\c\n), lag: 3, paused: true)]
      |> JSON.line("app@host")
      |> IO.iodata_to_binary()

    assert line ==
             ~S({"source":"app@host","partitions":[{"group":"orders","member":"a \"b\"\\c\u000A",) <>
               ~S("topic":"orders","partition":0,"rate":null,"lag":3,"unacked":null,) <>
               ~S("unacked_ms":null,"position":null,"committed":null,"end":null,"paused":true}]})

    assert IO.iodata_to_binary(JSON.line([], "x")) == ~S({"source":"x","partitions":[]})
  end
end
