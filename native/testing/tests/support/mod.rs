//! What the tests share: a cluster with its client, and a reader of a topic's records.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use testing::{Record, TestClient, TestCluster};

pub const SOON: Duration = Duration::from_secs(20);

pub fn cluster(topic: &str, partitions: i32) -> TestCluster {
    let cluster = TestCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions).unwrap();
    cluster
}

pub fn client(cluster: &TestCluster, properties: &[(&str, &str)]) -> TestClient {
    let mut all = vec![("bootstrap.servers".into(), cluster.bootstrap().into())];
    all.extend(properties.iter().map(|(k, v)| ((*k).into(), (*v).into())));
    TestClient::new(&all).unwrap()
}

pub fn value(value: &[u8]) -> Record<'_> {
    Record {
        value: Some(value),
        ..Record::default()
    }
}

/// The first `count` records of partition 0.
pub fn read(cluster: &TestCluster, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + SOON;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "read {} records", records.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            records.push(message.unwrap().detach());
        }
    }
    records
}
