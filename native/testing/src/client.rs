//! A client that sees a cluster from outside: topics, records, committed offsets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::delivery::{Deliveries, Report, Reports};
use crate::Error;

/// How often a change of a topic is looked for in the metadata.
const METADATA_INTERVAL: Duration = Duration::from_millis(20);

/// A record to produce. `None` and an empty value differ, in key, value and headers alike.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// The partition; -1 leaves the choice to librdkafka's partitioner.
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

/// Produces, administers topics and reads or writes a group's committed offsets, without ever
/// joining the group. Every call waits, up to its timeout, for its answer. May be shared.
pub struct TestClient {
    config: ClientConfig,
    pub(crate) producer: ThreadedProducer<Deliveries>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

impl TestClient {
    /// A client with these librdkafka properties, `bootstrap.servers` among them; the rest of them
    /// matters to producing (`compression.type`, `linger.ms`, …) or to connecting. Unlike other
    /// producers it creates no topic by naming it, unless `allow.auto.create.topics` says so.
    pub fn new(properties: &[(String, String)]) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("allow.auto.create.topics", "false");
        for (name, value) in properties {
            config.set(name, value);
        }
        let producer = ThreadedProducer::from_config_and_context(&config, Deliveries)
            .map_err(|error| Error::from_kafka("start client", error))?;
        Ok(Self {
            config,
            producer,
            groups: Mutex::default(),
        })
    }

    /// Creates a topic with these topic properties (`message.timestamp.type`, …), and returns once
    /// the metadata shows its partitions.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        properties: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<(), Error> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in properties {
            topic = topic.set(key, value);
        }
        let deadline = Instant::now() + timeout;
        self.administer("create topic", name, timeout, |admin, options| {
            block_on(admin.create_topics([&topic], options))
        })?;
        self.await_partitions("create topic", name, deadline, |found| {
            found == usize::try_from(partitions).ok()
        })
    }

    /// Deletes a topic, and returns once the metadata no longer shows it.
    pub fn delete_topic(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        self.administer("delete topic", name, timeout, |admin, options| {
            block_on(admin.delete_topics(&[name], options))
        })?;
        self.await_partitions("delete topic", name, deadline, |found| found.is_none())
    }

    /// Raises a topic's partitions to `total`, and returns once the metadata shows them.
    pub fn add_partitions(&self, name: &str, total: usize, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        self.administer("add partitions", name, timeout, |admin, options| {
            block_on(admin.create_partitions([&NewPartitions::new(name, total)], options))
        })?;
        self.await_partitions("add partitions", name, deadline, |found| {
            found == Some(total)
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
        let deadline = Instant::now() + timeout;
        let reports = Reports::new(records.len());
        for (index, record) in records.iter().enumerate() {
            let report = Report {
                reports: Arc::clone(&reports),
                index,
            };
            self.send(base_record(topic, record, report), &reports, deadline)
                .map_err(|error| {
                    Error::from_kafka("produce", error).at(topic, Some(record.partition))
                })?;
        }
        reports
            .wait(deadline)
            .map_err(|(error, partition)| Error::from_kafka("produce", error).at(topic, partition))
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

    /// Commits these offsets for the group. A broker takes them only while it has no member.
    pub fn commit(
        &self,
        group: &str,
        offsets: &[(&str, i32, i64)],
        timeout: Duration,
    ) -> Result<(), Error> {
        const CALL: &str = "commit";
        // librdkafka's synchronous commit takes no timeout and waits for an absent coordinator:
        // asking first, with one, finds it or fails in time.
        let partitions: Vec<_> = offsets.iter().map(|(topic, p, _)| (*topic, *p)).collect();
        self.committed(group, &partitions, timeout)?;
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|error| Error::from_kafka(CALL, error).at(topic, Some(*partition)))?;
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
        self.producer
            .client()
            .fetch_watermarks(topic, partition, timeout)
            .map_err(|error| Error::from_kafka("watermarks", error).at(topic, Some(partition)))
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

    fn administer(
        &self,
        call: &'static str,
        topic: &str,
        timeout: Duration,
        operation: impl FnOnce(
            &AdminClient<DefaultClientContext>,
            &AdminOptions,
        ) -> KafkaResult<Vec<rdkafka::admin::TopicResult>>,
    ) -> Result<(), Error> {
        let fail = |error| Error::from_kafka(call, error).at(topic, None);
        let admin = AdminClient::from_config(&self.config).map_err(fail)?;
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout));
        for result in operation(&admin, &options).map_err(fail)? {
            result.map_err(|(_, code)| Error::new(call, code).at(topic, None))?;
        }
        Ok(())
    }

    /// Brokers learn of a change a little after the controller has answered.
    fn await_partitions(
        &self,
        call: &'static str,
        topic: &str,
        deadline: Instant,
        expected: impl Fn(Option<usize>) -> bool,
    ) -> Result<(), Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(Error::new(call, code).at(topic, None));
            }
            let found = match self.partitions(topic, left) {
                Ok(count) => Some(count),
                Err(error) if error.code() == RDKafkaErrorCode::UnknownTopicOrPartition => None,
                Err(error) if error.code() == RDKafkaErrorCode::LeaderNotAvailable => Some(0),
                Err(error) => return Err(error),
            };
            if expected(found) {
                return Ok(());
            }
            thread::sleep(METADATA_INTERVAL);
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

/// rdkafka panics on a topic name that is no C string.
fn check_name<'a>(call: &'static str, topic: &'a str) -> Result<&'a str, Error> {
    if topic.contains('\0') {
        return Err(Error::new(call, RDKafkaErrorCode::InvalidArgument).at(topic, None));
    }
    Ok(topic)
}
