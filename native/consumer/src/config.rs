//! What a consumer is made from.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::paused::Paused;

/// Everything a member is started with.
#[derive(Clone)]
pub struct Config {
    /// librdkafka properties by their own names; they override our defaults, and are overridden
    /// by what at-least-once delivery rests on.
    pub properties: Vec<(String, String)>,
    /// What to subscribe to.
    pub topics: Vec<Topic>,
    /// How many lanes share the partitions; with 0 they are claimed, see [`crate::Consumer::claim`].
    pub lanes: usize,
    /// Pause between two commits; zero commits as soon as a prefix is complete.
    pub commit_interval: Duration,
    /// How many acks lead to a commit before the pause is over; `None` for no number.
    pub commit_threshold: Option<u64>,
    /// Whether nothing is committed but what [`crate::Consumer::commit`] is asked for: neither what
    /// is acked, nor a start position, nor at the end.
    pub commit_by_hand: bool,
    /// How long a revoke waits for records in flight.
    pub drain_timeout: Duration,
    /// Records of one partition that may be delivered and not acked.
    pub max_in_flight: u64,
    /// Bytes that may be fetched and not delivered, over all partitions.
    pub max_buffered_bytes: u64,
    /// How many records of a partition a message may carry; `None` for one, and messages that are
    /// records.
    pub chunk_size: Option<NonZeroUsize>,
    /// How long a partition's oldest unacked record may stay the same before
    /// [`crate::Event::Stalled`] tells of it; `None` for ever.
    pub unacked_timeout: Option<Duration>,
    /// What is paused from the beginning, as it was in a member before this one.
    pub paused: Paused,
}

/// The values may be secrets, so only the properties' names are shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .properties
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("Config")
            .field("properties", &names)
            .field("topics", &self.topics)
            .field("lanes", &self.lanes)
            .field("commit_interval", &self.commit_interval)
            .field("commit_threshold", &self.commit_threshold)
            .field("commit_by_hand", &self.commit_by_hand)
            .field("drain_timeout", &self.drain_timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_buffered_bytes", &self.max_buffered_bytes)
            .field("chunk_size", &self.chunk_size)
            .field("unacked_timeout", &self.unacked_timeout)
            .field("paused", &self.paused)
            .finish()
    }
}

/// A topic and where to start in it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Where to start without a valid committed offset.
    pub reset: ResetPolicy,
}

/// Where to start in a partition that has no valid committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetPolicy {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At the first record at or after this time, in milliseconds since the epoch; after the
    /// newest record when there is none.
    Timestamp(i64),
}

/// What is wrong with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyFault {
    /// librdkafka knows no such property.
    Unknown,
    /// The property does not take that value.
    Invalid,
}
