//! What a partition holds, as a reader without a group sees it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::check_name;
use crate::{Error, TestClient};

impl TestClient {
    /// The offsets of a partition's records, from the first to the end that it has now. Records of
    /// aborted transactions are read as the client's `isolation.level` says.
    pub fn offsets(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<Vec<i64>, Error> {
        const CALL: &str = "offsets";
        let topic = check_name(CALL, topic)?;
        let fail = |error| Error::from_kafka(CALL, error).at(topic, Some(partition));
        let deadline = Instant::now() + timeout;
        let mut config = self.config.clone();
        config.set("group.id", "unused");
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().map_err(fail)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(fail)?;
        consumer.assign(&list).map_err(fail)?;
        let mut offsets = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left) {
                Some(Ok(message)) => offsets.push(message.offset()),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(offsets),
                Some(Err(error)) => return Err(fail(error)),
                None if left.is_zero() => {
                    let code = RDKafkaErrorCode::OperationTimedOut;
                    return Err(Error::new(CALL, code).at(topic, Some(partition)));
                }
                None => {}
            }
        }
    }
}
