//! What the brokers say of topics: their partitions, and which brokers lead and follow them.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::producer::Producer;

use crate::{Error, TestClient};

/// A partition, with brokers by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub id: i32,
    /// Its leader, where it has one.
    pub leader: Option<i32>,
    /// The brokers that are to have it, the one that is to lead it first.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
}

impl TestClient {
    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str, timeout: Duration) -> Result<usize, Error> {
        const CALL: &str = "partitions";
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| Error::from_kafka(CALL, error).at(topic, None))?;
        let unknown = Error::new(CALL, RDKafkaErrorCode::UnknownTopicOrPartition);
        match metadata.topics().first() {
            None => Err(unknown.at(topic, None)),
            Some(found) => match found.error() {
                Some(code) => Err(Error::new(CALL, code.into()).at(topic, None)),
                None => Ok(found.partitions().len()),
            },
        }
    }

    /// Every topic, as one of the brokers sees it now.
    pub fn topics(&self, timeout: Duration) -> Result<Vec<(String, Vec<Partition>)>, Error> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(None, timeout)
            .map_err(|error| Error::from_kafka("topics", error))?;
        Ok(metadata.topics().iter().map(topic).collect())
    }
}

fn topic(found: &MetadataTopic) -> (String, Vec<Partition>) {
    let partitions = found.partitions().iter().map(partition).collect();
    (found.name().to_owned(), partitions)
}

fn partition(found: &MetadataPartition) -> Partition {
    Partition {
        id: found.id(),
        leader: (found.leader() >= 0).then(|| found.leader()),
        replicas: found.replicas().to_vec(),
        in_sync: found.isr().to_vec(),
    }
}
