//! What the benches of the crates in native/ share.

use std::time::Duration;

use criterion::Criterion;

/// Short runs, as there are many.
pub fn settings() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
}
