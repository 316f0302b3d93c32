defmodule OffBroadwayRustKafka.AllocatorTest do
  # The library brings its own malloc, beside the C library's: what the one gave, the other must not free.
  use ExUnit.Case, async: true

  @own ~w(aligned_alloc calloc free malloc malloc_usable_size memalign posix_memalign realloc reallocarray
          strdup strndup valloc)

  # What they answer is the C library's, and is to be freed by who calls. `realpath` would be one: the
  # standard library calls it for a backtrace out of a file of debug symbols that is kept apart.
  @allocate ~w(asprintf get_current_dir_name getdelim getline open_memstream open_wmemstream scandir
               scandir64 tempnam vasprintf wcsdup)

  if match?({:unix, :linux}, :os.type()) and
       List.to_string(:erlang.system_info(:system_architecture)) =~ "gnu" do
    test "all memory of the library is of its own allocator, librdkafka's too" do
      assert Enum.filter(imported(), &(&1 in @own)) == []
    end

    test "nothing that the C library has allocated is given to the library's own allocator" do
      assert Enum.filter(imported(), &(&1 in @allocate)) == []
    end
  end

  defp imported do
    {:module, _} = Code.ensure_loaded(OffBroadwayRustKafka.Native)

    [library] =
      ~r{/\S+/liboff_broadway_rust_kafka_nif\.so}
      |> Regex.scan(File.read!("/proc/self/maps"))
      |> Enum.uniq()

    {symbols, 0} =
      System.cmd("nm", ["--dynamic", "--undefined-only", "--format=just-symbols" | library])

    names = symbols |> String.split("\n", trim: true) |> Enum.map(&hd(String.split(&1, "@")))
    assert "poll" in names
    names
  end
end
