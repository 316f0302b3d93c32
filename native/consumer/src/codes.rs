//! All of librdkafka's error codes.

use std::{ptr, slice};

use rdkafka::bindings as rd;

use crate::code::Code;

/// Every code that librdkafka has a sentence for.
pub fn codes() -> Vec<Code> {
    let (mut descs, mut count) = (ptr::null(), 0);
    // SAFETY: both out parameters live through the call, which sets them to a static array.
    unsafe { rd::rd_kafka_get_err_descs(&mut descs, &mut count) };
    if descs.is_null() {
        return Vec::new();
    }
    // SAFETY: the array is static, and has `count` entries.
    let descs = unsafe { slice::from_raw_parts(descs, count) };
    // The bounds of the client's own codes have none.
    let used = descs
        .iter()
        .filter(|it| !it.name.is_null() && !it.desc.is_null());
    used.filter_map(|it| Code::of(it.code)).collect()
}
