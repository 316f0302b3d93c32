//! librdkafka's mock cluster: brokers on localhost, inside this process.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaMockCluster, RDKafkaRespErr, RDKafkaType};
use rdkafka::ClientConfig;

use crate::Error;

/// What a mock broker is to do. `Down` drops its connections and takes no new ones; leaders do
/// not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Takes connections.
    Up,
    /// Refuses them.
    Down,
    /// Answers every request this much later.
    Rtt(Duration),
}

/// Mock brokers with ids from 1. Joins are answered at once (librdkafka's own default waits three
/// seconds), a client that may create topics by naming them gets four partitions, and a partition
/// keeps its last 5 MiB. Drop it last: a client of it may otherwise wait for its brokers.
///
/// librdkafka's mock has no topic administration, aborted transactions, offsets for times,
/// log-append time or access rights.
pub struct TestCluster {
    mock: *mut RDKafkaMockCluster,
    bootstrap: String,
    // The mock cluster's threads use this handle: it goes after `mock`, which `drop` destroys.
    _handle: Client<DefaultClientContext>,
}

// SAFETY: every call hands its command to the mock cluster's own thread through a locked queue or
// takes its lock; the pointer is freed only in `drop`, which has the only reference.
unsafe impl Send for TestCluster {}
// SAFETY: as above; no call changes anything in this struct.
unsafe impl Sync for TestCluster {}

// What they take is taken from this process: a port each, and memory for each partition.
const MOST_BROKERS: u16 = 100;
const MOST_PARTITIONS: i32 = 10_000;

impl TestCluster {
    /// Starts `brokers` brokers: 1 to 100.
    pub fn new(brokers: u16) -> Result<Self, Error> {
        const CALL: &str = "start mock cluster";
        if !(1..=MOST_BROKERS).contains(&brokers) {
            return Err(Error::new(CALL, RDKafkaErrorCode::InvalidArgument));
        }
        let handle = handle().map_err(|error| Error::from_kafka(CALL, error))?;
        // SAFETY: the handle is alive and outlives the cluster, as both are in one struct.
        let mock = unsafe { rd::rd_kafka_mock_cluster_new(handle.native_ptr(), brokers.into()) };
        if mock.is_null() {
            return Err(Error::new(CALL, RDKafkaErrorCode::Fail));
        }
        // SAFETY: the cluster is alive, and its bootstrap list is a C string set once.
        let bootstrap = unsafe { CStr::from_ptr(rd::rd_kafka_mock_cluster_bootstraps(mock)) };
        let cluster = Self {
            mock,
            bootstrap: bootstrap.to_string_lossy().into_owned(),
            _handle: handle,
        };
        cluster.initial_rebalance_delay(0);
        Ok(cluster)
    }

    /// The value for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic of 1 to 10 000 partitions, replicated on up to three brokers.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        const CALL: &str = "create mock topic";
        if !(1..=MOST_PARTITIONS).contains(&partitions) {
            return Err(Error::new(CALL, RDKafkaErrorCode::InvalidArgument).at(name, None));
        }
        let topic = c_string(CALL, name)?;
        let replicas = self.bootstrap.split(',').count().min(3) as i32;
        // SAFETY: the cluster is alive; the name is copied by the call.
        let code = unsafe {
            rd::rd_kafka_mock_topic_create(self.mock, topic.as_ptr(), partitions, replicas)
        };
        done(CALL, code).map_err(|error| error.at(name, None))
    }

    /// Puts broker `id` (-1: all of them) into `state`.
    pub fn broker(&self, id: i32, state: State) -> Result<(), Error> {
        // SAFETY: the cluster is alive; an unknown id is answered with an error.
        let code = unsafe {
            match state {
                State::Up => rd::rd_kafka_mock_broker_set_up(self.mock, id),
                State::Down => rd::rd_kafka_mock_broker_set_down(self.mock, id),
                State::Rtt(delay) => {
                    let ms = delay.as_millis().try_into().unwrap_or(i32::MAX);
                    rd::rd_kafka_mock_broker_set_rtt(self.mock, id, ms)
                }
            }
        };
        done("set mock broker", code)
    }

    /// Answers metadata requests for `topic` with `code` from now on; 0 ends it.
    pub fn topic_error(&self, topic: &str, code: i32) -> Result<(), Error> {
        const CALL: &str = "set mock topic error";
        let name = c_string(CALL, topic)?;
        let code = resp_err(CALL, code)?;
        // SAFETY: the cluster is alive; the name is copied by the call.
        unsafe { rd::rd_kafka_mock_topic_set_error(self.mock, name.as_ptr(), code) };
        Ok(())
    }

    /// Fails the next requests of kind `api_key` (Kafka's number: 0 Produce, 1 Fetch, …) with
    /// these codes, one each, whoever sends them; -195 (`_TRANSPORT`) disconnects instead.
    pub fn request_errors(&self, api_key: i16, codes: &[i32]) -> Result<(), Error> {
        const CALL: &str = "set mock request errors";
        let codes: Vec<_> = codes
            .iter()
            .map(|code| resp_err(CALL, *code))
            .collect::<Result<_, _>>()?;
        // SAFETY: the cluster is alive; the codes are copied by the call.
        unsafe {
            rd::rd_kafka_mock_push_request_errors_array(
                self.mock,
                api_key,
                codes.len(),
                codes.as_ptr(),
            );
        }
        Ok(())
    }

    /// How long a group's first join waits for other members, in milliseconds: 0 at the start.
    pub fn initial_rebalance_delay(&self, ms: i32) {
        // SAFETY: the cluster is alive; the call takes its lock.
        unsafe { rd::rd_kafka_mock_group_initial_rebalance_delay_ms(self.mock, ms) }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed only here, before the handle its threads use.
        unsafe { rd::rd_kafka_mock_cluster_destroy(self.mock) }
    }
}

/// A client without brokers: the mock cluster needs one for its threads and logs. It sends
/// nothing, so it takes none of the errors meant for others.
fn handle() -> Result<Client<DefaultClientContext>, rdkafka::error::KafkaError> {
    let config = ClientConfig::new();
    let native = config.create_native_config()?;
    Client::new(
        &config,
        native,
        RDKafkaType::RD_KAFKA_PRODUCER,
        DefaultClientContext,
    )
}

fn c_string(call: &'static str, text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::new(call, RDKafkaErrorCode::InvalidArgument))
}

fn resp_err(call: &'static str, code: i32) -> Result<RDKafkaRespErr, Error> {
    RDKafkaRespErr::try_from(code).map_err(|_| Error::new(call, RDKafkaErrorCode::InvalidArgument))
}

fn done(call: &'static str, code: RDKafkaRespErr) -> Result<(), Error> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(Error::new(call, code.into())),
    }
}
