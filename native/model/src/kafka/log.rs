//! The brokers' logs, and what is fetched of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::client::Client;
use crate::cluster::TOPIC;
use crate::polled::Polled;
use crate::queue::Ops;
use crate::topic_partition::TopicPartition;
use crate::types::RDKafkaRespErr;

/// A partition of the topic, and our reading of it.
pub(crate) struct Log {
    pub(crate) records: BTreeSet<i64>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) at: Arc<TopicPartition>,
    pub(crate) ops: Arc<Ops>,
}

impl Log {
    pub(crate) fn new(at: TopicPartition) -> Log {
        Log {
            records: BTreeSet::new(),
            start: 0,
            end: 0,
            at: Arc::new(at),
            ops: Arc::default(),
        }
    }

    /// Whether a position can be fetched from.
    pub(crate) fn has(&self, position: i64) -> bool {
        (self.start..=self.end).contains(&position)
    }
}

impl Client {
    pub(crate) fn log_start(&self, partition: i32) -> i64 {
        self.look().at(partition).start
    }

    /// Appends records, after a gap.
    pub(crate) fn append(&self, partition: i32, gap: i64, count: i64) {
        let mut cluster = self.look();
        let log = cluster.at_mut(partition);
        let first = log.end + gap;
        log.records.extend(first..first + count);
        log.end = first + count;
    }

    /// Drops the oldest records.
    pub(crate) fn expire(&self, partition: i32, count: usize) {
        let mut cluster = self.look();
        let log = cluster.at_mut(partition);
        let rest = log.records.iter().nth(count).copied();
        log.start = rest.unwrap_or(log.end);
        log.records = log.records.split_off(&log.start);
    }

    /// Drops one record among the others, as compaction does.
    pub(crate) fn compact(&self, partition: i32, offset: i64) {
        self.look().at_mut(partition).records.remove(&offset);
    }

    /// Fetches records; without any, passes what is none at the end of the log.
    pub(crate) fn fetch(&self, partition: i32, count: usize) {
        let cluster = self.look();
        let log = cluster.at(partition);
        for _ in 0..count {
            let mut position = log.at.position();
            if cluster.unanswered.is_some() || !position.is_fetched() {
                return;
            }
            if !log.has(position.fetch) {
                position.stuck = true;
                let offset = position.fetch;
                drop(position);
                let fault = RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
                return log.ops.put(log.at.message(offset, Some(fault)));
            }
            match log.records.range(position.fetch..).next().copied() {
                Some(offset) => {
                    position.fetch = offset + 1;
                    if log.ops.is_astray() {
                        position.taken = Some(offset + 1);
                        self.events.post(Polled::Stray(TOPIC.to_owned(), partition));
                        continue;
                    }
                    drop(position);
                    log.ops.put(log.at.message(offset, None));
                }
                None if position.is_read() && position.fetch < log.end => {
                    position.fetch = log.end;
                    position.taken = Some(log.end);
                }
                None => return,
            }
        }
    }

    /// A partition fails where its next record would be.
    pub(crate) fn fail(&self, partition: i32) {
        let cluster = self.look();
        let log = cluster.at(partition);
        let position = log.at.position();
        if cluster.unanswered.is_some() || !position.is_fetched() {
            return;
        }
        let offset = position.fetch;
        drop(position);
        let fault = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
        log.ops.put(log.at.message(offset, Some(fault)));
    }

    /// A partition's records go to the member's queue, until it is forwarded again.
    pub(crate) fn stray(&self, partition: i32) {
        let cluster = self.look();
        let log = cluster.at(partition);
        let position = log.at.position();
        if position.assigned && position.is_read() {
            log.ops.go_astray();
        }
    }
}
