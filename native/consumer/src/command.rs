//! What the service thread is asked to do, by callers and by the lookup's thread.

use crossbeam_channel::Sender;

use crate::consumer::Progress;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::lookup::Answer;
use crate::paused::Scope;
use crate::seeks::Seeks;
use crate::service::Service;
use crate::subscription::Update;
use crate::waiter::Waiter;

/// Where to say how it went.
pub(crate) type Reply = Sender<Result<(), Error>>;

pub(crate) enum Command {
    /// Deliver again what is unacked on a lane, whose process was replaced.
    RedeliverLane(usize),
    /// Deliver again what is unacked of some partitions.
    Redeliver(Vec<u32>),
    Progress(Sender<Vec<Progress>>),
    Authenticate(Credentials),
    Pause(Scope, Reply),
    Resume(Scope, Reply),
    Seek(Seeks),
    UpdateTopics(Update),
    /// Tell of the outcome of a commit.
    Await(Waiter),
    Answer(Answer),
}

impl Service {
    pub(crate) fn command(&mut self, command: Command) {
        match command {
            Command::RedeliverLane(lane) => self.redeliver_lane(lane),
            Command::Redeliver(slots) => slots.into_iter().for_each(|it| self.redeliver_slot(it)),
            Command::Progress(reply) => {
                let _ = reply.try_send(self.progress());
            }
            Command::Authenticate(credentials) => self.authenticate(credentials),
            Command::Pause(scope, reply) => {
                let _ = reply.try_send(self.pause_scope(&scope));
            }
            Command::Resume(scope, reply) => {
                let _ = reply.try_send(self.resume_scope(&scope));
            }
            Command::Seek(seeks) => self.begin_seeks(seeks),
            Command::UpdateTopics(update) => self.begin_update(update),
            Command::Await(waiter) => self.commits.wait(waiter),
            Command::Answer(answer) => self.answer(answer),
        }
    }

    fn authenticate(&self, credentials: Credentials) {
        if let Err(error) = self.client.authenticate(credentials) {
            self.report(error);
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Start {
                rebalance,
                positions,
            } => self.apply_assignment(rebalance, &positions),
            Answer::Reset {
                slot,
                epoch,
                result,
            } => self.apply_reset(slot, epoch, result),
            Answer::Sought {
                slot,
                epoch,
                result,
            } => self.apply_seek(slot, epoch, result),
            Answer::Resolved(seeks, offsets) => self.apply_seeks(&seeks, offsets),
            Answer::Met(update, met) => self.apply_update(update, met),
            Answer::Topics(ids) => self.see_topics(&ids),
            Answer::Trouble(error) => self.report(error),
        }
    }
}
