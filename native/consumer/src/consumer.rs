//! A member, as its users hold it.

#[cfg(fuzzing)]
#[path = "consumer/unconnected.rs"]
mod unconnected;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, RecvTimeoutError, Sender, TrySendError};

use crate::basket::Bound;
use crate::chunks::Caps;
use crate::command::Command;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Error;
#[cfg(doc)]
use crate::event::Event;
use crate::event::Sink;
use crate::intake::{self, Intake, Pulled};
use crate::lane::Lane;
use crate::partition::{AckEffects, Partition, State};
use crate::queue::Queue;
use crate::service;
use crate::shared::Shared;
use crate::sync::MutexGuard;

/// One record, as an ack names it: slot, epoch, offset.
pub type AckId = (u32, u32, i64);

/// What was delivered of a slot in an epoch, from one offset to another: slot, epoch, first, last.
pub type AckRange = (u32, u32, i64, i64);

/// One member of a consumer group. Dropping it closes it, in the background.
pub struct Consumer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Sender<Command>,
}

/// How far an assigned partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its slot.
    pub slot: u32,
    /// The epoch of its assignment.
    pub epoch: u32,
    /// The lane it is on; `None` while nobody has claimed it.
    pub lane: Option<usize>,
    /// The first offset of this assignment.
    pub start: i64,
    /// The lowest offset that may be delivered next.
    pub next: i64,
    /// Records acked in this assignment.
    pub acked: u64,
    /// Records delivered and not acked.
    pub in_flight: u64,
    /// The offset that may be committed.
    pub committable: i64,
    /// The offset the broker has.
    pub committed: Option<i64>,
    /// The start of the partition, as the last fetch saw it.
    pub low_watermark: Option<i64>,
    /// The end of the partition, as the last fetch saw it.
    pub high_watermark: Option<i64>,
    /// Whether [`Consumer::pause`] keeps its records back.
    pub paused: bool,
    /// How long the oldest unacked record has been that, as [`Event::Stalled`] counts; `None` where
    /// there is none, where it has not been looked at yet, and without an unacked timeout.
    pub unacked_age: Option<Duration>,
}

/// What was fetched and not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffered {
    /// Records in the lanes' queues, as librdkafka counts them.
    pub queued_records: usize,
    /// Bytes of what was taken from there and is held for partitions at their cap.
    pub parked_bytes: usize,
}

// How long a drop without a close may take, on the service thread.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Consumer {
    /// Creates the client, joins the group and answers at once; what happens comes to `sink`.
    ///
    /// Fails when librdkafka refuses the configuration.
    pub fn start(config: &Config, sink: Arc<dyn Sink>) -> Result<Consumer, Error> {
        let (shared, commands) = service::start(config, sink)?;
        Ok(Consumer { shared, commands })
    }

    /// Says that a process serves this lane from now on. If there was one before it, the records
    /// that are delivered and not acked are delivered again.
    pub fn attach(&self, lane: usize) -> Result<(), Error> {
        let attached = self.lane(lane)?;
        if !attached.attach() {
            return Ok(());
        }
        attached.withhold();
        self.send(Command::RedeliverLane(lane))
            .inspect_err(|_| attached.let_in())
    }

    /// Delivers again what is delivered and not acked of these slots' partitions; nothing of one that
    /// is not assigned. Acks of what was delivered before count all the same.
    pub fn redeliver(&self, slots: Vec<u32>) -> Result<(), Error> {
        self.send(Command::Redeliver(slots))
    }

    /// Takes up to `demand` messages of a lane: records, or chunks of them. Never blocks for records.
    ///
    /// `attached` says whether the caller still is what serves the lane. It is asked when nobody
    /// can attach any more: a caller that was replaced while it called gets nothing, as nothing it
    /// got would be handled, nor be delivered again.
    pub fn pull(
        &self,
        lane: usize,
        demand: usize,
        attached: impl FnOnce() -> bool,
    ) -> Result<Pulled, Error> {
        let lane = self.lane(lane)?;
        Ok(self.pull_held(lane, lane.pool.intake.lock(), demand, Bound::LONG, attached))
    }

    /// The same, for a thread that must not be held up: it ends before a record that makes it long.
    /// If that is the first one, or something else holds the lane, it brings nothing, and there is
    /// more.
    pub fn pull_short(
        &self,
        lane: usize,
        demand: usize,
        attached: impl FnOnce() -> bool,
    ) -> Result<Pulled, Error> {
        let lane = self.lane(lane)?;
        let Some(intake) = lane.pool.intake.try_lock() else {
            return Ok(Pulled {
                more: true,
                ..Pulled::default()
            });
        };
        Ok(self.pull_held(lane, intake, demand, Bound::SHORT, attached))
    }

    fn pull_held(
        &self,
        lane: &Lane,
        intake: MutexGuard<'_, Intake>,
        demand: usize,
        bound: Bound,
        attached: impl FnOnce() -> bool,
    ) -> Pulled {
        if demand == 0 || !attached() {
            return Pulled::default();
        }
        intake::pull(&self.shared, lane, intake, demand, bound)
    }

    /// Acks records, in any order; those of another epoch and those acked before change nothing.
    /// `wake` is called for each lane that has something to pull because of it: what
    /// [`Sink::wake`] does, in a way that suits the caller's thread.
    pub fn ack(&self, acks: impl IntoIterator<Item = AckId>, wake: impl FnMut(usize)) {
        self.ack_by_slot(
            acks,
            |(slot, ..)| *slot,
            |state, (_, epoch, offset), caps| state.ack(epoch, offset, caps),
            wake,
        );
    }

    /// The same for all that was delivered in ranges of offsets.
    pub fn ack_ranges(&self, acks: impl IntoIterator<Item = AckRange>, wake: impl FnMut(usize)) {
        self.ack_by_slot(
            acks,
            |(slot, ..)| *slot,
            |state, (_, epoch, first, last), caps| state.ack_range(epoch, first, last, caps),
            wake,
        );
    }

    /// Takes a slot's lock once for acks that follow one another.
    fn ack_by_slot<A>(
        &self,
        acks: impl IntoIterator<Item = A>,
        slot_of: impl Fn(&A) -> u32,
        ack: impl Fn(&mut State, A, &Caps) -> AckEffects,
        mut wake: impl FnMut(usize),
    ) {
        let mut acks = acks.into_iter().peekable();
        let (mut acked, mut committable, mut kick) = (0, false, false);
        while let Some(slot) = acks.peek().map(&slot_of) {
            let partition = self.shared.partition(slot);
            let lane = partition.as_ref().and_then(|it| it.lane());
            let caps = self.shared.caps_on(lane);
            let mut state = partition.as_ref().map(|partition| partition.lock());
            let mut uncapped = false;
            while let Some(next) = acks.next_if(|next| slot_of(next) == slot) {
                let Some(state) = &mut state else { continue };
                let effects = ack(state, next, &caps);
                acked += effects.acked;
                committable |= effects.committable;
                kick |= effects.drained;
                uncapped |= effects.uncapped;
            }
            drop(state);
            let lane = partition.filter(|_| uncapped).and_then(|it| it.lane());
            if let Some(lane) = lane.and_then(|lane| self.shared.lanes.get(lane)) {
                lane.ready.lock().push(slot);
                if lane.bell.disarm() {
                    wake(lane.index());
                }
            }
        }
        self.shared.acked(acked, committable);
        if kick {
            self.shared.kick();
        }
    }

    /// The slot of a partition that was assigned to this member at some time.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<u32> {
        self.shared.find(topic, partition).map(|found| found.slot)
    }

    /// Takes credentials for the connections that are made from now on: a token, when
    /// [`crate::Event::TokenWanted`] has come, or a password in place of the one it began with.
    pub fn authenticate(&self, credentials: Credentials) -> Result<(), Error> {
        self.send(Command::Authenticate(credentials))
    }

    /// How much was fetched and not delivered.
    pub fn buffered(&self) -> Buffered {
        let queued = self.shared.pools.iter().map(|pool| {
            let intake = pool.intake.lock();
            intake.queue.as_ref().map_or(0, Queue::len) + intake.fetched.len()
        });
        Buffered {
            queued_records: queued.sum(),
            parked_bytes: self.shared.limits.parked(),
        }
    }

    /// How far the assigned partitions have come.
    pub fn progress(&self) -> Result<Vec<Progress>, Error> {
        self.ask(ANSWER_TIMEOUT, Command::Progress)
    }

    /// Waits for the service thread's answer.
    pub(crate) fn ask<T>(
        &self,
        timeout: Duration,
        command: impl FnOnce(Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = bounded(1);
        self.send(command(reply))?;
        answer.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => Error::Busy,
            RecvTimeoutError::Disconnected => Error::Closed,
        })
    }

    /// Delivers nothing more, commits what is acked, leaves the group. Returns at once;
    /// [`crate::Event::Closed`] comes within the timeout. Does nothing when closed before.
    pub fn close(&self, timeout: Duration) {
        self.shared.want_close(timeout);
    }

    /// How many lanes there are or were: their indices are below that.
    pub fn lanes(&self) -> usize {
        self.shared.lanes.len()
    }

    fn lane(&self, lane: usize) -> Result<&Lane, Error> {
        self.shared.lanes.get(lane).ok_or(Error::Lane {
            lane,
            lanes: self.shared.lanes.len(),
        })
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(|it| refused(&it))
    }
}

/// Why the service thread was not told.
pub(crate) fn refused(why: &TrySendError<Command>) -> Error {
    if why.is_disconnected() {
        Error::Closed
    } else {
        Error::Busy
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.close(DROP_TIMEOUT);
    }
}

impl Progress {
    /// What the cursor knows; `None` when the partition is not assigned.
    pub(crate) fn of(partition: &Partition) -> Option<Progress> {
        let state = partition.lock();
        let tracker = state.cursor.tracker()?;
        Some(Progress {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            slot: partition.slot,
            epoch: state.cursor.epoch(),
            lane: partition.lane(),
            start: tracker.start(),
            next: tracker.next(),
            acked: tracker.acked(),
            in_flight: tracker.in_flight(),
            committable: tracker.committable(),
            committed: state.cursor.committed(),
            low_watermark: None,
            high_watermark: None,
            paused: state.is_on_hold(),
            unacked_age: None,
        })
    }
}
