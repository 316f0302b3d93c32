//! What the tests share: a cluster with a topic and a group, and members of that group whose
//! events and wake-ups can be waited for.

#![allow(dead_code, unused_imports, missing_docs)]
#![allow(clippy::panic, clippy::unwrap_used)]

pub mod chunks;
mod got;
mod lab;
mod member;

pub use got::{offsets, pump_all, pump_until, Got};
pub use lab::{record, record_at, value, Lab};
pub use member::Member;

use std::time::Duration;

/// Every wait ends by then; on a loaded machine too, what is waited for comes long before.
pub const SOON: Duration = Duration::from_secs(20);

/// Sets a property of librdkafka, whatever it was.
pub fn set(config: &mut consumer::Config, name: &str, value: &str) {
    config.properties.push((name.to_owned(), value.to_owned()));
}

/// Unlike every other, whatever else runs beside this test.
pub fn random_name(prefix: &str) -> String {
    use std::collections::hash_map::RandomState;
    use std::hash::{BuildHasher, Hasher};
    format!(
        "{prefix}-{:016x}",
        RandomState::new().build_hasher().finish()
    )
}
