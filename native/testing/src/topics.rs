//! Topics: made, changed, cut short and deleted.

use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::check_name;
use crate::{Error, TestClient};

/// How often a change of a topic is looked for in the metadata.
const METADATA_INTERVAL: Duration = Duration::from_millis(20);

/// Librdkafka asks for leaders in the caller's thread, and frees the question in its own when this
/// is over: if that comes while the caller still asks, it is freed twice.
const SHORTEST_LEADERS_QUERY: Duration = Duration::from_secs(5);

impl TestClient {
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
        const CALL: &str = "create topic";
        let name = check_name(CALL, name)?;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in properties {
            topic = topic.set(key, value);
        }
        let deadline = Instant::now() + timeout;
        self.administer(CALL, name, timeout, |admin, options| {
            block_on(admin.create_topics([&topic], options))
        })?;
        self.await_partitions(CALL, name, deadline, |found| {
            found == usize::try_from(partitions).ok()
        })
    }

    /// Deletes a topic, and returns once the metadata no longer shows it.
    pub fn delete_topic(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        const CALL: &str = "delete topic";
        let name = check_name(CALL, name)?;
        let deadline = Instant::now() + timeout;
        self.administer(CALL, name, timeout, |admin, options| {
            block_on(admin.delete_topics(&[name], options))
        })?;
        self.await_partitions(CALL, name, deadline, |found| found.is_none())
    }

    /// Raises a topic's partitions to `total`, and returns once the metadata shows them.
    pub fn add_partitions(&self, name: &str, total: usize, timeout: Duration) -> Result<(), Error> {
        const CALL: &str = "add partitions";
        let name = check_name(CALL, name)?;
        let deadline = Instant::now() + timeout;
        self.administer(CALL, name, timeout, |admin, options| {
            block_on(admin.create_partitions([&NewPartitions::new(name, total)], options))
        })?;
        self.await_partitions(CALL, name, deadline, |found| found == Some(total))
    }

    /// Deletes a partition's records below an offset, as retention does.
    pub fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        below: i64,
        timeout: Duration,
    ) -> Result<(), Error> {
        const CALL: &str = "delete records";
        let topic = check_name(CALL, topic)?;
        let fail = |error| Error::from_kafka(CALL, error).at(topic, Some(partition));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(below))
            .map_err(fail)?;
        let (admin, options) = self
            .admin(timeout.max(SHORTEST_LEADERS_QUERY))
            .map_err(fail)?;
        let answer = block_on(admin.delete_records(&list, &options)).map_err(fail)?;
        answer
            .elements()
            .iter()
            .try_for_each(|element| element.error().map_err(fail))
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
        let (admin, options) = self.admin(timeout).map_err(fail)?;
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

    fn admin(
        &self,
        timeout: Duration,
    ) -> KafkaResult<(AdminClient<DefaultClientContext>, AdminOptions)> {
        let admin = AdminClient::from_config(&self.config)?;
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout));
        Ok((admin, options))
    }
}
