//! A mock cluster with one topic, a group's name, and a client that looks at both from outside.

use std::time::Duration;

use consumer::{Config, Paused, ResetPolicy, Topic};
use testing::{Record, TestClient, TestCluster};

use super::{random_name, Member, SOON};

pub struct Lab {
    pub topic: String,
    pub group: String,
    pub partitions: i32,
    pub client: TestClient,
    // Last: a client that is still there would wait for its brokers.
    pub cluster: TestCluster,
}

impl Lab {
    pub fn new(partitions: i32) -> Lab {
        let cluster = TestCluster::new(1).unwrap();
        let topic = random_name("orders");
        cluster.create_topic(&topic, partitions).unwrap();
        Lab {
            topic,
            group: random_name("billing"),
            partitions,
            client: client(&cluster, &[("linger.ms", "0")]),
            cluster,
        }
    }

    /// Another client, with these librdkafka properties.
    pub fn client_with(&self, properties: &[(&str, &str)]) -> TestClient {
        client(&self.cluster, properties)
    }

    /// Rebalances of the mock cluster take as long as its session timeout lets members come back.
    pub fn config(&self) -> Config {
        let properties = [
            ("bootstrap.servers", self.cluster.bootstrap()),
            ("group.id", &self.group),
            ("session.timeout.ms", "1600"),
            ("heartbeat.interval.ms", "50"),
            ("fetch.wait.max.ms", "5"),
            ("fetch.error.backoff.ms", "10"),
            ("reconnect.backoff.max.ms", "100"),
        ];
        Config {
            properties: properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            topics: vec![Topic {
                name: self.topic.clone(),
                reset: ResetPolicy::Earliest,
            }],
            lanes: 1,
            commit_interval: Duration::from_millis(20),
            commit_threshold: None,
            commit_by_hand: false,
            drain_timeout: Duration::from_secs(10),
            max_in_flight: 10_000,
            max_buffered_bytes: 64 * 1024 * 1024,
            chunk_size: None,
            unacked_timeout: None,
            paused: Paused::default(),
        }
    }

    pub fn member(&self) -> Member {
        self.member_with(|_| {})
    }

    pub fn member_with(&self, change: impl FnOnce(&mut Config)) -> Member {
        let mut config = self.config();
        change(&mut config);
        Member::start(&config)
    }

    /// A member that has its assignment.
    pub fn assigned_member(&self, change: impl FnOnce(&mut Config)) -> Member {
        let mut member = self.member_with(change);
        member.assigned();
        member
    }

    /// `count` records to each partition, their values the offsets they will have.
    pub fn fill(&self, count: i64) {
        for partition in 0..self.partitions {
            self.fill_one(partition, count);
        }
    }

    pub fn fill_one(&self, partition: i32, count: i64) {
        let (_, end) = self
            .client
            .watermarks(&self.topic, partition, SOON)
            .unwrap();
        let values: Vec<String> = (end..end + count)
            .map(|offset| offset.to_string())
            .collect();
        let records: Vec<Record<'_>> = values
            .iter()
            .map(|text| record_at(partition, text.as_bytes()))
            .collect();
        self.produce(&records);
    }

    pub fn produce(&self, records: &[Record<'_>]) -> Vec<i64> {
        self.client.produce(&self.topic, records, SOON).unwrap()
    }

    /// The group's committed offset of each partition, as the broker has it.
    pub fn committed(&self) -> Vec<Option<i64>> {
        let asked: Vec<(&str, i32)> = (0..self.partitions)
            .map(|partition| (self.topic.as_str(), partition))
            .collect();
        let found = self.client.committed(&self.group, &asked, SOON).unwrap();
        found.into_iter().map(|(_, _, offset)| offset).collect()
    }

    /// Commits for the group, which must have no member.
    pub fn commit(&self, partition: i32, offset: i64) {
        self.client
            .commit(&self.group, &[(&self.topic, partition, offset)], "", SOON)
            .unwrap();
    }
}

fn client(cluster: &TestCluster, properties: &[(&str, &str)]) -> TestClient {
    let own = [
        ("bootstrap.servers", cluster.bootstrap()),
        ("message.max.bytes", "20000000"),
    ];
    let all = own.iter().chain(properties);
    let all: Vec<_> = all
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    TestClient::new(&all).unwrap()
}

pub fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    Record {
        key,
        value,
        ..Record::default()
    }
}

pub fn value(value: &[u8]) -> Record<'_> {
    record(None, Some(value))
}

pub fn record_at(partition: i32, value: &[u8]) -> Record<'_> {
    Record {
        partition,
        value: Some(value),
        ..Record::default()
    }
}
