//! Benches of the crates in native/: nothing but its `benches`.
