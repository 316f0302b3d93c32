//! A record, or a fault in its place.

use std::sync::Arc;

use crate::code::Code;
use crate::topic_partition::TopicPartition;
use crate::types::RDKafkaRespErr;

pub struct Message {
    pub(crate) at: Arc<TopicPartition>,
    pub(crate) offset: i64,
    /// None: never stale.
    pub(crate) version: Option<u32>,
    pub(crate) fault: Option<RDKafkaRespErr>,
}

impl Message {
    #[cfg(test)]
    pub(crate) fn tombstone(offset: i64) -> Message {
        let at = Arc::new(TopicPartition::new(&Arc::from(""), 0));
        at.message(offset, None)
    }

    pub(crate) fn error(&self) -> Option<Code> {
        self.fault.and_then(Code::of)
    }

    pub(crate) fn error_text(&self) -> String {
        "a fault".into()
    }

    pub(crate) fn partition_key(&self) -> (usize, i32) {
        (0, self.at.number)
    }

    pub fn topic(&self) -> &str {
        &self.at.topic
    }

    pub fn partition(&self) -> i32 {
        self.at.number
    }

    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// All in one place.
    pub(crate) fn address(&self) -> Option<usize> {
        Some(0)
    }

    pub(crate) fn set_apart(&mut self) {}

    pub fn size(&self) -> usize {
        1
    }
}
