//! Jobs that wait until a test has them done, well or not.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use crate::client::Client;
use crate::config::Topic;
use crate::failure::refusal;
use crate::lookup::{Answer, Desk, Job};
use crate::positions::{Position, Wanted};
use crate::service::Command;

pub(crate) fn start(client: Arc<Client>, _: Vec<Topic>, desk: Desk) -> std::io::Result<()> {
    *client.desk.lock() = Some(desk);
    Ok(())
}

impl Client {
    /// Does the next job; whether there was one.
    pub(crate) fn work(&self, well: bool) -> bool {
        let desk = self.desk.lock();
        let Some(desk) = &*desk else { return false };
        let Ok(job) = desk.jobs.try_recv() else {
            return false;
        };
        let answer = match job {
            Job::Start {
                rebalance,
                partitions,
            } => {
                // One that fails is tried again until it is superseded: by this test at once.
                if desk.current_rebalance.load(Ordering::Acquire) != rebalance {
                    return true;
                }
                if !well {
                    let _ = desk
                        .answers
                        .send(Command::Answer(Answer::Trouble(refusal())));
                }
                Answer::Start {
                    rebalance,
                    positions: self.start_positions(partitions),
                }
            }
            Job::Reset {
                slot,
                epoch,
                partition,
                ..
            } => Answer::Reset {
                slot,
                epoch,
                result: if well {
                    Ok(self.start_position(partition, None))
                } else {
                    Err(refusal())
                },
            },
            Job::Seek {
                slot,
                epoch,
                partition,
                offset,
                ..
            } => Answer::Sought {
                slot,
                epoch,
                result: if well {
                    self.seek(partition, offset)
                } else {
                    Err(refusal())
                },
            },
        };
        let _ = desk.answers.send(Command::Answer(answer));
        true
    }

    fn start_positions(&self, partitions: Vec<Wanted>) -> Vec<Position> {
        let start = |wanted: Wanted| {
            let committed = self.committed_offset(wanted.1);
            self.start_position(wanted, committed)
        };
        partitions.into_iter().map(start).collect()
    }

    fn start_position(&self, (topic, partition, _): Wanted, committed: Option<i64>) -> Position {
        Position {
            start: committed.unwrap_or_else(|| self.log_start(partition)),
            committed,
            topic_id: None,
            topic,
            partition,
        }
    }
}
