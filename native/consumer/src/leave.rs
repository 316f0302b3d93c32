//! Leaving the group: stop, commit the prefix, close, each within the deadline.

use std::time::{Duration, Instant};

use crossbeam_channel::never;
use rdkafka::types::RDKafkaRespErr;

use crate::client::Protocol;
use crate::clock::{self, after};
use crate::code::Code;
use crate::error::Error;
use crate::offsets::Offsets;
use crate::polled::Polled;
use crate::service::Service;

/// A member on its way out.
pub(crate) struct Leaving {
    since: Instant,
    /// Until when a join is waited for, and then, until when commits are.
    next_deadline: Instant,
    commit_deadline: Instant,
    deadline: Instant,
    closing: bool,
    /// The group's leaving has been answered for, whatever librdkafka asks yet.
    answered: bool,
    /// What was given back without its last commit confirmed.
    uncommitted: bool,
}

// With no broker in reach nothing can be committed; whoever stops us should not wait for that.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_millis(800);

// A close between a join and its assignment does not tell the group that the member leaves, and the
// assignment then meets freed memory: it is waited for, and if it comes later, in the background.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

// On a slow network the group hears later that the member has left than its owner would wait. If it
// never did, the member's partitions would be nobody's until the session is over.
const LINGER: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Leaving {
    fn new(now: Instant, timeout: Duration) -> Leaving {
        // The commit may take three quarters; the rest is for leaving.
        let commit_deadline = after(now, timeout / 4 * 3);
        Leaving {
            since: now,
            next_deadline: after(now, JOIN_TIMEOUT).min(commit_deadline),
            commit_deadline,
            deadline: after(now, timeout),
            closing: false,
            answered: false,
            uncommitted: false,
        }
    }

    fn shorten(&mut self, now: Instant, timeout: Duration) {
        let shorter = Leaving::new(now, timeout);
        self.commit_deadline = self.commit_deadline.min(shorter.commit_deadline);
        self.next_deadline = self.next_deadline.min(self.commit_deadline);
        self.deadline = self.deadline.min(shorter.deadline);
    }

    pub(crate) fn deadline(&self) -> Instant {
        if self.closing {
            self.deadline
        } else {
            self.next_deadline
        }
    }
}

impl Service {
    pub(crate) fn begin_leave(&mut self, timeout: Duration) {
        if self.leaving.is_some() {
            return;
        }
        let now = clock::now();
        self.leaving = Some(Leaving::new(now, timeout));
        for partition in self.shared.all() {
            self.stop(&partition);
        }
        self.rebalance.hasten(now);
        self.commits.hurry(now);
        self.abandon_assignment();
        self.shared.want_commit();
    }

    /// Whether a revoke has to be answered now for the close to end in time.
    pub(crate) fn leaving_is_over(&self, now: Instant) -> bool {
        self.leaving
            .as_ref()
            .is_some_and(|leaving| leaving.closing || now >= leaving.commit_deadline)
    }

    /// Takes the next step out; answers how it went once there is none left.
    pub(crate) fn step_leave(&mut self, now: Instant) -> Option<Result<(), Error>> {
        let leaving = self.leaving.as_mut()?;
        if self.brokers_down {
            leaving.shorten(now, UNREACHABLE_TIMEOUT);
        }
        let (since, deadline, closing) = (leaving.since, leaving.deadline, leaving.closing);
        let uncommitted = leaving.uncommitted;
        let is_due = now >= leaving.next_deadline;
        if is_due {
            leaving.next_deadline = leaving.commit_deadline;
        }
        if !closing {
            if !self.has_flushed(since, now) {
                return None;
            }
            if self.is_joining() {
                return is_due.then_some(Ok(()));
            }
            if let Err(error) = self.close() {
                return Some(Err(error));
            }
        }
        if self.client.is_closed() {
            return Some(if uncommitted {
                late("last commit")
            } else {
                Ok(())
            });
        }
        (now >= deadline).then(|| late("leave the group"))
    }

    /// Takes note of partitions that are given back on the way out.
    pub(crate) fn give_back(&mut self, committed: bool) {
        if let Some(leaving) = &mut self.leaving {
            leaving.uncommitted |= !committed;
        }
    }

    /// Goes on leaving when nobody waits for it any more, and tells nobody.
    pub(crate) fn linger(&mut self) {
        // Nobody can ask for anything any more.
        self.commands = never();
        let deadline = Instant::now() + LINGER;
        while !self.client.is_closed() && Instant::now() < deadline {
            if !self.is_closing() && !self.is_joining() && self.close().is_err() {
                return;
            }
            while let Some(polled) = self.client.poll(&self.member_queue) {
                // Unanswered they would hold it up.
                match polled {
                    Polled::Assign(entries) => self.begin_assign(entries),
                    Polled::Revoke(entries) => {
                        let entries = entries.iter();
                        let list = Offsets::new(entries.map(|e| (&*e.topic, e.partition, 0)));
                        let _ = self.unassign(&list);
                    }
                    _ => {}
                }
            }
            while self.client.poll(&self.commit_queue).is_some() {}
            let _ = self.kick.recv_timeout(LOOK_AGAIN);
        }
    }

    /// Answers an assignment, unless the close has.
    pub(crate) fn assign(&mut self, list: &Offsets) -> Result<(), Error> {
        let protocol = self.rebalance.protocol();
        // An eager one that is not answered yet is given up by the close itself.
        if self.is_closing() && (protocol == Protocol::Eager || self.has_answered()) {
            return Ok(());
        }
        self.client.assign(protocol, list)
    }

    /// Answers a revoke, unless the close has.
    pub(crate) fn unassign(&mut self, list: &Offsets) -> Result<(), Error> {
        if self.is_closing() && self.has_answered() {
            return Ok(());
        }
        self.client.unassign(self.rebalance.protocol(), list)
    }

    /// Whether a rebalance was answered since the close began; from now on one has. Librdkafka may ask
    /// twice, for what it had asked before and for all that is left, and takes the first answer for
    /// both. A second one meets a group that is gone: it would be dropped, and never return.
    fn has_answered(&mut self) -> bool {
        let leaving = self.leaving.as_mut();
        leaving.is_some_and(|leaving| std::mem::replace(&mut leaving.answered, true))
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.closing)
    }

    fn is_joining(&self) -> bool {
        self.rebalance.is_joining() && self.client.has_joined()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.client.close(&self.member_queue)?;
        if let Some(leaving) = &mut self.leaving {
            leaving.closing = true;
        }
        Ok(())
    }

    fn has_flushed(&self, since: Instant, now: Instant) -> bool {
        let busy = self.commits.is_busy(&self.shared) && !self.commits.is_refused_since(since);
        !(busy || self.rebalance.is_revoking()) || self.leaving_is_over(now)
    }
}

fn late(operation: &str) -> Result<(), Error> {
    let code = Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
    code.map_or(Ok(()), |code| Err(Error::kafka(operation, code)))
}
