//! What can go wrong, with librdkafka's code kept.

use std::ffi::CStr;
use std::{fmt, ptr, slice};

use rdkafka::bindings::{rd_kafka_err2name, rd_kafka_get_err_descs};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::{RDKafkaConfRes, RDKafkaRespErr};

/// Why a call on the mock cluster or the test client failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// librdkafka refused a property, or could not make a client from them.
    #[error("invalid configuration: {0}")]
    Config(String),
    /// A call was answered with an error code.
    #[error("{call}{}: {code}", Place(.topic.as_deref(), *.partition))]
    Kafka {
        /// The call, in the words of this crate: `produce`, `commit`, …
        call: &'static str,
        /// librdkafka's or the broker's code.
        code: RDKafkaErrorCode,
        /// The topic concerned, where there is one.
        topic: Option<String>,
        /// The partition concerned, where there is one.
        partition: Option<i32>,
    },
}

impl Error {
    /// librdkafka's code; `InvalidArgument` for a refused configuration.
    pub fn code(&self) -> RDKafkaErrorCode {
        match self {
            Self::Config(_) => RDKafkaErrorCode::InvalidArgument,
            Self::Kafka { code, .. } => *code,
        }
    }

    /// librdkafka's name of the code, such as `UNKNOWN_TOPIC_OR_PART` or `_TIMED_OUT`; the
    /// underscore marks what the client found itself.
    pub fn code_name(&self) -> &'static str {
        let code = RDKafkaRespErr::try_from(self.code() as i32)
            .unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
        // SAFETY: librdkafka has a static C string for every code.
        let name = unsafe { CStr::from_ptr(rd_kafka_err2name(code)) };
        name.to_str().unwrap_or("UNKNOWN")
    }

    /// Whether the same call may succeed later, with nothing changed but time.
    pub fn is_retryable(&self) -> bool {
        use RDKafkaErrorCode::*;
        matches!(
            self.code(),
            OperationTimedOut
                | MessageTimedOut
                | RequestTimedOut
                | BrokerTransportFailure
                | AllBrokersDown
                | LeaderNotAvailable
                | NotLeaderForPartition
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | NotCoordinator
                | QueueFull
        )
    }

    pub(crate) fn new(call: &'static str, code: RDKafkaErrorCode) -> Self {
        Self::Kafka {
            call,
            code,
            topic: None,
            partition: None,
        }
    }

    pub(crate) fn from_kafka(call: &'static str, error: KafkaError) -> Self {
        let code = match &error {
            // The value of an unknown property may be a secret under a misspelt name.
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, reason, ..) => {
                return Self::Config(reason.clone())
            }
            KafkaError::ClientConfig(_, reason, name, value) => {
                return Self::Config(format!("{name}={value}: {reason}"))
            }
            KafkaError::ClientCreation(reason) => return Self::Config(reason.clone()),
            KafkaError::AdminOp(code) => *code,
            KafkaError::AdminOpCreation(_) | KafkaError::Nul(_) => {
                RDKafkaErrorCode::InvalidArgument
            }
            other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
        };
        Self::new(call, code)
    }

    pub(crate) fn at(mut self, at_topic: &str, at_partition: Option<i32>) -> Self {
        if let Self::Kafka {
            topic, partition, ..
        } = &mut self
        {
            *topic = Some(at_topic.to_owned());
            // A negative one is a choice left to the partitioner, which made none.
            *partition = at_partition.filter(|number| *number >= 0);
        }
        self
    }
}

/// Every code that librdkafka has, with the name that `code_name` gives it.
pub fn codes() -> Vec<(&'static str, i32)> {
    let (mut descs, mut count) = (ptr::null(), 0);
    // SAFETY: both out parameters live through the call, which sets them to a static array.
    unsafe { rd_kafka_get_err_descs(&mut descs, &mut count) };
    if descs.is_null() {
        return Vec::new();
    }
    // SAFETY: the array is static, and has `count` entries.
    let descs = unsafe { slice::from_raw_parts(descs, count) };
    descs
        .iter()
        .filter(|desc| !desc.name.is_null())
        .filter_map(|desc| {
            // SAFETY: a name that is there is a static C string.
            let name = unsafe { CStr::from_ptr(desc.name) };
            Some((name.to_str().ok()?, desc.code as i32))
        })
        .collect()
}

struct Place<'a>(Option<&'a str>, Option<i32>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Some(topic), Some(partition)) => write!(f, " ({topic}/{partition})"),
            Self(Some(topic), None) => write!(f, " ({topic})"),
            _ => Ok(()),
        }
    }
}
