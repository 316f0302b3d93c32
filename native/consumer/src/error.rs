//! What can go wrong, typed.

use crate::code::Code;
use crate::config::PropertyFault;

/// Every error of this crate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A librdkafka property that is unknown, or whose value is impossible.
    #[error("property {property:?}: {message}")]
    Property {
        /// The property's name.
        property: String,
        /// What is wrong with it.
        fault: PropertyFault,
        /// librdkafka's sentence; it may name what the property is an alias of, or nothing.
        message: String,
    },
    /// librdkafka refused the configuration as a whole.
    #[error("the consumer cannot be created: {message}")]
    Create {
        /// librdkafka's sentence.
        message: String,
    },
    /// A call to librdkafka, or the broker behind it, failed.
    #[error("{message}")]
    Kafka {
        /// librdkafka's code.
        code: Code,
        /// What was tried, and librdkafka's sentence.
        message: String,
        /// Whether the client instance is unusable from now on.
        fatal: bool,
        /// The topic concerned, where there is one.
        topic: Option<String>,
        /// The partition concerned, where there is one.
        partition: Option<i32>,
    },
    /// The consumer was closed.
    #[error("the consumer is closed")]
    Closed,
    /// The service thread did not answer in time.
    #[error("the consumer did not answer in time")]
    Busy,
    /// Not a partition that is assigned and stays so, nor a topic that is subscribed to.
    #[error("{}", if partition.is_some() { "not assigned to this member" } else { "not subscribed to" })]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition; `None` for the topic as a whole.
        partition: Option<i32>,
    },
    /// Paused with something larger, which is to be resumed.
    #[error("paused with {}", if *all { "all that the member has" } else { "its topic" })]
    Paused {
        /// The topic.
        topic: String,
        /// The partition; `None` for the topic as a whole.
        partition: Option<i32>,
        /// Whether that is all; the partition's topic else.
        all: bool,
    },
    /// An explicit commit is of an epoch that has ended.
    #[error("the record was delivered before its partition was revoked, lost or sought")]
    StaleEpoch {
        /// The topic, where it is known.
        topic: Option<String>,
        /// The partition, where it is known.
        partition: Option<i32>,
    },
    /// An explicit commit would skip records.
    #[error("offset {offset} of {topic} [{partition}] cannot be committed: records were delivered up to {end} only")]
    NotDelivered {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was to be committed.
        offset: i64,
        /// The offset after the last delivered record.
        end: i64,
    },
    /// An explicit commit is to go back, where what is acked is committed all the same.
    #[error("a member that commits what is acknowledged would undo a commit that goes back")]
    Rewind,
    /// Somebody has claimed partitions that were to be claimed.
    #[error("{} claimed already", claimed(.topic.as_deref(), *.partition))]
    Claimed {
        /// The topic that is claimed, if it is not all of them.
        topic: Option<String>,
        /// The partition that was to be claimed, if it was one.
        partition: Option<i32>,
    },
    /// There is no such lane.
    #[error("lane {lane} does not exist: lanes are 0..{lanes}")]
    Lane {
        /// The lane asked for.
        lane: usize,
        /// How many there are.
        lanes: usize,
    },
}

fn claimed(topic: Option<&str>, partition: Option<i32>) -> String {
    match (topic, partition) {
        (Some(topic), Some(partition)) => format!("{topic} [{partition}] is"),
        (Some(topic), None) => format!("topic {topic} is, or a partition of it,"),
        (None, _) => "all topics are".to_owned(),
    }
}

impl Error {
    pub(crate) fn kafka(operation: &str, code: Code) -> Error {
        Error::Kafka {
            code,
            message: format!("{operation}: {}", code.describe()),
            fatal: false,
            topic: None,
            partition: None,
        }
    }

    pub(crate) fn stale(topic: &str, partition: i32) -> Error {
        Error::StaleEpoch {
            topic: Some(topic.to_owned()),
            partition: Some(partition),
        }
    }

    pub(crate) fn at(self, topic: &str, partition: i32) -> Error {
        match self {
            Error::Kafka {
                code,
                message,
                fatal,
                ..
            } => Error::Kafka {
                code,
                message: format!("{topic} [{partition}]: {message}"),
                fatal,
                topic: Some(topic.to_owned()),
                partition: Some(partition),
            },
            other => other,
        }
    }

    pub(crate) fn of_topic(self, name: &str) -> Error {
        match self {
            Error::Kafka {
                code,
                message,
                fatal,
                partition,
                ..
            } => Error::Kafka {
                code,
                message,
                fatal,
                topic: Some(name.to_owned()),
                partition,
            },
            other => other,
        }
    }

    /// librdkafka's code, where the error came from there.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Kafka { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later with nothing changed but time.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Kafka { code, fatal: false, .. } if code.is_retryable())
            || matches!(self, Error::Busy)
    }

    /// Whether the member cannot go on.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Error::Kafka { fatal: true, .. } | Error::Closed | Error::Create { .. }
        )
    }
}
