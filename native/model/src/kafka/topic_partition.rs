//! A partition as the client sees it.

use std::sync::Arc;

use crate::message::Message;
use crate::sync::{Mutex, MutexGuard};
use crate::types::RDKafkaRespErr::{self, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET};

pub(crate) struct TopicPartition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
    position: Mutex<Position>,
}

/// Where a partition is read.
#[derive(Default)]
pub(crate) struct Position {
    /// Counts assignments, seeks and pauses: what was fetched before one is not handed out after.
    pub(crate) version: u32,
    pub(crate) assigned: bool,
    /// Out of range, which a seek does not end.
    pub(crate) stuck: bool,
    /// By the member, and not by a rebalance: an assignment does not end it.
    pub(crate) paused: bool,
    /// Where the last assignment or seek began.
    pub(crate) start: i64,
    /// What is fetched next.
    pub(crate) fetch: i64,
    /// After the last record that was handed out.
    pub(crate) taken: Option<i64>,
}

impl TopicPartition {
    pub(crate) fn new(topic: &Arc<str>, number: i32) -> TopicPartition {
        TopicPartition {
            topic: Arc::clone(topic),
            number,
            position: Mutex::default(),
        }
    }

    pub(crate) fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock()
    }

    /// A record, or a fault, as it is fetched now.
    pub(crate) fn message(self: &Arc<Self>, offset: i64, fault: Option<RDKafkaRespErr>) -> Message {
        Message {
            at: Arc::clone(self),
            offset,
            // librdkafka gives this one fault no version: it outlives seeks and assignments.
            version: (fault != Some(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET))
                .then(|| self.position().version),
            fault,
        }
    }

    /// Hands a message out, unless it is stale. A fault counts like a record, as with librdkafka.
    pub(crate) fn take(&self, message: &Message) -> bool {
        let mut position = self.position();
        let current = position.assigned && message.version.is_none_or(|v| v == position.version);
        if current {
            position.taken = Some(message.offset + 1);
        }
        current || message.version.is_none()
    }
}

impl Position {
    pub(crate) fn begin(&mut self, offset: i64) {
        self.version += 1;
        self.start = offset;
        self.fetch = offset;
        self.taken = None;
    }

    pub(crate) fn is_fetched(&self) -> bool {
        self.assigned && !self.stuck && !self.paused
    }

    /// Throws away what was fetched and not handed out.
    pub(crate) fn pause(&mut self) {
        self.version += 1;
        self.fetch = self.taken.unwrap_or(self.start);
    }

    /// Whether all that was fetched was handed out.
    pub(crate) fn is_read(&self) -> bool {
        self.fetch == self.taken.unwrap_or(self.start)
    }
}
