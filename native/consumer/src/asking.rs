//! The client's calls that wait for a broker's answer: never on the service thread.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as rd;

use crate::client::{done, failed, millis, Client};
use crate::error::Error;
use crate::offsets::Offsets;

impl Client {
    /// The group's committed offsets.
    pub(crate) fn committed(&self, list: &Offsets, timeout: Duration) -> Result<(), Error> {
        // SAFETY: the instance and the list are live; answers are written into the list.
        done("fetch of committed offsets", unsafe {
            rd::rd_kafka_committed(self.ptr(), list.ptr(), millis(timeout))
        })
    }

    /// The offsets for the timestamps in the list; -2 and -1 stand for the oldest and for the
    /// end, as in Kafka's ListOffsets.
    pub(crate) fn offsets_for_times(&self, list: &Offsets, timeout: Duration) -> Result<(), Error> {
        // SAFETY: the instance and the list are live; answers are written into the list.
        done("list offsets", unsafe {
            rd::rd_kafka_offsets_for_times(self.ptr(), list.ptr(), millis(timeout))
        })
    }

    /// Moves the fetch positions.
    pub(crate) fn seek(&self, list: &Offsets, timeout: Duration) -> Result<(), Error> {
        // SAFETY: the instance and the list are live; errors are written into the list.
        failed("seek", unsafe {
            rd::rd_kafka_seek_partitions(self.ptr(), list.ptr(), millis(timeout))
        })?;
        match list
            .entries()
            .into_iter()
            .find_map(|e| e.error.map(|code| (e, code)))
        {
            Some((entry, code)) => {
                Err(Error::kafka("seek", code).at(&entry.topic, entry.partition))
            }
            None => Ok(()),
        }
    }

    /// Asks a partition's leader for its watermarks, which also ends that broker thread's pause
    /// before its next fetch.
    pub(crate) fn nudge(&self, topic: &str, partition: i32, timeout: Duration) {
        let Ok(topic) = CString::new(topic) else {
            return;
        };
        let (mut low, mut high) = (0, 0);
        // SAFETY: the instance is live, the name NUL-terminated, the results writable. The
        // answer does not matter.
        unsafe {
            rd::rd_kafka_query_watermark_offsets(
                self.ptr(),
                topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
                millis(timeout),
            )
        };
    }
}
