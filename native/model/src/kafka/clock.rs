//! Time that stands still until a test moves it.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

pub(crate) fn now() -> Instant {
    origin() + PASSED.get()
}

pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait
}

/// Lets so much time pass, for this thread.
pub(crate) fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}
