//! The state of one partition that lanes, acks and the service thread share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use delivery::{Ack, Cursor};

use crate::chunks::{Caps, Chunks};
use crate::code::Code;
use crate::describe::TopicId;
use crate::message::Message;
use crate::parked::Parked;
use crate::queue::Queue;
use crate::sync::{Mutex, MutexGuard};

/// A slot and the partition it stands for, for the member's life.
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) slot: u32,
    /// Written by the service thread, with the pool's intake held.
    lane: AtomicUsize,
    state: Mutex<State>,
}

const NOBODY: usize = usize::MAX;

/// Whether records of a partition may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Not assigned, or about to be revoked.
    Stopped,
    /// Assigned, and its position is being restored: what arrives meanwhile comes again.
    Held,
    /// Assigned, and stopped before a record that cannot be read.
    Failed,
    /// Assigned, and on no lane: nobody has claimed it.
    Unclaimed,
    /// Records are delivered.
    Running,
}

pub(crate) struct State {
    pub(crate) cursor: Cursor,
    /// Of the topic that the cursor is of, where brokers have ids.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) flow: Flow,
    /// The partition's own queue, forwarded to its lane's.
    pub(crate) queue: Option<Queue>,
    parked: Parked,
    capped: bool,
    ready: bool,
    /// Paused at somebody's wish.
    on_hold: bool,
    /// Paused in librdkafka for being nobody's.
    shut: bool,
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
    /// Parked, and with it as much as may be: the partition is to be paused.
    Filled,
    /// Not a record: the partition failed, and is held until the service thread restored it.
    Fault(i64, Code, String),
}

/// What an ack led to.
#[derive(Default)]
pub(crate) struct AckEffects {
    /// How many records were unacked before it.
    pub(crate) acked: u64,
    /// A prefix is complete: there is an offset to commit.
    pub(crate) committable: bool,
    /// The partition left its cap: its lane has something to pull.
    pub(crate) uncapped: bool,
    /// Nothing is in flight any more while the partition is stopped.
    pub(crate) drained: bool,
}

impl Partition {
    pub(crate) fn new(
        topic: Arc<str>,
        partition: i32,
        slot: u32,
        lane: Option<usize>,
        by_hand: bool,
    ) -> Partition {
        let cursor = if by_hand {
            Cursor::by_hand()
        } else {
            Cursor::new()
        };
        let state = State {
            cursor,
            topic_id: None,
            flow: Flow::Stopped,
            queue: None,
            parked: Parked::default(),
            capped: false,
            ready: false,
            on_hold: false,
            shut: false,
            chunks: Chunks::default(),
        };
        Partition {
            topic,
            partition,
            slot,
            lane: AtomicUsize::new(lane.unwrap_or(NOBODY)),
            state: Mutex::new(state),
        }
    }

    /// The lane that it is on, if anybody's.
    pub(crate) fn lane(&self) -> Option<usize> {
        let lane = self.lane.load(Ordering::Relaxed);
        (lane != NOBODY).then_some(lane)
    }

    pub(crate) fn put_on(&self, lane: Option<usize>) {
        self.lane.store(lane.unwrap_or(NOBODY), Ordering::Relaxed);
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
    /// would be the first of its message, and `share` how many bytes may be parked.
    pub(crate) fn offer(
        &mut self,
        message: Message,
        begins: bool,
        caps: &Caps,
        share: usize,
    ) -> Offered {
        if self.flow != Flow::Running {
            return Offered::Kept;
        }
        // An error too: it must not go before the records that were parked before it.
        if self.is_stopped(begins, caps) {
            self.capped = true;
            return if self.parked.push(message, share) {
                Offered::Filled
            } else {
                Offered::Kept
            };
        }
        self.deliver(message, begins, caps)
    }

    /// Parks a record for whoever the partition's lane is pulled by, as another one has read it.
    /// Answers also whether that lane has something to pull because of it.
    pub(crate) fn put_by(
        &mut self,
        message: Message,
        caps: &Caps,
        share: usize,
    ) -> (Offered, bool) {
        if self.flow != Flow::Running {
            return (Offered::Kept, false);
        }
        // One that was at its cap goes on at half of it, when an ack says so.
        let free = !self.capped && !self.at_cap(true, caps);
        self.capped = true;
        let offered = if self.parked.push(message, share) {
            Offered::Filled
        } else {
            Offered::Kept
        };
        (offered, free && self.make_ready())
    }

    /// Whether the partition is nobody's, and to be paused for that.
    pub(crate) fn shut(&mut self) -> bool {
        let nobodys = self.flow == Flow::Unclaimed;
        self.shut |= nobodys;
        nobodys
    }

    /// Whether the partition was paused for being nobody's.
    pub(crate) fn open(&mut self) -> bool {
        std::mem::take(&mut self.shut)
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

    /// Whether a record would have to be parked. It waits where it is then, until an ack says that the
    /// partition goes on.
    pub(crate) fn keeps_waiting(&mut self, begins: bool, caps: &Caps) -> bool {
        let waits = self.flow == Flow::Running && self.is_stopped(begins, caps);
        self.capped |= waits;
        waits
    }

    fn is_stopped(&self, begins: bool, caps: &Caps) -> bool {
        self.capped || self.on_hold || self.at_cap(begins, caps)
    }

    /// The offset of the record that was parked last.
    pub(crate) fn newest_parked(&self) -> Option<i64> {
        self.parked.newest()
    }

    /// Copies parked records up to this offset out of the answers they came in.
    pub(crate) fn set_apart(&mut self, through: i64) {
        self.parked.set_apart(through);
    }

    /// The record that is unparked next.
    pub(crate) fn first_parked(&self) -> Option<&Message> {
        self.parked.first()
    }

    /// What became of the next parked record; called until it answers `None`.
    pub(crate) fn unpark(&mut self, begins: bool, caps: &Caps) -> Option<Offered> {
        self.ready = false;
        if self.flow != Flow::Running || self.on_hold || self.at_cap(begins, caps) {
            return None;
        }
        let Some(message) = self.parked.pop() else {
            self.capped = false;
            return None;
        };
        Some(self.deliver(message, begins, caps))
    }

    /// Joins the partition's queue to its lane's once more: librdkafka parts them when it stops
    /// fetching, which may be after we joined them.
    pub(crate) fn rejoin(&self, lane_queue: Option<&Queue>) {
        if let (Flow::Running, Some(queue)) = (self.flow, &self.queue) {
            queue.forward(lane_queue);
        }
    }

    /// Bytes of the records that are parked.
    pub(crate) fn parked_bytes(&self) -> usize {
        self.parked.bytes()
    }

    /// Whether so few records are left parked of a paused partition that it is to be resumed.
    pub(crate) fn is_drained(&mut self, share: usize) -> bool {
        self.parked.is_drained(share)
    }

    /// Whether the partition is to be paused, as it is from now on.
    pub(crate) fn pause(&mut self) -> bool {
        self.parked.pause()
    }

    /// Whether the partition is to be resumed, as it is from now on.
    pub(crate) fn resume(&mut self) -> bool {
        self.parked.resume()
    }

    /// Keeps its records back, or does so no longer; whether it has some to be unparked.
    pub(crate) fn hold(&mut self, on_hold: bool) -> bool {
        self.on_hold = on_hold;
        self.make_ready()
    }

    pub(crate) fn is_on_hold(&self) -> bool {
        self.on_hold
    }

    /// Marks the partition ready to be unparked; `false` when it was, or has no need.
    pub(crate) fn make_ready(&mut self) -> bool {
        let news = self.capped && !self.ready && !self.on_hold;
        self.ready |= news;
        news
    }

    /// Keeps a partition ready whose parked records the pull had no room for.
    pub(crate) fn stay_ready(&mut self) {
        self.ready = true;
    }

    /// Forgets what was fetched and not delivered: it will come again, or not at all. Answers
    /// whether the partition is paused, of which nothing is known from now on.
    pub(crate) fn discard_fetched(&mut self) -> bool {
        self.ready = false;
        self.capped = false;
        self.parked.clear()
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
            Ack::Acked => self.acked(1, caps),
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
            count => self.acked(count, caps),
        }
    }

    fn acked(&mut self, acked: u64, caps: &Caps) -> AckEffects {
        let Some(tracker) = self.cursor.tracker() else {
            return AckEffects::default();
        };
        let nothing_left = tracker.in_flight() == 0;
        let drained = self.flow == Flow::Stopped && nothing_left;
        if nothing_left {
            self.chunks.clear();
        }
        AckEffects {
            acked,
            committable: self.cursor.to_commit().is_some(),
            uncapped: self.below_half(caps) && self.make_ready(),
            drained,
        }
    }
}
