//! The state of one partition that lanes, acks and the service thread share.

use std::collections::VecDeque;
use std::sync::Arc;

use delivery::{Ack, Cursor};

use crate::chunks::{Caps, Chunks};
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
    /// None where messages are single records.
    chunks: Chunks,
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
            chunks: Chunks::default(),
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
    /// Begins the epoch of an assignment, and answers it.
    pub(crate) fn begin_epoch(&mut self, start: i64, committed: Option<i64>) -> u32 {
        self.chunks.clear();
        self.cursor.assign(start, committed)
    }

    /// Begins an attempt; answers where, if anything is in flight.
    pub(crate) fn begin_attempt(&mut self) -> Option<i64> {
        self.chunks.clear();
        self.cursor.redeliver()
    }

    /// Whether an unacked record below this one will not come again in this attempt. No chunk may
    /// reach across it: it is not in there, and is acked by whoever holds it.
    pub(crate) fn passes_over(&self, message: &Message) -> bool {
        let tracker = self.cursor.tracker();
        tracker.is_some_and(|it| it.redelivering() && message.offset() > it.next())
    }

    /// Takes a record from the lane's queue, in the order of the queue. `begins` says whether it
    /// would be the first of its message.
    pub(crate) fn offer(&mut self, message: Message, begins: bool, caps: &Caps) -> Offered {
        if self.flow != Flow::Running {
            return Offered::Kept;
        }
        // An error too: it must not go before the records that were parked before it.
        if self.capped || self.at_cap(begins, caps) {
            self.park(message);
            return Offered::Kept;
        }
        self.deliver(message, begins, caps)
    }

    fn deliver(&mut self, message: Message, begins: bool, caps: &Caps) -> Offered {
        if let Some(code) = message.error() {
            self.flow = Flow::Held;
            return Offered::Fault(message.offset(), code, message.error_text());
        }
        if self.cursor.deliver(message.offset()) {
            if caps.chunks.is_some() {
                self.chunks.deliver(message.offset(), begins);
            }
            Offered::Delivered(message, self.cursor.epoch())
        } else {
            Offered::Kept
        }
    }

    // What is redelivered is in flight already, so a cap on records must let it pass. Of chunks only
    // those of this attempt are counted.
    fn at_cap(&self, begins: bool, caps: &Caps) -> bool {
        let of_records = self.cursor.tracker().is_some_and(|tracker| {
            let full = tracker.in_flight() >= caps.records
                || tracker.uncommittable() >= caps.records.saturating_mul(UNCOMMITTABLE_FACTOR);
            full && !tracker.redelivering()
        });
        of_records
            || begins
                && caps
                    .chunks
                    .is_some_and(|most| self.chunks.in_flight() >= most)
    }

    fn below_half(&self, caps: &Caps) -> bool {
        let of_records = self.cursor.tracker().is_some_and(|tracker| {
            tracker.in_flight() <= caps.records / 2 || tracker.redelivering()
        });
        let of_chunks = caps
            .chunks
            .is_none_or(|most| self.chunks.in_flight() <= most / 2);
        of_records && of_chunks && !self.at_cap(true, caps)
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
    pub(crate) fn unpark(
        &mut self,
        lane_queue: &Queue,
        begins: bool,
        caps: &Caps,
    ) -> Option<Offered> {
        self.ready = false;
        if self.flow != Flow::Running || self.at_cap(begins, caps) {
            return None;
        }
        let Some(message) = self.parked.pop_front() else {
            self.uncap(lane_queue);
            return None;
        };
        Some(self.deliver(message, begins, caps))
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

    pub(crate) fn ack(&mut self, epoch: u32, offset: i64, caps: &Caps) -> AckEffects {
        if caps.chunks.is_some() {
            return self.ack_range(epoch, offset, offset, caps);
        }
        match self.cursor.ack(epoch, offset) {
            Ack::Acked => self.acked(caps),
            _ => AckEffects::default(),
        }
    }

    /// Acks what was delivered from `first` to `last`.
    pub(crate) fn ack_range(
        &mut self,
        epoch: u32,
        first: i64,
        last: i64,
        caps: &Caps,
    ) -> AckEffects {
        let cursor = &mut self.cursor;
        let acked = self.chunks.ack(first, last, |first, last| {
            cursor.ack_range(epoch, first, last)
        });
        match acked {
            0 => AckEffects::default(),
            _ => self.acked(caps),
        }
    }

    fn acked(&mut self, caps: &Caps) -> AckEffects {
        let Some(tracker) = self.cursor.tracker() else {
            return AckEffects::default();
        };
        let nothing_left = tracker.in_flight() == 0;
        let drained = self.flow == Flow::Stopped && nothing_left;
        if nothing_left {
            self.chunks.clear();
        }
        AckEffects {
            committable: self.cursor.to_commit().is_some(),
            uncapped: self.below_half(caps) && self.make_ready(),
            drained,
        }
    }
}
