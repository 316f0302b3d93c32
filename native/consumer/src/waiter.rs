//! Who waits for the broker's answer to an explicit commit.

use std::collections::HashMap;
use std::time::Instant;

use delivery::Asked;
use rdkafka::types::RDKafkaRespErr;

use crate::code::Code;
use crate::error::Error;
use crate::event::Offset;
use crate::partition::Partition;
use crate::shared::Shared;

/// What is called with the outcome of an explicit commit, on a thread of this crate.
pub type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What must be committed for a commit to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) slot: u32,
    pub(crate) asked: Asked,
}

/// Somebody who is answered once, whatever happens.
pub(crate) struct Waiter {
    goals: Vec<Goal>,
    pub(crate) deadline: Instant,
    answer: Option<Answer>,
}

impl Waiter {
    pub(crate) fn new(goals: Vec<Goal>, deadline: Instant, answer: Answer) -> Waiter {
        Waiter {
            goals,
            deadline,
            answer: Some(answer),
        }
    }

    /// Lets go without an answer: the caller has one.
    pub(crate) fn cancel(mut self) {
        self.answer = None;
    }

    fn answer(&mut self, result: Result<(), Error>) {
        if let Some(answer) = self.answer.take() {
            answer(result);
        }
    }

    /// Answers as soon as there is something to say; `false` until then. `failed` is what the
    /// broker has just refused.
    pub(crate) fn settle(
        &mut self,
        shared: &Shared,
        failed: &HashMap<Code, Vec<Offset>>,
        now: Instant,
    ) -> bool {
        let mut done = true;
        for goal in &self.goals {
            let Some(partition) = shared.partition(goal.slot) else {
                continue;
            };
            match goal.state(&partition, failed) {
                Ok(committed) => done &= committed,
                Err(error) => {
                    self.answer(Err(error));
                    return true;
                }
            }
        }
        if done {
            self.answer(Ok(()));
        } else if now >= self.deadline {
            self.answer(
                Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT)
                    .map_or(Err(Error::Busy), |code| Err(Error::kafka("commit", code))),
            );
        }
        self.answer.is_none()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.answer(Err(Error::Closed));
    }
}

impl Goal {
    fn state(
        self,
        partition: &Partition,
        failed: &HashMap<Code, Vec<Offset>>,
    ) -> Result<bool, Error> {
        let committed = partition.lock().cursor.has_committed(self.asked);
        match committed {
            Err(_) => Err(Error::stale(&partition.topic, partition.partition)),
            Ok(true) => Ok(true),
            Ok(false) => match refused(partition, failed) {
                Some(code) => {
                    Err(Error::kafka("commit", code).at(&partition.topic, partition.partition))
                }
                None => Ok(false),
            },
        }
    }
}

/// Why a partition's commit will not succeed, if it was refused for good. All else is tried again, as
/// one that met a rebalance in which the partition stays.
fn refused(partition: &Partition, failed: &HashMap<Code, Vec<Offset>>) -> Option<Code> {
    let is_it = |at: &Offset| at.partition == partition.partition && *at.topic == *partition.topic;
    failed
        .iter()
        .find(|(code, offsets)| !code.is_retryable() && offsets.iter().any(is_it))
        .map(|(code, _)| *code)
}
