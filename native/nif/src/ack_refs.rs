//! Members by number, for acks. A message carries its member's number: a reference would be counted
//! each time the message is copied to the next process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use consumer::Consumer;

use crate::sink::Processes;

/// What an ack needs of a member.
type Acked = (Weak<Consumer>, Arc<Processes>);

static MEMBERS: LazyLock<RwLock<HashMap<u64, Acked>>> = LazyLock::new(RwLock::default);

// The VM boxes larger integers.
const BITS: u32 = 59;

/// A member's number, for as long as this lives.
pub(crate) struct AckRef(u64);

impl AckRef {
    /// At random: on another node a message's number must not be somebody else's.
    pub(crate) fn new(consumer: &Arc<Consumer>, processes: &Arc<Processes>) -> AckRef {
        let mut members = MEMBERS.write().unwrap_or_else(PoisonError::into_inner);
        let number = loop {
            let number = RandomState::new().hash_one(members.len()) >> (u64::BITS - BITS);
            if !members.contains_key(&number) {
                break number;
            }
        };
        let acked = (Arc::downgrade(consumer), Arc::clone(processes));
        members.insert(number, acked);
        AckRef(number)
    }

    pub(crate) fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for AckRef {
    fn drop(&mut self) {
        let mut members = MEMBERS.write().unwrap_or_else(PoisonError::into_inner);
        members.remove(&self.0);
    }
}

/// The member of this number, unless it is gone.
pub(crate) fn find(number: u64) -> Option<(Arc<Consumer>, Arc<Processes>)> {
    let members = MEMBERS.read().unwrap_or_else(PoisonError::into_inner);
    let (consumer, processes) = members.get(&number)?;
    Some((consumer.upgrade()?, Arc::clone(processes)))
}
