//! Jobs that wait until a test has them done, well or not.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use crate::client::Client;
use crate::command::Command;
use crate::config::Topic;
use crate::failure::refusal;
use crate::lookup::{Answer, Desk, Job};
use crate::positions::{Position, Wanted};
use crate::seeks::{SeekTo, Target};

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
            Job::Resolve(seeks) => {
                let offsets = if well {
                    Ok(self.resolve(&seeks.targets))
                } else {
                    Err(refusal())
                };
                Answer::Resolved(seeks, offsets)
            }
            Job::Meet(update) => {
                let met = if well { Ok(()) } else { Err(refusal()) };
                Answer::Met(update, met)
            }
            Job::Topics(_) => return true,
        };
        let _ = desk.answers.send(Command::Answer(answer));
        true
    }

    /// What there is of an offset that is asked for.
    fn resolve(&self, targets: &[Target]) -> Vec<i64> {
        let cluster = self.look();
        let offset = |target: &Target| {
            let log = cluster.at(target.partition);
            match target.to {
                SeekTo::Offset(offset) => offset.clamp(log.start, log.end),
                SeekTo::Beginning => log.start,
                SeekTo::End | SeekTo::Timestamp(_) => log.end,
            }
        };
        targets.iter().map(offset).collect()
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
