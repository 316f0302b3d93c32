//! What may happen in a slot's life, and how often it does.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
pub enum Step {
    /// The next record, after a gap of so many offsets.
    Deliver {
        gap: i64,
    },
    /// So many records without a gap.
    DeliverRun {
        count: i64,
    },
    /// An offset that may be anything.
    DeliverAny {
        offset: i64,
    },
    /// An offset delivered before, in this attempt or another.
    DeliverOld {
        which: Index,
    },
    /// The log from the attempt's position on, so many delivered offsets of it.
    Replay {
        count: usize,
    },
    /// An unacked offset, its ack sent so many times.
    Ack {
        which: Index,
        times: usize,
    },
    /// The unacked offsets in a window of so many, from the lowest or the highest.
    AckMany {
        count: usize,
        newest_first: bool,
    },
    /// Near an offset delivered before, or the start.
    AckNear {
        which: Index,
        distance: i64,
    },
    /// An offset that may be anything.
    AckAny {
        offset: i64,
    },
    /// A range between two of the offsets delivered, moved a little at both ends.
    AckRange {
        from: Index,
        to: Index,
        before: i64,
        after: i64,
    },
    /// A range that may be anything.
    AckRangeAny {
        first: i64,
        last: i64,
    },
    /// An unacked offset, under an epoch so many off.
    AckForeign {
        which: Index,
        epochs: u32,
    },
    Advance {
        by: i64,
    },
    AdvanceAny {
        position: i64,
    },
    Redeliver,
    Assign {
        start: i64,
        committed: bool,
    },
    Revoke,
    /// Sends what is to be committed.
    Commit,
    /// The broker's answer to one of the commits sent, whenever that was.
    Confirm {
        which: Index,
    },
}

fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        16 => Just(0),
        8 => 1..200i64,
        6 => 900..1300i64,
        2 => (10..60u32).prop_map(|bits| 1 << bits),
        1 => 0..=i64::MAX,
    ]
}

fn any_offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..5000i64,
        1 => any::<i64>(),
        1 => (i64::MAX - 200)..=i64::MAX,
        1 => -1100..0i64,
    ]
}

pub fn start() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0),
        4 => 0..5000i64,
        1 => 0..=i64::MAX,
        1 => (i64::MAX - 3000)..=i64::MAX,
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    prop_oneof![
        10 => gap().prop_map(|gap| Step::Deliver { gap }),
        4 => (1..150i64).prop_map(|count| Step::DeliverRun { count }),
        2 => any_offset().prop_map(|offset| Step::DeliverAny { offset }),
        3 => which().prop_map(|which| Step::DeliverOld { which }),
        4 => (1..100usize).prop_map(|count| Step::Replay { count }),
        12 => (which(), 1..3usize).prop_map(|(which, times)| Step::Ack { which, times }),
        4 => (1..200usize, any::<bool>())
            .prop_map(|(count, newest_first)| Step::AckMany { count, newest_first }),
        4 => (which(), -70..70i64).prop_map(|(which, distance)| Step::AckNear { which, distance }),
        2 => any_offset().prop_map(|offset| Step::AckAny { offset }),
        8 => (which(), which(), -3..70i64, -3..70i64)
            .prop_map(|(from, to, before, after)| Step::AckRange { from, to, before, after }),
        1 => (any_offset(), any_offset())
            .prop_map(|(first, last)| Step::AckRangeAny { first, last }),
        2 => (which(), 1..4u32).prop_map(|(which, epochs)| Step::AckForeign { which, epochs }),
        3 => gap().prop_map(|by| Step::Advance { by }),
        1 => any_offset().prop_map(|position| Step::AdvanceAny { position }),
        4 => Just(Step::Redeliver),
        1 => (start(), any::<bool>())
            .prop_map(|(start, committed)| Step::Assign { start, committed }),
        1 => Just(Step::Revoke),
        4 => Just(Step::Commit),
        4 => which().prop_map(|which| Step::Confirm { which }),
    ]
}
