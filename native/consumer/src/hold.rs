//! Pausing and resuming at the wish of whoever operates the member. librdkafka is not told: what was
//! prefetched stays in the lane's queue, or is parked when it is met there.

use crate::command::Command;
use crate::consumer::{Consumer, ANSWER_TIMEOUT};
use crate::error::Error;
use crate::event::Event;
use crate::partition::{Flow, Partition};
use crate::paused::{Paused, Scope, Subject};
use crate::service::Service;

impl Consumer {
    /// Delivers nothing more of this, once it has answered, until it is resumed; what is delivered can
    /// be acked, and is committed. It stays in the group. Fails, and pauses nothing, when a partition
    /// is not assigned, or a topic not subscribed to.
    pub fn pause(&self, scope: Scope) -> Result<(), Error> {
        self.ask(ANSWER_TIMEOUT, |reply| Command::Pause(scope, reply))?
    }

    /// Delivers this again, where it was. Fails, and resumes nothing, when a partition is neither
    /// assigned nor paused, or is paused with its topic or with all there is, which is to be resumed.
    pub fn resume(&self, scope: Scope) -> Result<(), Error> {
        self.ask(ANSWER_TIMEOUT, |reply| Command::Resume(scope, reply))?
    }
}

impl Service {
    pub(crate) fn pause_scope(&self, scope: &Scope) -> Result<(), Error> {
        self.check_scope(scope, |_| Ok(false))?;
        let mut paused = self.shared.paused();
        paused.add(scope);
        self.set_paused(paused, Event::Paused);
        Ok(())
    }

    pub(crate) fn resume_scope(&self, scope: &Scope) -> Result<(), Error> {
        let mut paused = self.shared.paused();
        self.check_scope(scope, |subject| {
            let by_topic =
                matches!(subject, Subject::Partition(..)) && paused.has_topic(subject.topic());
            if paused.all || by_topic {
                return Err(Error::Paused {
                    topic: subject.topic().to_owned(),
                    partition: subject.partition(),
                    all: paused.all,
                });
            }
            Ok(paused.subjects.contains(subject))
        })?;
        paused.remove(scope);
        self.set_paused(paused, Event::Resumed);
        Ok(())
    }

    /// Whether each is ours, or is let pass as it is paused.
    fn check_scope(
        &self,
        scope: &Scope,
        passes: impl Fn(&Subject) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if self.leaving.is_some() {
            return Err(Error::Closed);
        }
        let Scope::Some(subjects) = scope else {
            return Ok(());
        };
        for subject in subjects {
            if !passes(subject)? {
                self.check_subject(subject)?;
            }
        }
        Ok(())
    }

    fn check_subject(&self, subject: &Subject) -> Result<(), Error> {
        match subject {
            Subject::Topic(topic) if self.topics.contains(topic) => Ok(()),
            Subject::Topic(topic) => Err(Error::NotAssigned {
                topic: topic.clone(),
                partition: None,
            }),
            Subject::Partition(topic, partition) => self.serving(topic, *partition).map(drop),
        }
    }

    /// Takes over what is to be paused from now on, and tells of it if it is news.
    pub(crate) fn set_paused(&self, paused: Paused, event: impl FnOnce(Paused) -> Event) {
        if !self.shared.set_paused(&paused) {
            return;
        }
        for partition in self.shared.all() {
            self.hold(
                &partition,
                paused.covers(&partition.topic, partition.partition),
            );
        }
        for pool in &self.shared.pools {
            // The pull that has not seen it comes to its end.
            drop(pool.intake.lock());
        }
        for lane in self.shared.lanes.iter() {
            lane.bell.ring();
        }
        self.shared.sink.event(event(paused));
    }

    fn hold(&self, partition: &Partition, held: bool) {
        if partition.lock().is_on_hold() == held {
            return;
        }
        let _no_pull = self.shared.pool_of(partition).intake.lock();
        let ready = partition.lock().hold(held);
        // Nothing is parked of what is nobody's.
        let lane = partition.lane().filter(|_| ready);
        if let Some(lane) = lane.and_then(|lane| self.shared.lanes.get(lane)) {
            lane.ready.lock().push(partition.slot);
        }
    }
}

impl Partition {
    /// Whether it is assigned, and not about to be given back.
    pub(crate) fn is_served(&self) -> bool {
        let state = self.lock();
        state.cursor.is_assigned() && state.flow != Flow::Stopped
    }
}
