//! What may happen in a member's life, and how often it does.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::TOPIC;
use crate::committed::Outcome;
use crate::paused::{Scope, Subject};

pub(super) const PARTITIONS: i32 = 3;
pub(super) const LANES: usize = 2;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Records at the end of a partition's log, after a gap.
    Append {
        partition: i32,
        gap: i64,
        count: i64,
    },
    /// The oldest records of a partition are deleted.
    Expire {
        partition: i32,
        count: usize,
    },
    Fetch {
        partition: i32,
        count: usize,
    },
    /// A partition fails where its next record would be.
    Fail {
        partition: i32,
    },
    /// A partition's records go to the member's queue in place of its lane's.
    Stray {
        partition: i32,
    },
    Pull {
        lane: usize,
        demand: usize,
    },
    /// A record that was delivered, whenever that was.
    Ack {
        which: Index,
        times: usize,
    },
    /// All that was delivered and not acked, but so many.
    AckAllBut {
        count: usize,
    },
    /// A chunk that was delivered, whenever that was.
    AckChunk {
        which: Index,
        times: usize,
    },
    /// An ack that may name anything.
    AckAny {
        slot: u32,
        epoch: u32,
        offset: i64,
    },
    /// A record that was delivered, whenever that was, is committed with all before it.
    Commit {
        which: Index,
    },
    /// Whoever holds a record will never ack it.
    Forget {
        which: Index,
    },
    /// A lane's process is replaced; what it had is gone, unless somebody else holds it.
    Attach {
        lane: usize,
        forget: bool,
    },
    /// A partition's unacked records are asked for again.
    Redeliver {
        slot: u32,
    },
    Pause {
        scope: Scope,
    },
    Resume {
        scope: Scope,
    },
    /// Some partitions are sought, each to an offset that there is, or near it.
    Seek {
        to: BTreeMap<i32, i64>,
    },
    /// The topic is taken with another policy, or as it was.
    UpdateTopics,
    /// Whoever claimed the lanes gives them up.
    Release {
        forget: bool,
    },
    /// Somebody claims them, if they are nobody's.
    Claim,
    Give {
        partitions: BTreeSet<i32>,
    },
    TakeBack {
        partitions: BTreeSet<i32>,
    },
    /// What is being taken back is given again.
    GiveAgain,
    Lose,
    /// No broker can be reached.
    AllDown,
    HandledElsewhere {
        partition: i32,
        count: usize,
    },
    /// A partition is away for a while, and another member handles some of it.
    Away {
        partition: i32,
        count: usize,
    },
    /// Look-ups and seeks, one of them.
    Work {
        well: bool,
    },
    Decide {
        outcome: Outcome,
    },
    /// The client itself refuses the next commit.
    RefuseCommit,
    /// The service thread sees what happened, after so many milliseconds.
    Turn {
        after: u64,
    },
    /// Nobody is slow for a moment.
    Settle,
    Close {
        timeout: u64,
    },
}

fn some() -> impl Strategy<Value = BTreeSet<i32>> {
    proptest::collection::btree_set(0..PARTITIONS, 0..=PARTITIONS as usize)
}

fn scope() -> impl Strategy<Value = Scope> {
    let partition = |number| Scope::Some(vec![Subject::Partition(TOPIC.to_owned(), number)]);
    prop_oneof![
        2 => Just(Scope::All),
        1 => Just(Scope::Some(vec![Subject::Topic(TOPIC.to_owned())])),
        5 => (0..PARTITIONS).prop_map(partition),
    ]
}

/// How many records a message may carry; half of the time it is one.
pub(super) fn chunk_size() -> impl Strategy<Value = Option<NonZeroUsize>> {
    prop_oneof![Just(None), (1..5usize).prop_map(NonZeroUsize::new),]
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        12 => Just(Outcome::Done),
        2 => Just(Outcome::DoneInSilence),
        2 => Just(Outcome::Refused),
        2 => Just(Outcome::RefusedInPart),
        1 => Just(Outcome::ThrownOut),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let partition = || 0..PARTITIONS;
    let lane = || 0..LANES;
    let gap = prop_oneof![4 => Just(0), 1 => 1..3i64];
    prop_oneof![
        8 => (partition(), gap, 0..5i64)
            .prop_map(|(partition, gap, count)| Step::Append { partition, gap, count }),
        3 => (partition(), 0..6usize).prop_map(|(partition, count)| Step::Expire { partition, count }),
        16 => (partition(), 1..5usize).prop_map(|(partition, count)| Step::Fetch { partition, count }),
        3 => partition().prop_map(|partition| Step::Fail { partition }),
        1 => partition().prop_map(|partition| Step::Stray { partition }),
        16 => (lane(), 0..7usize).prop_map(|(lane, demand)| Step::Pull { lane, demand }),
        10 => (any::<Index>(), 1..3usize).prop_map(|(which, times)| Step::Ack { which, times }),
        8 => (any::<Index>(), 1..3usize).prop_map(|(which, times)| Step::AckChunk { which, times }),
        4 => (0..3usize).prop_map(|count| Step::AckAllBut { count }),
        2 => (0..4u32, 0..5u32, -1..12i64)
            .prop_map(|(slot, epoch, offset)| Step::AckAny { slot, epoch, offset }),
        4 => any::<Index>().prop_map(|which| Step::Commit { which }),
        1 => any::<Index>().prop_map(|which| Step::Forget { which }),
        2 => (lane(), any::<bool>()).prop_map(|(lane, forget)| Step::Attach { lane, forget }),
        2 => (0..=PARTITIONS as u32).prop_map(|slot| Step::Redeliver { slot }),
        2 => scope().prop_map(|scope| Step::Pause { scope }),
        3 => scope().prop_map(|scope| Step::Resume { scope }),
        2 => proptest::collection::btree_map(partition(), 0..20i64, 1..3)
            .prop_map(|to| Step::Seek { to }),
        1 => Just(Step::UpdateTopics),
        1 => any::<bool>().prop_map(|forget| Step::Release { forget }),
        2 => Just(Step::Claim),
        5 => some().prop_map(|partitions| Step::Give { partitions }),
        3 => some().prop_map(|partitions| Step::TakeBack { partitions }),
        2 => Just(Step::GiveAgain),
        2 => Just(Step::Lose),
        1 => Just(Step::AllDown),
        2 => (partition(), 0..4usize)
            .prop_map(|(partition, count)| Step::HandledElsewhere { partition, count }),
        3 => (partition(), 0..4usize).prop_map(|(partition, count)| Step::Away { partition, count }),
        12 => proptest::bool::weighted(0.9).prop_map(|well| Step::Work { well }),
        10 => outcome().prop_map(|outcome| Step::Decide { outcome }),
        1 => Just(Step::RefuseCommit),
        20 => prop_oneof![3 => 0..30u64, 2 => 30..400u64, 1 => 400..3_000u64]
            .prop_map(|after| Step::Turn { after }),
        10 => Just(Step::Settle),
        1 => (0..4_000u64).prop_map(|timeout| Step::Close { timeout }),
    ]
}
