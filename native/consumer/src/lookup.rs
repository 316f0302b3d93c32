//! What blocks, on a thread of its own: start positions and seeks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{unbounded, Receiver, Sender};

use crate::client::Client;
use crate::config::{ResetPolicy, Topic};
use crate::error::Error;
use crate::offsets::Offsets;
use crate::service::Command;

/// Something to look up or to do.
pub(crate) enum Job {
    /// Where to start in newly assigned partitions. Tried until it succeeds or is superseded.
    Start {
        rebalance: u64,
        partitions: Vec<(String, i32)>,
    },
    /// Where a partition goes on whose position does not exist.
    Reset {
        slot: u32,
        epoch: u32,
        topic: String,
        partition: i32,
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
        result: Result<i64, Error>,
    },
    /// The position that fetching goes on at.
    Sought {
        slot: u32,
        epoch: u32,
        result: Result<i64, Error>,
    },
    /// A look-up failed and is tried again.
    Trouble(Error),
}

/// Where a partition starts.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) start: i64,
    pub(crate) committed: Option<i64>,
}

/// The service thread's end.
pub(crate) struct Lookup {
    jobs: Sender<Job>,
    current_rebalance: Arc<AtomicU64>,
}

struct Worker {
    client: Arc<Client>,
    topics: Vec<Topic>,
    // How many partitions each topic had when this member first saw it.
    known: HashMap<String, usize>,
    answers: Sender<Command>,
    current_rebalance: Arc<AtomicU64>,
}

const TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

// ListOffsets' own names for the two ends of a partition.
const OLDEST: i64 = -2;
const END: i64 = -1;

/// Keeps whoever tries again at once from trying too often.
fn paused<T>(result: Result<T, Error>) -> Result<T, Error> {
    if result.is_err() {
        thread::sleep(FIRST_PAUSE);
    }
    result
}

impl Lookup {
    pub(crate) fn start(
        client: Arc<Client>,
        topics: Vec<Topic>,
        answers: Sender<Command>,
    ) -> std::io::Result<Lookup> {
        // A job that found no room would leave its partition held for good: there are as many at
        // most as there are partitions.
        let (jobs, todo) = unbounded();
        let current_rebalance = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            client,
            topics,
            known: HashMap::new(),
            answers,
            current_rebalance: Arc::clone(&current_rebalance),
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
        while let Ok(job) = todo.recv() {
            let answer = match job {
                Job::Start {
                    rebalance,
                    partitions,
                } => self.start(rebalance, &partitions),
                Job::Reset {
                    slot,
                    epoch,
                    topic,
                    partition,
                } => {
                    let found = self.by_policy(&topic, &[partition]);
                    let result = found.map(|found| found.first().map_or(0, |(_, offset)| *offset));
                    Some(Answer::Reset {
                        slot,
                        epoch,
                        result: paused(result),
                    })
                }
                Job::Seek {
                    slot,
                    epoch,
                    topic,
                    partition,
                    offset,
                } => {
                    let list = Offsets::new([(topic.as_str(), partition, offset)]);
                    let result = self.client.seek(&list, TIMEOUT).map(|()| offset);
                    Some(Answer::Sought {
                        slot,
                        epoch,
                        result: paused(result),
                    })
                }
            };
            if let Some(answer) = answer {
                let _ = self.answers.send(Command::Answer(answer));
            }
        }
    }

    /// Looks until it has found every start position, or until another rebalance began.
    fn start(&mut self, rebalance: u64, partitions: &[(String, i32)]) -> Option<Answer> {
        let mut pause = FIRST_PAUSE;
        while self.current_rebalance.load(Ordering::Acquire) == rebalance {
            match self.start_positions(partitions) {
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

    fn start_positions(&mut self, partitions: &[(String, i32)]) -> Result<Vec<Position>, Error> {
        let list = Offsets::new(
            partitions
                .iter()
                .map(|(topic, partition)| (topic.as_str(), *partition, 0)),
        );
        self.client.committed(&list, TIMEOUT)?;
        let mut positions = Vec::with_capacity(partitions.len());
        let mut missing: HashMap<String, Vec<i32>> = HashMap::new();
        for entry in list.entries() {
            match entry.error {
                Some(code) => {
                    return Err(Error::kafka("fetch of committed offsets", code)
                        .at(&entry.topic, entry.partition))
                }
                None if entry.offset >= 0 => positions.push(Position {
                    start: entry.offset,
                    committed: Some(entry.offset),
                    topic: entry.topic,
                    partition: entry.partition,
                }),
                None => missing
                    .entry(entry.topic)
                    .or_default()
                    .push(entry.partition),
            }
        }
        self.learn(partitions)?;
        for (topic, partitions) in missing {
            for (partition, start) in self.uncommitted(&topic, &partitions)? {
                positions.push(Position {
                    topic: topic.clone(),
                    partition,
                    start,
                    committed: None,
                });
            }
        }
        Ok(positions)
    }

    /// Remembers how many partitions a topic has when it is first seen.
    fn learn(&mut self, partitions: &[(String, i32)]) -> Result<(), Error> {
        if partitions
            .iter()
            .all(|(topic, _)| self.known.contains_key(topic))
        {
            return Ok(());
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for ((topic, _), _) in self.client.leaders(TIMEOUT)? {
            *counts.entry(topic).or_default() += 1;
        }
        for (topic, count) in counts {
            self.known.entry(topic).or_insert(count);
        }
        Ok(())
    }

    /// Start positions without a committed offset: by the topic's policy, but at the oldest record
    /// where the partition appeared while this member was running, as nobody has read it yet.
    fn uncommitted(&self, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Error> {
        let known = self.known.get(topic).copied().unwrap_or(usize::MAX);
        let (old, new): (Vec<i32>, Vec<i32>) =
            partitions.iter().partition(|p| (**p as usize) < known);
        let mut found = self.by_policy(topic, &old)?;
        found.extend(self.list(topic, &new, OLDEST)?);
        Ok(found)
    }

    fn by_policy(&self, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Error> {
        let policy = self
            .topics
            .iter()
            .find(|t| t.name == topic)
            .map_or(ResetPolicy::Earliest, |t| t.reset);
        match policy {
            ResetPolicy::Earliest => self.list(topic, partitions, OLDEST),
            ResetPolicy::Latest => self.list(topic, partitions, END),
            ResetPolicy::Timestamp(millis) => {
                let found = self.list(topic, partitions, millis)?;
                let (mut found, none): (Vec<_>, Vec<_>) =
                    found.into_iter().partition(|(_, offset)| *offset >= 0);
                let none: Vec<i32> = none.into_iter().map(|(partition, _)| partition).collect();
                found.extend(self.list(topic, &none, END)?);
                Ok(found)
            }
        }
    }

    fn list(&self, topic: &str, partitions: &[i32], at: i64) -> Result<Vec<(i32, i64)>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = Offsets::new(partitions.iter().map(|partition| (topic, *partition, at)));
        self.client.offsets_for_times(&list, TIMEOUT)?;
        list.entries()
            .into_iter()
            .map(|entry| match entry.error {
                Some(code) => {
                    Err(Error::kafka("list offsets", code).at(&entry.topic, entry.partition))
                }
                None => Ok((entry.partition, entry.offset)),
            })
            .collect()
    }
}
