//! A member, as its users hold it.

#[cfg(fuzzing)]
#[path = "consumer/unconnected.rs"]
mod unconnected;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, Sender};

use crate::config::Config;
use crate::error::Error;
use crate::event::Sink;
use crate::intake::{self, Bound, Pulled};
use crate::partition::{AckEffects, Partition, State};
use crate::service::{self, Command};
use crate::shared::Shared;

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
    /// The lane it is on.
    pub lane: usize,
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
    /// The end of the partition, as the last fetch saw it.
    pub high_watermark: Option<i64>,
}

// How long a drop without a close may take, on the service thread.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

const PROGRESS_TIMEOUT: Duration = Duration::from_secs(1);

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
        attached.intake.lock().withheld += 1;
        self.send(Command::RedeliverLane(lane))
            .inspect_err(|_| attached.intake.lock().withheld -= 1)
    }

    /// Delivers again what is delivered and not acked of a slot's partition; nothing when it is
    /// not assigned. Acks of what was delivered before count all the same.
    pub fn redeliver(&self, slot: u32) -> Result<(), Error> {
        self.send(Command::Redeliver(slot))
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
        self.pull_bound(lane, demand, Bound::LONG, attached)
    }

    /// The same, for a thread that must not be held up: it ends before a record that makes it long.
    /// If that is the first one, it brings nothing, and there is more.
    pub fn pull_short(
        &self,
        lane: usize,
        demand: usize,
        attached: impl FnOnce() -> bool,
    ) -> Result<Pulled, Error> {
        self.pull_bound(lane, demand, Bound::SHORT, attached)
    }

    fn pull_bound(
        &self,
        lane: usize,
        demand: usize,
        bound: Bound,
        attached: impl FnOnce() -> bool,
    ) -> Result<Pulled, Error> {
        let lane = self.lane(lane)?;
        let intake = lane.intake.lock();
        if demand == 0 || !attached() {
            return Ok(Pulled::default());
        }
        Ok(intake::pull(&self.shared, lane, intake, demand, bound))
    }

    /// Acks records, in any order; those of another epoch and those acked before change nothing.
    /// `wake` is called for each lane that has something to pull because of it: what
    /// [`Sink::wake`] does, in a way that suits the caller's thread.
    pub fn ack(&self, acks: impl IntoIterator<Item = AckId>, wake: impl FnMut(usize)) {
        let caps = &self.shared.caps;
        self.ack_by_slot(
            acks,
            |(slot, ..)| *slot,
            |state, (_, epoch, offset)| state.ack(epoch, offset, caps),
            wake,
        );
    }

    /// The same for all that was delivered in ranges of offsets.
    pub fn ack_ranges(&self, acks: impl IntoIterator<Item = AckRange>, wake: impl FnMut(usize)) {
        let caps = &self.shared.caps;
        self.ack_by_slot(
            acks,
            |(slot, ..)| *slot,
            |state, (_, epoch, first, last)| state.ack_range(epoch, first, last, caps),
            wake,
        );
    }

    /// Takes a slot's lock once for acks that follow one another.
    fn ack_by_slot<A>(
        &self,
        acks: impl IntoIterator<Item = A>,
        slot_of: impl Fn(&A) -> u32,
        ack: impl Fn(&mut State, A) -> AckEffects,
        mut wake: impl FnMut(usize),
    ) {
        let mut acks = acks.into_iter().peekable();
        let (mut committable, mut kick) = (false, false);
        while let Some(slot) = acks.peek().map(&slot_of) {
            let partition = self.shared.partition(slot);
            let mut state = partition.as_ref().map(|partition| partition.lock());
            let mut uncapped = false;
            while let Some(next) = acks.next_if(|next| slot_of(next) == slot) {
                let Some(state) = &mut state else { continue };
                let effects = ack(state, next);
                committable |= effects.committable;
                kick |= effects.drained;
                uncapped |= effects.uncapped;
            }
            drop(state);
            if let (true, Some(partition)) = (uncapped, partition) {
                let lane = &self.shared.lanes[partition.lane];
                lane.ready.lock().push(slot);
                if lane.bell.disarm() {
                    wake(partition.lane);
                }
            }
        }
        if committable {
            self.shared.want_commit();
        }
        if kick {
            self.shared.kick();
        }
    }

    /// The slot of a partition that was assigned to this member at some time.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<u32> {
        self.shared.find(topic, partition).map(|found| found.slot)
    }

    /// How far the assigned partitions have come; empty once the member is closed.
    pub fn progress(&self) -> Vec<Progress> {
        let (reply, answer) = bounded(1);
        match self.send(Command::Progress(reply)) {
            Ok(()) => answer.recv_timeout(PROGRESS_TIMEOUT).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Delivers nothing more, commits what is acked, leaves the group. Returns at once;
    /// [`crate::Event::Closed`] comes within the timeout. Does nothing when closed before.
    pub fn close(&self, timeout: Duration) {
        let _ = self.send(Command::Close(timeout));
    }

    fn lane(&self, lane: usize) -> Result<&crate::lane::Lane, Error> {
        self.shared.lanes.get(lane).ok_or(Error::Lane {
            lane,
            lanes: self.shared.lanes.len(),
        })
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(|_| Error::Closed)
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
            lane: partition.lane,
            start: tracker.start(),
            next: tracker.next(),
            acked: tracker.acked(),
            in_flight: tracker.in_flight(),
            committable: tracker.committable(),
            committed: state.cursor.committed(),
            high_watermark: None,
        })
    }
}
