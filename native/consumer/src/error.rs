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
    /// There is no such lane.
    #[error("lane {lane} does not exist: lanes are 0..{lanes}")]
    Lane {
        /// The lane asked for.
        lane: usize,
        /// How many there are.
        lanes: usize,
    },
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
    }

    /// Whether the member cannot go on.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Error::Kafka { fatal: true, .. } | Error::Closed | Error::Create { .. }
        )
    }
}
