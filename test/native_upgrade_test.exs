defmodule OffBroadwayRustKafka.NativeUpgradeTest do
  # On nodes of their own: one that crashes must not take the others' tests with it.
  use ExUnit.Case, async: true

  alias OffBroadwayRustKafka.UpgradeNode

  test "loading the library again while it is in use is refused, and the loaded one works on" do
    {output, status} = UpgradeNode.run(:over)

    assert output =~ "loaded: {:error, :on_load_failure}"
    assert output =~ "Upgrade not supported by this NIF library"
    assert output =~ ~r/committed: 1\n.*committed: 2\nleft\n/s
    assert status == 0, output
  end

  test "a library that was purged while a member was at work can be loaded again" do
    {output, status} = UpgradeNode.run(:after_purge)

    assert output =~ "committed: 1\n"
    assert output =~ "loaded: {:module, OffBroadwayRustKafka.Native}\n"
    assert output =~ ~r/loaded: .*committed: 1\nleft\n/s
    assert status == 0, output
  end
end
