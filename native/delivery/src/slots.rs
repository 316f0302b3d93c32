//! Slots: small integers for `{topic, partition}`.

use std::collections::HashMap;
use std::sync::Arc;

/// Which slot a `{topic, partition}` has. A slot is never given back, so that it
/// names the same partition for the member's life; they are given out lowest
/// first, from 0, without a hole.
#[derive(Clone, Debug, Default)]
pub struct SlotTable {
    slots: HashMap<Arc<str>, HashMap<i32, u32>>,
    names: Vec<(Arc<str>, i32)>,
}

impl SlotTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The partition's slot; the lowest free one when it had none.
    pub fn slot_for(&mut self, topic: &str, partition: i32) -> u32 {
        if let Some(slot) = self.find(topic, partition) {
            return slot;
        }
        let slot = self.names.len() as u32;
        let topic = match self.slots.get_key_value(topic) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(topic),
        };
        self.names.push((Arc::clone(&topic), partition));
        self.slots.entry(topic).or_default().insert(partition, slot);
        slot
    }

    /// The partition's slot, if it has one.
    pub fn find(&self, topic: &str, partition: i32) -> Option<u32> {
        self.slots.get(topic)?.get(&partition).copied()
    }

    /// The topic and partition of a slot.
    pub fn name(&self, slot: u32) -> Option<(&str, i32)> {
        let (topic, partition) = self.names.get(usize::try_from(slot).ok()?)?;
        Some((topic, *partition))
    }

    /// How many slots are given out; they are the integers below that.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no slot is given out yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_out_lowest_first_and_kept() {
        let mut table = SlotTable::new();
        assert!(table.is_empty());
        assert_eq!(table.slot_for("b", 7), 0);
        assert_eq!(table.slot_for("a", 7), 1);
        assert_eq!(table.slot_for("b", 0), 2);
        assert_eq!(table.slot_for("b", 7), 0);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_slot_names_its_partition_and_a_partition_finds_its_slot() {
        let mut table = SlotTable::new();
        for partition in 0..100 {
            let slot = table.slot_for("topic", partition);
            assert_eq!(table.name(slot), Some(("topic", partition)));
            assert_eq!(table.find("topic", partition), Some(slot));
        }
    }

    #[test]
    fn looking_up_creates_no_slot() {
        let mut table = SlotTable::new();
        table.slot_for("topic", 0);
        assert_eq!(table.find("topic", 1), None);
        assert_eq!(table.find("other", 0), None);
        assert_eq!(table.name(1), None);
        assert_eq!(table.name(u32::MAX), None);
        assert_eq!(table.len(), 1);
    }
}
