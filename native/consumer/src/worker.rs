//! The thread that does what blocks.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::client::Client;
use crate::command::Command;
use crate::config::Topic;
use crate::error::Error;
use crate::lookup::{Answer, Desk, Job};
use crate::positions::{Positions, Wanted};

struct Worker {
    positions: Positions,
    desk: Desk,
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

/// Starts the thread; it ends when nobody can send it jobs any more.
pub(crate) fn start(client: Arc<Client>, topics: Vec<Topic>, desk: Desk) -> std::io::Result<()> {
    let worker = Worker {
        positions: Positions::new(client, topics),
        desk,
    };
    thread::Builder::new()
        .name("kafka-lookup".into())
        .spawn(move || worker.run())?;
    Ok(())
}

impl Worker {
    fn run(mut self) {
        let mut next_look = Some(Instant::now());
        loop {
            let job = match next_look {
                Some(at) => self.desk.jobs.recv_deadline(at),
                None => self
                    .desk
                    .jobs
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
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
                let _ = self.desk.answers.send(Command::Answer(answer));
            }
        }
    }

    /// What topics there are, and when to look again. Of brokers that are away librdkafka tells.
    fn look(&mut self) -> (Option<Answer>, Option<Duration>) {
        match self.positions.look() {
            Ok(ids) => (Some(Answer::Topics(ids)), self.desk.interval),
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
            Job::Resolve(seeks) => {
                let offsets = self.positions.resolve(&seeks.targets);
                Some(Answer::Resolved(seeks, offsets))
            }
            Job::Meet(update) => {
                let met = self.positions.meet(&update.added);
                Some(Answer::Met(update, met))
            }
            Job::Topics(topics) => {
                self.positions.set_topics(topics);
                // What is there now is not new to the member when it is assigned.
                self.look().0
            }
        }
    }

    /// Looks until it has found every start position, or until another rebalance began.
    fn start(&mut self, rebalance: u64, partitions: &[Wanted]) -> Option<Answer> {
        let mut pause = FIRST_PAUSE;
        while self.desk.current_rebalance.load(Ordering::Acquire) == rebalance {
            match self.positions.start(partitions) {
                Ok(positions) => {
                    return Some(Answer::Start {
                        rebalance,
                        positions,
                    })
                }
                Err(error) => {
                    let _ = self
                        .desk
                        .answers
                        .send(Command::Answer(Answer::Trouble(error)));
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        None
    }
}
