//! A client that sees a cluster from outside: topics, records, committed offsets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::delivery::{Deliveries, Report, Reports};
use crate::Error;

// librdkafka takes any string for these: the one as the address of a function to call, the other
// as a signal to send, to which the whole process listens.
const REFUSED: &[&str] = &["internal.termination.signal", "ut_handle_ProduceResponse"];

// Kafka's own limit for a topic's name, in bytes: librdkafka's is wider, and rdkafka panics there.
const LONGEST_NAME: usize = 249;

/// How long a transactional producer may take to be known to its coordinator.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// A record to produce. `None` and an empty value differ, in key, value and headers alike.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// The partition; -1 leaves the choice to librdkafka's `partitioner`.
    pub partition: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Milliseconds since the epoch; `None` (and 0) is now.
    pub timestamp: Option<i64>,
}

/// What to do with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// What is produced from now on is part of one.
    Begin,
    /// What was produced since counts.
    Commit,
    /// What was produced since does not count.
    Abort,
}

/// Produces, administers topics and reads or writes a group's committed offsets, without ever
/// joining the group. Every call waits, up to its timeout, for its answer. May be shared.
pub struct TestClient {
    pub(crate) config: ClientConfig,
    pub(crate) producer: ThreadedProducer<Deliveries>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

impl TestClient {
    /// A client with these librdkafka properties, `bootstrap.servers` among them; the rest of them
    /// matters to producing (`compression.type`, `linger.ms`, …) or to connecting. Unlike other
    /// producers it creates no topic by naming it, unless `allow.auto.create.topics` says so. With a
    /// `transactional.id` it is that producer's new epoch, and produces in transactions only.
    pub fn new(properties: &[(String, String)]) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("allow.auto.create.topics", "false");
        for (name, value) in properties {
            if REFUSED.contains(&name.as_str()) {
                let reason = format!("{name} is not for the configuration of a client");
                return Err(Error::Config(reason));
            }
            config.set(name, value);
        }
        let producer = ThreadedProducer::from_config_and_context(&config, Deliveries)
            .map_err(|error| Error::from_kafka("start client", error))?;
        if config.get("transactional.id").is_some() {
            producer
                .init_transactions(INIT_TIMEOUT)
                .map_err(|error| Error::from_kafka("init transactions", error))?;
        }
        Ok(Self {
            config,
            producer,
            groups: Mutex::default(),
        })
    }

    /// Produces the records and waits for every delivery report: their offsets, in the order
    /// given. The first failure is the error; after one, others of the records may be there, and
    /// after a timeout they may still arrive.
    pub fn produce(
        &self,
        topic: &str,
        records: &[Record<'_>],
        timeout: Duration,
    ) -> Result<Vec<i64>, Error> {
        const CALL: &str = "produce";
        let topic = check_name(CALL, topic)?;
        let deadline = Instant::now() + timeout;
        let reports = Reports::new(records.len());
        for (index, record) in records.iter().enumerate() {
            let report = Report {
                reports: Arc::clone(&reports),
                index,
            };
            self.send(base_record(topic, record, report), &reports, deadline)
                .map_err(|error| {
                    Error::from_kafka(CALL, error).at(topic, Some(record.partition))
                })?;
        }
        reports
            .wait(deadline)
            .map_err(|(error, partition)| Error::from_kafka(CALL, error).at(topic, partition))
    }

    /// Begins or ends a transaction of a client with a `transactional.id`.
    pub fn transaction(&self, step: Transaction, timeout: Duration) -> Result<(), Error> {
        match step {
            Transaction::Begin => self.producer.begin_transaction(),
            Transaction::Commit => self.producer.commit_transaction(timeout),
            Transaction::Abort => self.producer.abort_transaction(timeout),
        }
        .map_err(|error| Error::from_kafka("transaction", error))
    }

    /// The group's committed offsets, `None` where it has none, in the order asked.
    pub fn committed(
        &self,
        group: &str,
        partitions: &[(&str, i32)],
        timeout: Duration,
    ) -> Result<Vec<(String, i32, Option<i64>)>, Error> {
        const CALL: &str = "committed";
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(check_name(CALL, topic)?, *partition);
        }
        let answer = self
            .group(group)?
            .committed_offsets(list, timeout)
            .map_err(|error| Error::from_kafka(CALL, error))?;
        answer
            .elements()
            .iter()
            .map(|element| {
                let (topic, partition) = (element.topic(), element.partition());
                element
                    .error()
                    .map_err(|error| Error::from_kafka(CALL, error).at(topic, Some(partition)))?;
                let offset = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                Ok((topic.to_owned(), partition, offset))
            })
            .collect()
    }

    /// Commits these offsets for the group, each with `metadata`, as some clients do. A broker takes
    /// them only while it has no member.
    pub fn commit(
        &self,
        group: &str,
        offsets: &[(&str, i32, i64)],
        metadata: &str,
        timeout: Duration,
    ) -> Result<(), Error> {
        const CALL: &str = "commit";
        // librdkafka's synchronous commit takes no timeout and waits for an absent coordinator:
        // asking first, with one, finds it or fails in time.
        let partitions: Vec<_> = offsets.iter().map(|(topic, p, _)| (*topic, *p)).collect();
        self.committed(group, &partitions, timeout)?;
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            let mut element = list.add_partition(topic, *partition);
            element
                .set_offset(Offset::Offset(*offset))
                .map_err(|error| Error::from_kafka(CALL, error).at(topic, Some(*partition)))?;
            if !metadata.is_empty() {
                element.set_metadata(metadata);
            }
        }
        self.group(group)?
            .commit(&list, CommitMode::Sync)
            .map_err(|error| Error::from_kafka(CALL, error))
    }

    /// A partition's low and high watermark: the first offset there is, and the next one.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), Error> {
        const CALL: &str = "watermarks";
        self.producer
            .client()
            .fetch_watermarks(check_name(CALL, topic)?, partition, timeout)
            .map_err(|error| Error::from_kafka(CALL, error).at(topic, Some(partition)))
    }

    fn send(
        &self,
        mut record: BaseRecord<'_, [u8], [u8], Box<Report>>,
        reports: &Reports,
        deadline: Instant,
    ) -> KafkaResult<()> {
        const FULL: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((FULL, refused)) if Instant::now() < deadline => record = refused,
                Err((error, _)) => return Err(error),
            }
            reports.pause();
        }
    }

    /// A consumer of the group that never subscribes, kept so that its coordinator stays known.
    fn group(&self, group: &str) -> Result<Arc<BaseConsumer>, Error> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = groups.get(group) {
            return Ok(Arc::clone(consumer));
        }
        let mut config = self.config.clone();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config
            .create()
            .map_err(|error| Error::from_kafka("start group client", error))?;
        let consumer = Arc::new(consumer);
        groups.insert(group.to_owned(), Arc::clone(&consumer));
        Ok(consumer)
    }
}

fn base_record<'a>(
    topic: &'a str,
    record: &Record<'a>,
    report: Report,
) -> BaseRecord<'a, [u8], [u8], Box<Report>> {
    let mut base = BaseRecord::with_opaque_to(topic, Box::new(report)).partition(record.partition);
    base.key = record.key;
    base.payload = record.value;
    base.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        let empty = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record.headers.iter();
        base.headers = Some(headers.fold(empty, |all, (key, value)| {
            all.insert(Header { key, value: *value })
        }));
    }
    base
}

/// rdkafka panics on a topic name that is no C string, or that librdkafka takes for none.
pub(crate) fn check_name<'a>(call: &'static str, topic: &'a str) -> Result<&'a str, Error> {
    if topic.contains('\0') || topic.len() > LONGEST_NAME {
        return Err(Error::new(call, RDKafkaErrorCode::InvalidArgument).at(topic, None));
    }
    Ok(topic)
}
