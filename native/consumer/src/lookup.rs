//! What blocks, on a thread of its own: looks at topics, start positions and seeks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{unbounded, Receiver, RecvTimeoutError, Sender};

use crate::client::Client;
use crate::config::Topic;
use crate::describe::TopicId;
use crate::error::Error;
use crate::positions::{Position, Positions, Wanted};
use crate::service::Command;

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

struct Worker {
    positions: Positions,
    answers: Sender<Command>,
    current_rebalance: Arc<AtomicU64>,
    interval: Option<Duration>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps whoever tries again at once from trying too often.
fn paused<T>(result: Result<T, Error>) -> Result<T, Error> {
    if result.is_err() {
        thread::sleep(FIRST_PAUSE);
    }
    result
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
        let worker = Worker {
            positions: Positions::new(client, topics),
            answers,
            current_rebalance: Arc::clone(&current_rebalance),
            interval,
        };
        thread::Builder::new()
            .name("kafka-lookup".into())
            .spawn(move || worker.run(&todo))?;
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

impl Worker {
    fn run(mut self, todo: &Receiver<Job>) {
        let mut next_look = Some(Instant::now());
        loop {
            let job = match next_look {
                Some(at) => todo.recv_deadline(at),
                None => todo.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let answer = match job {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {
                    let (answer, pause) = self.look();
                    next_look = pause.map(|pause| Instant::now() + pause);
                    answer
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some(answer) = answer {
                let _ = self.answers.send(Command::Answer(answer));
            }
        }
    }

    /// What topics there are, and when to look again. Of brokers that are away librdkafka tells.
    fn look(&mut self) -> (Option<Answer>, Option<Duration>) {
        match self.positions.look() {
            Ok(ids) => (Some(Answer::Topics(ids)), self.interval),
            Err(_) => (None, Some(LONGEST_PAUSE)),
        }
    }

    fn work(&mut self, job: Job) -> Option<Answer> {
        match job {
            Job::Start {
                rebalance,
                partitions,
            } => self.start(rebalance, &partitions),
            Job::Reset {
                slot,
                epoch,
                partition,
                again,
            } => Some(Answer::Reset {
                slot,
                epoch,
                result: paused(self.positions.reset(&partition, again)),
            }),
            Job::Seek {
                slot,
                epoch,
                topic,
                partition,
                offset,
            } => Some(Answer::Sought {
                slot,
                epoch,
                result: paused(self.positions.seek(&topic, partition, offset)),
            }),
        }
    }

    /// Looks until it has found every start position, or until another rebalance began.
    fn start(&mut self, rebalance: u64, partitions: &[Wanted]) -> Option<Answer> {
        let mut pause = FIRST_PAUSE;
        while self.current_rebalance.load(Ordering::Acquire) == rebalance {
            match self.positions.start(partitions) {
                Ok(positions) => {
                    return Some(Answer::Start {
                        rebalance,
                        positions,
                    })
                }
                Err(error) => {
                    let _ = self.answers.send(Command::Answer(Answer::Trouble(error)));
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        None
    }
}
