//! What blocks, as the service thread asks for it: looks at topics, start positions and seeks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{unbounded, Receiver, Sender};

use crate::client::Client;
use crate::command::Command;
use crate::config::Topic;
use crate::describe::TopicId;
use crate::error::Error;
use crate::positions::{Position, Wanted};
use crate::seeks::Seeks;
use crate::subscription::Update;
use crate::worker;

/// Something to look up or to do.
pub(crate) enum Job {
    /// Where to start in newly assigned partitions. Tried until it succeeds or is superseded.
    Start {
        rebalance: u64,
        partitions: Vec<Wanted>,
    },
    /// Where a partition goes on whose position does not exist, or is of another topic.
    Reset {
        slot: u32,
        epoch: u32,
        partition: Wanted,
        /// Whether it was the position of records to be delivered again.
        again: bool,
    },
    /// Moves the fetch position of a partition.
    Seek {
        slot: u32,
        epoch: u32,
        topic: String,
        partition: i32,
        offset: i64,
    },
    /// Finds the offsets that seeks go to.
    Resolve(Seeks),
    /// Gets to know topics that the member is to be subscribed to.
    Meet(Update),
    /// The topics that the member is subscribed to from now on.
    Topics(Vec<Topic>),
}

/// What a job led to.
pub(crate) enum Answer {
    Start {
        rebalance: u64,
        positions: Vec<Position>,
    },
    Reset {
        slot: u32,
        epoch: u32,
        result: Result<Position, Error>,
    },
    /// The position that fetching goes on at.
    Sought {
        slot: u32,
        epoch: u32,
        result: Result<i64, Error>,
    },
    /// An offset for each of the targets.
    Resolved(Seeks, Result<Vec<i64>, Error>),
    /// Whether librdkafka knows them now.
    Met(Update, Result<(), Error>),
    /// The ids that topics have now.
    Topics(HashMap<String, TopicId>),
    /// A look-up failed and is tried again.
    Trouble(Error),
}

/// The service thread's end.
pub(crate) struct Lookup {
    jobs: Sender<Job>,
    current_rebalance: Arc<AtomicU64>,
}

/// The other end.
pub(crate) struct Desk {
    pub(crate) jobs: Receiver<Job>,
    pub(crate) answers: Sender<Command>,
    /// The rebalance whose start positions are still wanted.
    pub(crate) current_rebalance: Arc<AtomicU64>,
    /// Between two looks at the topics; `None` for one look only.
    pub(crate) interval: Option<Duration>,
}

impl Lookup {
    /// Starts the thread. It looks at the topics at once, and again after each interval.
    pub(crate) fn start(
        client: Arc<Client>,
        topics: Vec<Topic>,
        interval: Option<Duration>,
        answers: Sender<Command>,
    ) -> std::io::Result<Lookup> {
        // A job that found no room would leave its partition held for good: there are as many at
        // most as there are partitions.
        let (jobs, todo) = unbounded();
        let current_rebalance = Arc::new(AtomicU64::new(0));
        let desk = Desk {
            jobs: todo,
            answers,
            current_rebalance: Arc::clone(&current_rebalance),
            interval,
        };
        worker::start(client, topics, desk)?;
        Ok(Lookup {
            jobs,
            current_rebalance,
        })
    }

    /// Gives up looking for the start positions of every rebalance but this one.
    pub(crate) fn supersede(&self, rebalance: u64) {
        self.current_rebalance.store(rebalance, Ordering::Release);
    }

    /// Queues a job; never blocks the service thread.
    pub(crate) fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }
}
