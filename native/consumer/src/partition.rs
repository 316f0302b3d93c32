//! The state of one partition that lanes, acks and the service thread share.

use std::collections::VecDeque;
use std::sync::Arc;

use delivery::{Ack, Cursor};

use crate::code::Code;
use crate::describe::TopicId;
use crate::message::Message;
use crate::queue::Queue;
use crate::sync::{Mutex, MutexGuard};

/// A slot and the partition it stands for, for the member's life.
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) slot: u32,
    pub(crate) lane: usize,
    state: Mutex<State>,
}

/// Whether records of a partition may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Not assigned, or about to be revoked.
    Stopped,
    /// Assigned, and its position is being restored: what arrives meanwhile comes again.
    Held,
    /// Assigned, and stopped before a record that cannot be read.
    Failed,
    /// Records are delivered.
    Running,
}

pub(crate) struct State {
    pub(crate) cursor: Cursor,
    /// Of the topic that the cursor is of, where brokers have ids.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) flow: Flow,
    /// The partition's own queue, forwarded to its lane's unless the partition is capped.
    pub(crate) queue: Option<Queue>,
    /// Records that were in the lane's queue when the partition reached its cap, in order.
    parked: VecDeque<Message>,
    capped: bool,
    ready: bool,
}

// Acked records above an unacked one are bounded too, as a crash delivers them again; more
// widely, so that one batch that waits to fill does not stop its partition.
const UNCOMMITTABLE_FACTOR: u64 = 16;

/// What became of a record that was offered for delivery.
pub(crate) enum Offered {
    Delivered(Message, u32),
    /// Parked, or dropped because it comes again or was delivered before.
    Kept,
    /// Not a record: the partition failed, and is held until the service thread restored it.
    Fault(i64, Code, String),
}

/// What an ack led to.
#[derive(Default)]
pub(crate) struct AckEffects {
    /// A prefix is complete: there is an offset to commit.
    pub(crate) committable: bool,
    /// The partition left its cap: its lane has something to pull.
    pub(crate) uncapped: bool,
    /// Nothing is in flight any more while the partition is stopped.
    pub(crate) drained: bool,
}

impl Partition {
    pub(crate) fn new(topic: Arc<str>, partition: i32, slot: u32, lane: usize) -> Partition {
        let state = State {
            cursor: Cursor::new(),
            topic_id: None,
            flow: Flow::Stopped,
            queue: None,
            parked: VecDeque::new(),
            capped: false,
            ready: false,
        };
        Partition {
            topic,
            partition,
            slot,
            lane,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Takes a record from the lane's queue, in the order of the queue.
    pub(crate) fn offer(&mut self, message: Message, max_in_flight: u64) -> Offered {
        if self.flow != Flow::Running {
            return Offered::Kept;
        }
        // An error too: it must not go before the records that were parked before it.
        if self.capped || self.at_cap(max_in_flight) {
            self.park(message);
            return Offered::Kept;
        }
        self.deliver(message)
    }

    fn deliver(&mut self, message: Message) -> Offered {
        if let Some(code) = message.error() {
            self.flow = Flow::Held;
            return Offered::Fault(message.offset(), code, message.error_text());
        }
        if self.cursor.deliver(message.offset()) {
            Offered::Delivered(message, self.cursor.epoch())
        } else {
            Offered::Kept
        }
    }

    // What is redelivered is in flight already, so a cap must let it pass.
    fn at_cap(&self, max_in_flight: u64) -> bool {
        self.cursor.tracker().is_some_and(|tracker| {
            let full = tracker.in_flight() >= max_in_flight
                || tracker.uncommittable() >= max_in_flight.saturating_mul(UNCOMMITTABLE_FACTOR);
            full && !tracker.redelivering()
        })
    }

    fn park(&mut self, message: Message) {
        self.parked.push_back(message);
        if !self.capped {
            self.capped = true;
            if let Some(queue) = &self.queue {
                queue.forward(None);
            }
        }
    }

    /// The record that is unparked next.
    pub(crate) fn first_parked(&self) -> Option<&Message> {
        self.parked.front()
    }

    /// What became of the next parked record; called until it answers `None`. Once nothing is
    /// parked the partition's queue flows into its lane's again.
    pub(crate) fn unpark(&mut self, lane_queue: &Queue, max_in_flight: u64) -> Option<Offered> {
        self.ready = false;
        if self.flow != Flow::Running || self.at_cap(max_in_flight) {
            return None;
        }
        let Some(message) = self.parked.pop_front() else {
            self.uncap(lane_queue);
            return None;
        };
        Some(self.deliver(message))
    }

    /// Joins the partition's queue to its lane's once more: librdkafka parts them when it stops
    /// fetching, which may be after we joined them.
    pub(crate) fn rejoin(&self, lane_queue: Option<&Queue>) {
        if let (Flow::Running, false, Some(queue)) = (self.flow, self.capped, &self.queue) {
            queue.forward(lane_queue);
        }
    }

    fn uncap(&mut self, lane_queue: &Queue) {
        if self.capped {
            self.capped = false;
            if let Some(queue) = &self.queue {
                queue.forward(Some(lane_queue));
            }
        }
    }

    /// Marks the partition ready to be unparked; `false` when it was, or has no need.
    pub(crate) fn make_ready(&mut self) -> bool {
        let news = self.capped && !self.ready;
        self.ready |= news;
        news
    }

    /// Keeps a partition ready whose parked records the pull had no room for.
    pub(crate) fn stay_ready(&mut self) {
        self.ready = true;
    }

    /// Forgets what was fetched and not delivered: it will come again, or not at all.
    pub(crate) fn discard_fetched(&mut self) {
        self.parked.clear();
        self.ready = false;
        self.capped = false;
    }

    /// Whether every fetched record was delivered or dropped.
    pub(crate) fn nothing_parked(&self) -> bool {
        self.parked.is_empty()
    }

    pub(crate) fn ack(&mut self, epoch: u32, offset: i64, max_in_flight: u64) -> AckEffects {
        if self.cursor.ack(epoch, offset) != Ack::Acked {
            return AckEffects::default();
        }
        let Some(tracker) = self.cursor.tracker() else {
            return AckEffects::default();
        };
        let drained = self.flow == Flow::Stopped && tracker.in_flight() == 0;
        let below_cap = tracker.in_flight() <= max_in_flight / 2 && !self.at_cap(max_in_flight);
        AckEffects {
            committable: self.cursor.to_commit().is_some(),
            uncapped: below_cap && self.make_ready(),
            drained,
        }
    }
}
