//! Leaving the group: stop, commit the prefix, close, each within the deadline.

use std::time::{Duration, Instant};

use crossbeam_channel::never;
use rdkafka::types::RDKafkaRespErr;

use crate::clock::{self, after};
use crate::code::Code;
use crate::error::Error;
use crate::offsets::Offsets;
use crate::polled::Polled;
use crate::service::Service;

/// A member on its way out.
pub(crate) struct Leaving {
    since: Instant,
    commit_deadline: Instant,
    deadline: Instant,
    closing: bool,
}

// With no broker in reach nothing can be committed; whoever stops us should not wait for that.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_millis(800);

// On a slow network the group hears later that the member has left than its owner would wait. If it
// never did, the member's partitions would be nobody's until the session is over.
const LINGER: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Leaving {
    fn new(now: Instant, timeout: Duration) -> Leaving {
        Leaving {
            since: now,
            // The commit may take three quarters; the rest is for leaving.
            commit_deadline: after(now, timeout / 4 * 3),
            deadline: after(now, timeout),
            closing: false,
        }
    }

    fn shorten(&mut self, now: Instant, timeout: Duration) {
        let shorter = Leaving::new(now, timeout);
        self.commit_deadline = self.commit_deadline.min(shorter.commit_deadline);
        self.deadline = self.deadline.min(shorter.deadline);
    }

    pub(crate) fn deadline(&self) -> Instant {
        if self.closing {
            self.deadline
        } else {
            self.commit_deadline
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
        if !closing && !self.has_flushed(since, now) {
            return None;
        }
        if !closing {
            if let Err(error) = self.client.close(&self.member_queue) {
                return Some(Err(error));
            }
            self.leaving.as_mut()?.closing = true;
        }
        if self.client.is_closed() {
            return Some(Ok(()));
        }
        let late = || {
            Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT)
                .map(|code| Error::kafka("leave the group", code))
        };
        (now >= deadline).then(|| late().map_or(Ok(()), Err))
    }

    /// Goes on leaving when nobody waits for it any more, and tells nobody.
    pub(crate) fn linger(&mut self) {
        // Nobody can ask for anything any more.
        self.commands = never();
        let deadline = Instant::now() + LINGER;
        while !self.client.is_closed() && Instant::now() < deadline {
            while let Some(polled) = self.client.poll(&self.member_queue) {
                let protocol = self.rebalance.protocol();
                // Unanswered they would hold it up.
                let _ = match polled {
                    Polled::Assign(_) => self.client.assign(protocol, &Offsets::new([])),
                    Polled::Revoke(entries) => {
                        let entries = entries.iter();
                        let list = Offsets::new(entries.map(|e| (&*e.topic, e.partition, 0)));
                        self.client.unassign(protocol, &list)
                    }
                    _ => Ok(()),
                };
            }
            while self.client.poll(&self.commit_queue).is_some() {}
            let _ = self.kick.recv_timeout(LOOK_AGAIN);
        }
    }

    fn has_flushed(&self, since: Instant, now: Instant) -> bool {
        let busy = self.commits.is_busy(&self.shared) && !self.commits.is_refused_since(since);
        !(busy || self.rebalance.is_revoking()) || self.leaving_is_over(now)
    }
}
