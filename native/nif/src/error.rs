//! Errors as the BEAM sees them.

use consumer::{Error, PropertyFault};
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// `{code, message, retryable?, fatal?, topic | nil, partition | nil}`.
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
    pub(crate) fatal: bool,
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i32>,
}

impl Encoder for Failure {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        // The codes are librdkafka's and ours: a bounded set.
        let code = Atom::from_str(env, &self.code).unwrap_or_else(|_| atoms::error());
        (
            code,
            &self.message,
            self.retryable,
            self.fatal,
            &self.topic,
            self.partition,
        )
            .encode(env)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        let (topic, partition) = match error {
            Error::Kafka {
                topic, partition, ..
            }
            | Error::StaleEpoch { topic, partition }
            | Error::Claimed { topic, partition } => (topic.clone(), *partition),
            Error::NotAssigned { topic, partition }
            | Error::Paused {
                topic, partition, ..
            } => (Some(topic.clone()), *partition),
            Error::NotDelivered {
                topic, partition, ..
            } => (Some(topic.clone()), Some(*partition)),
            _ => (None, None),
        };
        Failure {
            code: code(error),
            message: error.to_string(),
            retryable: error.is_retryable(),
            fatal: error.is_fatal(),
            topic,
            partition,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::from(&error)
    }
}

fn code(error: &Error) -> String {
    match error {
        Error::Kafka { code, .. } => code_name(code.name()),
        Error::Closed => "closed".into(),
        Error::Busy => "timed_out".into(),
        Error::StaleEpoch { .. } => "stale_epoch".into(),
        Error::NotAssigned { .. } => "not_assigned".into(),
        Error::NotDelivered { .. } => "not_delivered".into(),
        Error::Rewind => "rewind".into(),
        Error::Claimed { .. } => "claimed".into(),
        Error::Lane { .. } => "invalid_lane".into(),
        Error::Paused { .. } => "paused".into(),
        _ => "invalid_config".into(),
    }
}

/// librdkafka's name of a code, without the underscore of those that clients raise themselves.
pub(crate) fn code_name(name: &str) -> String {
    name.trim_start_matches('_').to_ascii_lowercase()
}

/// `{property, :unknown | :invalid, message}`.
pub(crate) struct PropertyFailure(pub(crate) Error);

impl Encoder for PropertyFailure {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match &self.0 {
            Error::Property {
                property,
                fault,
                message,
            } => {
                let fault = match fault {
                    PropertyFault::Unknown => atoms::unknown(),
                    PropertyFault::Invalid => atoms::invalid(),
                };
                (property, fault, message).encode(env)
            }
            other => Failure::from(other).encode(env),
        }
    }
}
