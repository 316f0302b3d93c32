//! What the brokers say of the topics that this client uses.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::client::{done, elements, millis, Client};
use crate::code::Code;
use crate::describe::Described;
use crate::error::Error;

/// Owns an answer.
pub(crate) struct Metadata(NonNull<rd::rd_kafka_metadata>);

impl Client {
    /// Asks any broker. Blocks.
    pub(crate) fn metadata(&self, timeout: Duration) -> Result<Metadata, Error> {
        let mut metadata = ptr::null();
        // SAFETY: the instance is live; the answer is ours to destroy.
        done("metadata", unsafe {
            rd::rd_kafka_metadata(
                self.ptr(),
                0,
                ptr::null_mut(),
                &mut metadata,
                millis(timeout),
            )
        })?;
        NonNull::new(metadata.cast_mut())
            .map(Metadata)
            .ok_or(Error::Closed)
    }
}

impl Client {
    /// Asks for a topic that this client does not use yet, and remembers the answer. Blocks.
    pub(crate) fn meet(&self, topic: &str, timeout: Duration) -> Result<(), Error> {
        let handle = self.topic(topic)?;
        let mut metadata = ptr::null();
        // SAFETY: the instance and the topic are live; the answer is ours to destroy.
        done("metadata", unsafe {
            rd::rd_kafka_metadata(
                self.ptr(),
                0,
                handle.0.as_ptr(),
                &mut metadata,
                millis(timeout),
            )
        })?;
        let metadata = NonNull::new(metadata.cast_mut()).map(Metadata);
        let metadata = metadata.ok_or(Error::Closed)?;
        let found = metadata
            .raw_topics()
            .first()
            .map(|found| Code::of(found.err));
        let unknown = Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        match found.unwrap_or(unknown) {
            Some(code) => Err(Error::kafka("subscribe", code).of_topic(topic)),
            None => Ok(()),
        }
    }

    fn topic(&self, topic: &str) -> Result<Topic, Error> {
        let name = CString::new(topic).map_err(|_| Error::Closed)?;
        // SAFETY: the instance is live, the name NUL-terminated and copied; without a configuration the
        // topic has the instance's own. The handle answered is ours.
        let raw = unsafe { rd::rd_kafka_topic_new(self.ptr(), name.as_ptr(), ptr::null_mut()) };
        NonNull::new(raw).map(Topic).ok_or(Error::Closed)
    }
}

/// Owns a handle of a topic.
struct Topic(NonNull<rd::rd_kafka_topic_t>);

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and destroyed once.
        unsafe { rd::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

impl Metadata {
    /// The leader of each partition.
    pub(crate) fn leaders(&self) -> BTreeMap<(String, i32), i32> {
        let mut leaders = BTreeMap::new();
        for topic in self.raw_topics() {
            let name = name(topic);
            // SAFETY: the metadata is live, and the topic has as many partitions as it says.
            for partition in unsafe { elements(topic.partitions, topic.partition_cnt) } {
                leaders.insert((name.clone(), partition.id), partition.leader);
            }
        }
        leaders
    }

    /// The topics, without ids; those of which the brokers say nothing now are left out.
    pub(crate) fn topics(&self) -> Vec<Described> {
        let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        let said = |topic: &&rd::rd_kafka_metadata_topic| {
            Code::of(topic.err).is_none_or(|code| code.is(unknown))
        };
        let described = |topic: &rd::rd_kafka_metadata_topic| Described {
            topic: name(topic),
            id: None,
            partitions: usize::try_from(topic.partition_cnt).unwrap_or(0),
        };
        let topics = self.raw_topics().iter();
        topics.filter(said).map(described).collect()
    }

    fn all(&self) -> &rd::rd_kafka_metadata {
        // SAFETY: the pointer is a live answer for as long as self is.
        unsafe { self.0.as_ref() }
    }

    fn raw_topics(&self) -> &[rd::rd_kafka_metadata_topic] {
        let all = self.all();
        // SAFETY: the metadata is live, with as many topics as it says.
        unsafe { elements(all.topics, all.topic_cnt) }
    }
}

fn name(topic: &rd::rd_kafka_metadata_topic) -> String {
    // SAFETY: a topic of live metadata has a NUL-terminated name.
    unsafe { CStr::from_ptr(topic.topic) }
        .to_string_lossy()
        .into_owned()
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: the answer is ours, and destroyed once.
        unsafe { rd::rd_kafka_metadata_destroy(self.0.as_ptr()) }
    }
}
