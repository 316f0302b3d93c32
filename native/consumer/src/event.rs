//! What a consumer tells its owner.

use std::time::Duration;

use crate::config::Topic;
use crate::error::Error;
use crate::paused::Paused;

/// Where wake-ups and events go. Both are called from threads of librdkafka or of this crate,
/// never from a caller of [`crate::Consumer`]; neither may block.
pub trait Sink: Send + Sync + 'static {
    /// There is something to pull on this lane.
    fn wake(&self, lane: usize);
    /// Something happened to the member.
    fn event(&self, event: Event);
}

/// A partition that was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch of this assignment.
    pub epoch: u32,
    /// The first offset that may be delivered.
    pub start: i64,
}

/// A partition that is or was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch that ends.
    pub epoch: u32,
    /// Records delivered and not acked at that time.
    pub unacked: u64,
}

/// A partition whose oldest unacked record has been the same for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch of its assignment.
    pub epoch: u32,
    /// The oldest record that is delivered and not acked.
    pub offset: i64,
    /// How many are.
    pub in_flight: u64,
    /// How long it has been the oldest one: that is how long nothing could be committed. Short of
    /// the truth by an eighth of [`crate::Config::unacked_timeout`] at most.
    pub age: Duration,
}

/// A partition whose unacked records are delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redelivered {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch of its assignment, which stays.
    pub epoch: u32,
    /// The first of the records.
    pub offset: i64,
    /// How many there are. Acks that come meanwhile spare theirs.
    pub count: u64,
}

/// A partition that goes on elsewhere at somebody's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch that begins with it.
    pub epoch: u32,
    /// The offset that would have been delivered next.
    pub from: i64,
    /// The offset that may be delivered next.
    pub to: i64,
    /// Records delivered and not acked, whose acks count no more.
    pub unacked: u64,
}

/// An offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What happened to the member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Partitions were assigned; their records can be pulled.
    Assigned(Vec<Assigned>),
    /// Partitions are about to be given back: nothing more of them is delivered, and what is in
    /// flight is waited for.
    Revoking(Vec<Revoked>),
    /// Partitions that were about to be given back stay, in their epoch; each starts where it goes on.
    Kept(Vec<Assigned>),
    /// Partitions were given back after a drain of this length.
    Revoked(Vec<Revoked>, Duration),
    /// Partitions were lost without a drain or a commit: somebody else may own them already.
    Lost(Vec<Revoked>),
    /// The broker confirmed these offsets, this long after they were sent.
    Committed(Vec<Offset>, Duration),
    /// The broker refused these offsets; they are tried again where that can help.
    CommitFailed(Error, Vec<Offset>),
    /// The oldest unacked record of these partitions has been the same for
    /// [`crate::Config::unacked_timeout`], or for one more of it since they were told last.
    Stalled(Vec<Stalled>),
    /// The unacked records of these partitions are delivered again.
    Redelivered(Vec<Redelivered>),
    /// The position of a partition was out of range, and was set by its policy.
    Reset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The position that did not exist.
        from: i64,
        /// The position taken instead.
        to: i64,
    },
    /// Something was paused; all that is paused now.
    Paused(Paused),
    /// Something was resumed; what is still paused.
    Resumed(Paused),
    /// Partitions go on where [`crate::Consumer::seek`] wanted.
    Sought(Vec<Sought>),
    /// The topics that the member is subscribed to from now on.
    Subscribed(Vec<Topic>),
    /// Something failed; a retryable one is being retried.
    Error(Error),
    /// A connection to a broker is up, or one that was up is down.
    Connection {
        /// Whether it is up.
        up: bool,
        /// The broker's id; `None` for one that is known by its address only, and for the connection
        /// to the coordinator, which is one of its own.
        broker: Option<i32>,
        /// Its host, or `GroupCoordinator`.
        host: String,
        /// Its port; 0 for the coordinator.
        port: i32,
    },
    /// librdkafka's statistics, as the JSON that it makes each `statistics.interval.ms`.
    Statistics(String),
    /// An OAUTHBEARER token is wanted: there is none yet, or it ends soon. The answer is
    /// [`crate::Consumer::authenticate`].
    TokenWanted,
    /// A line of librdkafka's log.
    Log {
        /// Syslog level, 0 (emergency) to 7 (debug).
        level: i32,
        /// librdkafka's facility, such as `FAIL`.
        facility: String,
        /// The line.
        message: String,
    },
    /// The member left its group, or the deadline for that passed. The last event.
    Closed(Result<(), Error>),
}
