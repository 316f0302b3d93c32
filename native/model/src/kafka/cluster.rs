//! What there is in Kafka, and of it in the client: a test moves it in `log`, `group` and `committed`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::client::Client;
use crate::committed::Commit;
use crate::group::Rebalance;
use crate::log::Log;
use crate::sync::MutexGuard;
use crate::topic_partition::TopicPartition;

pub(crate) const TOPIC: &str = "orders";

pub(crate) struct Cluster {
    pub(crate) partitions: Vec<Log>,
    /// Whether the group has ever assigned something, if only nothing.
    pub(crate) joined: bool,
    /// The partitions that the group counts as ours.
    pub(crate) ours: BTreeSet<i32>,
    /// The rebalance that the member has to answer.
    pub(crate) unanswered: Option<Rebalance>,
    pub(crate) lost: bool,
    /// Thrown out of the group, and not told yet.
    pub(crate) thrown_out: bool,
    pub(crate) generation: u32,
    pub(crate) commit: Option<Commit>,
    pub(crate) committed: BTreeMap<i32, i64>,
    /// Where partitions were sought, one time after the other, whose commits may go back to that once.
    pub(crate) sought: BTreeMap<i32, Vec<i64>>,
    pub(crate) refuse_next_commit: bool,
    pub(crate) closing: bool,
    /// No broker can be reached, and the member was told.
    pub(crate) down: bool,
    /// The client failed for good, and will never be in the group again.
    pub(crate) failed: bool,
}

impl Cluster {
    pub(crate) fn new(partitions: i32) -> Cluster {
        let topic: Arc<str> = Arc::from(TOPIC);
        let log = |number| Log::new(TopicPartition::new(&topic, number));
        Cluster {
            partitions: (0..partitions).map(log).collect(),
            joined: false,
            ours: BTreeSet::new(),
            unanswered: None,
            lost: false,
            thrown_out: false,
            generation: 1,
            commit: None,
            committed: BTreeMap::new(),
            sought: BTreeMap::new(),
            refuse_next_commit: false,
            closing: false,
            down: false,
            failed: false,
        }
    }

    pub(crate) fn at(&self, partition: i32) -> &Log {
        &self.partitions[partition as usize]
    }

    pub(crate) fn at_mut(&mut self, partition: i32) -> &mut Log {
        &mut self.partitions[partition as usize]
    }

    pub(crate) fn all(&self) -> BTreeSet<i32> {
        (0..self.partitions.len() as i32).collect()
    }

    pub(crate) fn assign(&mut self, partition: i32, offset: i64) {
        let mut position = self.at(partition).at.position();
        assert!(offset >= 0, "assigned at {offset}");
        position.begin(offset);
        position.assigned = true;
        position.stuck = false;
    }

    pub(crate) fn unassign(&mut self, partition: i32) {
        let log = self.at(partition);
        let mut position = log.at.position();
        let was_assigned = std::mem::take(&mut position.assigned);
        position.version += 1;
        drop(position);
        // A queue that is not fetched into yet may be joined to its lane's already.
        if was_assigned {
            log.ops.stop();
        }
    }

    pub(crate) fn unassign_all(&mut self) {
        self.all().into_iter().for_each(|p| self.unassign(p));
    }
}

impl Client {
    pub(crate) fn look(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock()
    }
}
