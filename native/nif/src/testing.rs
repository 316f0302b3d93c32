//! The mock cluster and the test client, for tests and the demo.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use rustler::types::atom::{error, ok};
use rustler::{
    Binary, Encoder, Env, NewBinary, NifTaggedEnum, NifUnitEnum, Resource, ResourceArc, Term,
};
use testing::{
    codes, Error, Member, Partition, Record, State, TestClient, TestCluster, Transaction,
};

use crate::decode::{Derived, List};
use crate::error::{code_name, Failure};

struct Cluster(Held<TestCluster>);

#[rustler::resource_impl]
impl Resource for Cluster {}

struct Client(Held<TestClient>);

#[rustler::resource_impl]
impl Resource for Client {}

/// A value until it is stopped; a call that is under way then is its last owner, as a stop waits for
/// none. Destroying one waits for librdkafka's threads: a resource may be collected on a scheduler,
/// so that happens on a thread of its own.
struct Held<T: Send + Sync + 'static>(RwLock<Option<Arc<T>>>);

impl<T: Send + Sync + 'static> Held<T> {
    fn new(value: T) -> Self {
        Self(RwLock::new(Some(Arc::new(value))))
    }

    fn with<R>(&self, call: impl FnOnce(&T) -> Result<R, Error>) -> Result<R, Failure> {
        let value = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(call(&*value.ok_or_else(stopped)?)?)
    }

    fn take(&self) -> Option<Arc<T>> {
        let mut value = self.0.write().unwrap_or_else(PoisonError::into_inner);
        value.take()
    }
}

impl<T: Send + Sync + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(value) = self.take() {
            // Without a thread to be had, the closure and its value are dropped here after all.
            let _ = thread::Builder::new().spawn(move || drop(value));
        }
    }
}

/// `:ok | {:error, error}`.
struct Done(Result<(), Failure>);

impl Encoder for Done {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match &self.0 {
            Ok(()) => ok().encode(env),
            Err(failure) => (error(), failure).encode(env),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Self {
            code: code_name(error.code_name()),
            message: error.to_string(),
            retryable: error.is_retryable(),
            fatal: false,
            topic: None,
            partition: None,
        };
        match error {
            Error::Kafka {
                call,
                code,
                topic,
                partition,
            } => {
                failure.message = format!("{call}: {code}");
                (failure.topic, failure.partition) = (topic, partition);
            }
            _ => failure.code = "invalid_config".to_owned(),
        }
        failure
    }
}

fn stopped() -> Failure {
    Failure {
        code: "closed".to_owned(),
        message: "the mock cluster, or its client, is stopped".to_owned(),
        retryable: false,
        fatal: true,
        topic: None,
        partition: None,
    }
}

#[derive(NifTaggedEnum)]
#[rustler(decode)]
enum BrokerState {
    Up,
    Down,
    Rtt(u32),
}

impl From<BrokerState> for State {
    fn from(state: BrokerState) -> Self {
        match state {
            BrokerState::Up => Self::Up,
            BrokerState::Down => Self::Down,
            BrokerState::Rtt(delay) => Self::Rtt(ms(delay)),
        }
    }
}

#[derive(NifUnitEnum)]
#[rustler(decode)]
enum Step {
    Begin,
    Commit,
    Abort,
}

impl From<Step> for Transaction {
    fn from(step: Step) -> Self {
        match step {
            Step::Begin => Self::Begin,
            Step::Commit => Self::Commit,
            Step::Abort => Self::Abort,
        }
    }
}

type Headers<'a> = List<(&'a str, Option<Binary<'a>>)>;
type Row<'a> = (
    i32,
    Option<Binary<'a>>,
    Option<Binary<'a>>,
    Headers<'a>,
    Option<i64>,
);

fn record<'a>((partition, key, value, headers, timestamp): Row<'a>) -> Record<'a> {
    let bytes = |binary: Option<Binary<'a>>| binary.map(|binary| binary.as_slice());
    let header = |(key, value)| (key, bytes(value));
    Record {
        partition,
        key: bytes(key),
        value: bytes(value),
        headers: headers.0.into_iter().map(header).collect(),
        timestamp,
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_start(env: Env<'_>, brokers: u16) -> Term<'_> {
    match TestCluster::new(brokers) {
        Ok(cluster) => {
            let bootstrap = cluster.bootstrap().to_owned();
            let cluster = ResourceArc::new(Cluster(Held::new(cluster)));
            (ok(), cluster, bootstrap).encode(env)
        }
        Err(reason) => (error(), Failure::from(reason)).encode(env),
    }
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_stop(cluster: ResourceArc<Cluster>) -> Done {
    drop(cluster.0.take());
    Done(Ok(()))
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_topic(cluster: ResourceArc<Cluster>, name: &str, partitions: i32) -> Done {
    Done(cluster.0.with(|it| it.create_topic(name, partitions)))
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_broker(cluster: ResourceArc<Cluster>, id: i32, state: Derived<BrokerState>) -> Done {
    Done(cluster.0.with(|it| it.broker(id, state.0.into())))
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_topic_error(cluster: ResourceArc<Cluster>, topic: &str, code: i32) -> Done {
    Done(cluster.0.with(|it| it.topic_error(topic, code)))
}

#[rustler::nif(schedule = "DirtyIo")]
fn mock_request_errors(cluster: ResourceArc<Cluster>, api_key: i16, codes: List<i32>) -> Done {
    Done(cluster.0.with(|it| it.request_errors(api_key, &codes.0)))
}

/// `[{name, code}]`, by the names that errors have as their code.
#[rustler::nif]
fn mock_error_codes() -> Vec<(String, i32)> {
    let named = |(name, code)| (code_name(name), code);
    codes().into_iter().map(named).collect()
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_start(properties: List<(String, String)>) -> Result<ResourceArc<Client>, Failure> {
    let client = TestClient::new(&properties.0)?;
    Ok(ResourceArc::new(Client(Held::new(client))))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_stop(client: ResourceArc<Client>) -> Done {
    drop(client.0.take());
    Done(Ok(()))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_create_topic(
    client: ResourceArc<Client>,
    name: &str,
    partitions: i32,
    replication: i32,
    properties: List<(&str, &str)>,
    timeout: u32,
) -> Done {
    let create = |it: &TestClient| {
        it.create_topic(name, partitions, replication, &properties.0, ms(timeout))
    };
    Done(client.0.with(create))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_delete_topic(client: ResourceArc<Client>, name: &str, timeout: u32) -> Done {
    Done(client.0.with(|it| it.delete_topic(name, ms(timeout))))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_add_partitions(
    client: ResourceArc<Client>,
    name: &str,
    new_total: usize,
    timeout: u32,
) -> Done {
    let add = |it: &TestClient| it.add_partitions(name, new_total, ms(timeout));
    Done(client.0.with(add))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_delete_records(
    client: ResourceArc<Client>,
    topic: &str,
    partition: i32,
    below: i64,
    timeout: u32,
) -> Done {
    let delete = |it: &TestClient| it.delete_records(topic, partition, below, ms(timeout));
    Done(client.0.with(delete))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_transaction(client: ResourceArc<Client>, step: Derived<Step>, timeout: u32) -> Done {
    let transaction = |it: &TestClient| it.transaction(step.0.into(), ms(timeout));
    Done(client.0.with(transaction))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_produce(
    client: ResourceArc<Client>,
    topic: &str,
    rows: List<Row<'_>>,
    timeout: u32,
) -> Result<Vec<i64>, Failure> {
    let records: Vec<_> = rows.0.into_iter().map(record).collect();
    let produce = |it: &TestClient| it.produce(topic, &records, ms(timeout));
    client.0.with(produce)
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_committed(
    client: ResourceArc<Client>,
    group: &str,
    partitions: List<(&str, i32)>,
    timeout: u32,
) -> Result<Vec<(String, i32, Option<i64>)>, Failure> {
    let committed = |it: &TestClient| it.committed(group, &partitions.0, ms(timeout));
    client.0.with(committed)
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_commit(
    client: ResourceArc<Client>,
    group: &str,
    offsets: List<(&str, i32, i64)>,
    metadata: &str,
    timeout: u32,
) -> Done {
    let commit = |it: &TestClient| it.commit(group, &offsets.0, metadata, ms(timeout));
    Done(client.0.with(commit))
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_watermarks(
    client: ResourceArc<Client>,
    topic: &str,
    partition: i32,
    timeout: u32,
) -> Result<(i64, i64), Failure> {
    let watermarks = |it: &TestClient| it.watermarks(topic, partition, ms(timeout));
    client.0.with(watermarks)
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_offsets(
    client: ResourceArc<Client>,
    topic: &str,
    partition: i32,
    timeout: u32,
) -> Result<Vec<i64>, Failure> {
    let offsets = |it: &TestClient| it.offsets(topic, partition, ms(timeout));
    client.0.with(offsets)
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_partitions(
    client: ResourceArc<Client>,
    topic: &str,
    timeout: u32,
) -> Result<usize, Failure> {
    client.0.with(|it| it.partitions(topic, ms(timeout)))
}

type PartitionRow = (i32, Option<i32>, Vec<i32>, Vec<i32>);

fn partition_row(partition: Partition) -> PartitionRow {
    (
        partition.id,
        partition.leader,
        partition.replicas,
        partition.in_sync,
    )
}

#[rustler::nif(schedule = "DirtyIo")]
fn client_topics(
    client: ResourceArc<Client>,
    timeout: u32,
) -> Result<Vec<(String, Vec<PartitionRow>)>, Failure> {
    let topics = client.0.with(|it| it.topics(ms(timeout)))?;
    let rows = |partitions: Vec<_>| partitions.into_iter().map(partition_row).collect();
    Ok(topics
        .into_iter()
        .map(|(name, partitions)| (name, rows(partitions)))
        .collect())
}

/// Id, host and encoded assignment of each member.
#[rustler::nif(schedule = "DirtyIo")]
fn client_members<'a>(
    env: Env<'a>,
    client: ResourceArc<Client>,
    group: &str,
    timeout: u32,
) -> Result<Vec<(String, String, Binary<'a>)>, Failure> {
    let members = client.0.with(|it| it.members(group, ms(timeout)))?;
    let row = |it: Member| {
        let assignment = NewBinary::from_slice(env, &it.assignment);
        (it.id, it.host, assignment.into())
    };
    Ok(members.into_iter().map(row).collect())
}
