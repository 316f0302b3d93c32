//! Points in time.

use std::time::{Duration, Instant};

// What stands for times so far off that an `Instant` may not be able to say them.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The instant that lies so much later, or a year, if that is less.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(FAR)
}
