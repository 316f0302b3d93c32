//! Lists of partitions and offsets, as librdkafka takes and answers them.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::slice;

use rdkafka::bindings as rd;

use crate::code::Code;

/// One element of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) error: Option<Code>,
}

/// Owns a `rd_kafka_topic_partition_list_t`.
pub(crate) struct Offsets(NonNull<rd::rd_kafka_topic_partition_list_t>);

// SAFETY: the list is plain owned memory without ties to a thread.
unsafe impl Send for Offsets {}

impl Offsets {
    /// A list of these; a topic's name never holds a NUL byte (one that did is left out).
    pub(crate) fn new<'a>(items: impl IntoIterator<Item = (&'a str, i32, i64)>) -> Offsets {
        // SAFETY: no preconditions; librdkafka aborts rather than answer null.
        let raw = unsafe { NonNull::new_unchecked(rd::rd_kafka_topic_partition_list_new(8)) };
        for (topic, partition, offset) in items {
            let Ok(topic) = CString::new(topic) else {
                continue;
            };
            // SAFETY: the list is live, the name NUL-terminated and copied; the element answered
            // is writable until the list grows again.
            unsafe {
                (*rd::rd_kafka_topic_partition_list_add(raw.as_ptr(), topic.as_ptr(), partition))
                    .offset = offset
            };
        }
        Offsets(raw)
    }

    pub(crate) fn ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        // SAFETY: the list is live and ours.
        unsafe { read(self.ptr()) }
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.ptr()) }
    }
}

/// Copies a list that librdkafka owns.
///
/// # Safety
/// `list` must be null or a live list.
pub(crate) unsafe fn read(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    // SAFETY: null, or live as the caller promises.
    let Some(list) = (unsafe { list.as_ref() }) else {
        return Vec::new();
    };
    let count = usize::try_from(list.cnt).unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: a live list holds `cnt` elements.
    unsafe { slice::from_raw_parts(list.elems, count) }
        .iter()
        .map(|e| Entry {
            // SAFETY: each element's topic is a NUL-terminated string of the list.
            topic: unsafe { CStr::from_ptr(e.topic) }
                .to_string_lossy()
                .into_owned(),
            partition: e.partition,
            offset: e.offset,
            error: Code::of(e.err),
        })
        .collect()
}
