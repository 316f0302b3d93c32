//! What was delivered, what was acked and what may be committed, for the
//! partitions of one consumer-group member.
//!
//! Pure bookkeeping: no Kafka client, no threads, no clock, no I/O, and no call
//! that can fail or panic. Offsets are Kafka's: 0 to `i64::MAX - 1` for a
//! record, one more for a position.
//!
//! * [`Tracker`]: one partition inside one assignment.
//! * [`Cursor`]: a slot's life, assignment after assignment: the epoch, the
//!   tracker, the committed mark.
//! * [`SlotTable`]: `{topic, partition}` to slot and back.
//!
//! What holds at all times:
//!
//! * The committable offset is never above a delivered offset that is unacked,
//!   and within an assignment it never goes back.
//! * Within an epoch offsets are delivered in increasing order and at most once,
//!   redelivery attempts aside; what is acked is never delivered again.
//! * An ack that carries another epoch changes nothing.
//! * Where commits are made by hand, nothing is committed that was not asked for,
//!   and what was asked for goes back only when that was asked for too.
//! * Acks are idempotent; an offset that was never delivered is refused.

#![forbid(unsafe_code)]

mod cursor;
mod explicit;
mod slots;
mod tracker;
mod window;

pub use cursor::Cursor;
pub use explicit::{Asked, Refused};
pub use slots::SlotTable;
pub use tracker::{Ack, Tracker};
