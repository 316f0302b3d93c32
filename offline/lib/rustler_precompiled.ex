defmodule RustlerPrecompiled do
  @moduledoc """
  A stand-in for [RustlerPrecompiled](https://hex.pm/packages/rustler_precompiled), for machines
  without Hex: it never downloads, it always builds the crate with Cargo, while the module compiles.

  Read: `:otp_app`, `:crate`, its `:path` and `:target_dir`. Everything else says what to download,
  and is ignored.
  """

  defmacro __using__(opts) do
    quote do
      @rustler_precompiled RustlerPrecompiled.build(unquote(opts))

      for path <- RustlerPrecompiled.sources(), do: @external_resource(path)

      @on_load :load_rustler_precompiled

      @doc false
      def load_rustler_precompiled do
        :code.purge(__MODULE__)
        {app, library} = @rustler_precompiled
        app |> :code.lib_dir() |> Path.join(library) |> to_charlist() |> :erlang.load_nif(0)
      end
    end
  end

  @doc false
  def sources, do: Path.wildcard("native/**/*.{rs,toml}") ++ ["Cargo.toml", "Cargo.lock"]

  @doc false
  def build(opts) do
    manifest = Path.join(opts[:path], "Cargo.toml")
    args = ["build", "--release", "--manifest-path", manifest, "--target-dir", opts[:target_dir]]

    {_, status} =
      System.cmd("cargo", args, into: IO.stream(:stdio, :line), stderr_to_stdout: true)

    if status != 0, do: Mix.raise("cargo build of #{manifest} ended with status #{status}")

    library = "lib" <> opts[:crate]
    extension = if :os.type() == {:unix, :darwin}, do: ".dylib", else: ".so"
    # Not in priv: Mix copies the project's own there, with a library of another build in it.
    to = Path.join([Mix.Project.app_path(), "native", library <> ".so"])
    File.mkdir_p!(Path.dirname(to))
    # A new file in the old one's place: one that is loaded must not be written into.
    File.cp!(Path.join([opts[:target_dir], "release", library <> extension]), to <> ".new")
    File.rename!(to <> ".new", to)
    {opts[:otp_app], "native/" <> library}
  end
end
