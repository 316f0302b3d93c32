//! Events of librdkafka, read.

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::code::Code;
use crate::error::Error;
use crate::offsets::{self, Entry};
use crate::text::text;

/// One event from a queue.
pub(crate) enum Polled {
    Assign(Vec<Entry>),
    Revoke(Vec<Entry>),
    Commit(Option<Code>, Vec<Entry>),
    /// A record that slipped past its lane's queue.
    Stray(String, i32),
    Error(Error),
    Log(i32, String, String),
    /// librdkafka's statistics, as JSON.
    Statistics(String),
    /// There is no token yet, or it ends soon.
    TokenWanted,
    Other,
}

/// Copies what an event says.
///
/// # Safety
/// `event` must be live.
pub(crate) unsafe fn read(event: *mut rd::rd_kafka_event_t) -> Polled {
    // SAFETY: the event is live, and each accessor is used on the event type it is for; lists
    // and strings belong to the event and are copied.
    unsafe {
        let code = Code::of(rd::rd_kafka_event_error(event));
        match rd::rd_kafka_event_type(event) {
            rd::RD_KAFKA_EVENT_REBALANCE => {
                let entries = offsets::read(rd::rd_kafka_event_topic_partition_list(event));
                if code.is_some_and(|c| c.is(RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS))
                {
                    Polled::Assign(entries)
                } else {
                    Polled::Revoke(entries)
                }
            }
            rd::RD_KAFKA_EVENT_OFFSET_COMMIT => Polled::Commit(
                code,
                offsets::read(rd::rd_kafka_event_topic_partition_list(event)),
            ),
            rd::RD_KAFKA_EVENT_FETCH => match rd::rd_kafka_event_message_next(event).as_ref() {
                Some(message) if !message.rkt.is_null() => {
                    let topic = CStr::from_ptr(rd::rd_kafka_topic_name(message.rkt));
                    Polled::Stray(topic.to_string_lossy().into_owned(), message.partition)
                }
                _ => Polled::Other,
            },
            rd::RD_KAFKA_EVENT_ERROR => match code {
                Some(code) => {
                    let message = text(rd::rd_kafka_event_error_string(event));
                    Polled::Error(Error::Kafka {
                        code,
                        topic: unavailable_topic(&message).map(str::to_owned),
                        message,
                        fatal: rd::rd_kafka_event_error_is_fatal(event) != 0,
                        partition: None,
                    })
                }
                None => Polled::Other,
            },
            rd::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                rd::rd_kafka_event_log(event, &mut facility, &mut line, &mut level);
                Polled::Log(level, text(facility), text(line))
            }
            rd::RD_KAFKA_EVENT_STATS => Polled::Statistics(text(rd::rd_kafka_event_stats(event))),
            rd::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => Polled::TokenWanted,
            _ => Polled::Other,
        }
    }
}

/// The topic that cannot be subscribed to: an event says so in its sentence only.
fn unavailable_topic(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("Subscribed topic not available: ")?;
    rest.split_once(": ").map(|(topic, _)| topic)
}
