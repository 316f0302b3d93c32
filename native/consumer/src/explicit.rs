//! Commits that the holder of a member asks for.

use std::sync::Arc;
use std::time::Duration;

use delivery::Refused;

use crate::clock::{self, after};
use crate::command::Command;
use crate::consumer::{refused, AckRange, Consumer};
use crate::error::Error;
use crate::partition::Partition;
use crate::waiter::{Answer, Goal, Waiter};

/// One partition's part in an explicit commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which partition.
    pub place: Place,
    /// The next offset to be read, or `None` for the one up to which everything is acked.
    pub offset: Option<i64>,
}

/// A partition, as an explicit commit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By slot and epoch, as its records are delivered.
    Slot(u32, u32),
    /// By topic and number: whichever its epoch is.
    Named(String, i32),
}

/// How an explicit commit is made.
#[derive(Default)]
pub struct Manner {
    /// Whether it may go below what is committed, where all commits are made by hand. By default
    /// that is left as it is.
    pub back: bool,
    /// Who wants to hear of its end, within what time.
    pub wait: Option<(Duration, Answer)>,
}

/// One partition's part in it, once that was checked.
struct Step {
    partition: Arc<Partition>,
    epoch: u32,
    offset: i64,
}

impl Consumer {
    /// Commits offsets without waiting for the commit interval, and acks what was delivered below
    /// them: a group that goes on there has handled it. `wake` as in [`Consumer::ack`].
    ///
    /// Nothing is committed where one of them is refused: [`Error::StaleEpoch`] for an epoch that
    /// has ended, [`Error::NotAssigned`], and [`Error::NotDelivered`] for an offset beyond the one
    /// that follows the last delivered record, [`Error::Rewind`]. What the brokers refuse for good is the answer's
    /// error; all else is tried again while the partition is assigned, also after the answer.
    pub fn commit(
        &self,
        wishes: &[Wish],
        manner: Manner,
        wake: impl FnMut(usize),
    ) -> Result<(), Error> {
        if manner.back && !self.shared.commit_by_hand {
            return Err(Error::Rewind);
        }
        let steps = wishes.iter().map(|wish| self.step(wish));
        let steps = steps.collect::<Result<Vec<Step>, Error>>()?;
        // Of what is committed as far as it is acked nothing is left to ack.
        let below: Vec<AckRange> = steps
            .iter()
            .zip(wishes)
            .filter(|(step, wish)| wish.offset.is_some() && step.offset > 0)
            .map(|(step, _)| (step.partition.slot, step.epoch, 0, step.offset - 1))
            .collect();
        let goals = ask(steps, manner.back)?;
        let awaited = self.wait_for(goals, manner.wait);
        // An ack may send what is asked for, whose end must not come before somebody waits for it.
        self.ack_ranges(below, wake);
        self.shared.want_commit_now();
        awaited
    }

    /// The same for every assigned partition, as far as it is acked.
    pub fn commit_all(&self, manner: Manner) -> Result<(), Error> {
        let steps = self.shared.all().into_iter().filter_map(|partition| {
            let (epoch, offset) = {
                let cursor = &partition.lock().cursor;
                (cursor.epoch(), cursor.wish(cursor.epoch(), None).ok()?)
            };
            Some(Step {
                partition,
                epoch,
                offset,
            })
        });
        let goals = ask(steps.collect(), false)?;
        let awaited = self.wait_for(goals, manner.wait);
        self.shared.want_commit_now();
        awaited
    }

    fn step(&self, wish: &Wish) -> Result<Step, Error> {
        let (partition, epoch) = self.find(&wish.place)?;
        let state = partition.lock();
        let epoch = epoch.unwrap_or(state.cursor.epoch());
        let offset = state.cursor.wish(epoch, wish.offset);
        let end = state.cursor.tracker().map_or(0, |it| it.end());
        drop(state);
        match offset {
            Ok(offset) => Ok(Step {
                partition,
                epoch,
                offset,
            }),
            Err(Refused::Undelivered) => Err(Error::NotDelivered {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset: wish.offset.unwrap_or_default(),
                end,
            }),
            Err(Refused::Stale) if matches!(wish.place, Place::Named(..)) => {
                Err(Error::NotAssigned {
                    topic: partition.topic.to_string(),
                    partition: Some(partition.partition),
                })
            }
            Err(Refused::Stale) => Err(Error::stale(&partition.topic, partition.partition)),
        }
    }

    fn find(&self, place: &Place) -> Result<(Arc<Partition>, Option<u32>), Error> {
        match place {
            Place::Slot(slot, epoch) => {
                let partition = self.shared.partition(*slot).ok_or(Error::StaleEpoch {
                    topic: None,
                    partition: None,
                })?;
                Ok((partition, Some(*epoch)))
            }
            Place::Named(topic, partition) => {
                let found = self.shared.find(topic, *partition);
                let found = found.ok_or_else(|| Error::NotAssigned {
                    topic: topic.clone(),
                    partition: Some(*partition),
                })?;
                Ok((found, None))
            }
        }
    }

    fn wait_for(&self, goals: Vec<Goal>, wait: Option<(Duration, Answer)>) -> Result<(), Error> {
        let Some((timeout, answer)) = wait else {
            return Ok(());
        };
        let waiter = Waiter::new(goals, after(clock::now(), timeout), answer);
        self.commands
            .try_send(Command::Await(waiter))
            .map_err(|why| {
                let error = refused(&why);
                if let Command::Await(waiter) = why.into_inner() {
                    waiter.cancel();
                }
                error
            })
    }
}

/// Asks for all of it, or, where one epoch has ended meanwhile, for nothing.
fn ask(mut steps: Vec<Step>, back: bool) -> Result<Vec<Goal>, Error> {
    // Whoever holds several states takes them in this order.
    steps.sort_by_key(|step| step.partition.slot);
    let mut held: Vec<_> = steps
        .chunk_by(|one, other| one.partition.slot == other.partition.slot)
        .filter_map(|of_one| Some((of_one.first()?.partition.lock(), of_one)))
        .collect();
    for (state, of_one) in &held {
        let current = |it: &&Step| it.epoch == state.cursor.epoch() && state.cursor.is_assigned();
        if let Some(stale) = of_one.iter().find(|it| !current(it)) {
            let partition = &stale.partition;
            return Err(Error::stale(&partition.topic, partition.partition));
        }
    }
    let mut goals = Vec::new();
    for (state, of_one) in &mut held {
        for step in *of_one {
            let asked = state.cursor.commit(step.epoch, step.offset, back);
            let slot = step.partition.slot;
            goals.extend(asked.map(|asked| Goal { slot, asked }));
        }
    }
    Ok(goals)
}
