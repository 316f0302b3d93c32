# shellcheck shell=bash disable=SC2034 # what bin/fuzz and bin/sanitize use
# Sourced after env.sh: builds under a sanitizer with the pinned, stable toolchain, and no other tool.
#
#   instrument SANITIZER [RUSTFLAGS]   exports what cargo must find, and sets host: what to give it as --target, so that
#                                      build scripts are not instrumented

instrument() {
  host=$(rustc -vV | sed -n 's/^host: //p')
  # Sanitizers wait to be stable; the toolchain has them all the same. Its standard library is not built for them.
  export RUSTC_BOOTSTRAP=1
  export RUSTFLAGS="-Zsanitizer=$1 -Cunsafe-allow-abi-mismatch=sanitizer -Cforce-frame-pointers=yes ${2:-}"
  # librdkafka too. What its configure tries out is linked with the C compiler's runtime, what we link with Rust's.
  export CFLAGS="-fsanitize=$1 -fno-omit-frame-pointer" LDFLAGS="-fsanitize=$1"
  # ThreadSanitizer does not see threads that begin in C11's way: hide that, so that librdkafka begins them in POSIX's.
  [[ $1 != thread ]] || CFLAGS+=" -D_THREADS_H"
}
