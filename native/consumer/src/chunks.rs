//! What a partition has in flight, in chunks.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

/// How much of one partition may be in flight.
#[derive(Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) records: u64,
    /// Counted besides where a message is a chunk. Chunks are not always full: by records alone a
    /// partition could take all demand before it is at its cap.
    pub(crate) chunks: Option<u64>,
}

impl Caps {
    pub(crate) fn new(max_in_flight: u64, chunk_size: Option<NonZeroUsize>) -> Caps {
        let records = max_in_flight.max(1);
        let chunks = chunk_size.map(|size| (records / size.get() as u64).max(1));
        Caps { records, chunks }
    }
}

/// The chunks that were delivered in this attempt, from the first unacked one on.
#[derive(Default)]
pub(crate) struct Chunks {
    /// In the order of their offsets.
    delivered: VecDeque<Chunk>,
    in_flight: u64,
}

struct Chunk {
    first: i64,
    last: i64,
    unacked: u64,
}

impl Chunks {
    /// How many have a record that is not acked.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// A record was delivered, as the first of a chunk or as one more of the newest.
    pub(crate) fn deliver(&mut self, offset: i64, begins: bool) {
        match self.delivered.back_mut() {
            Some(newest) if !begins && newest.unacked > 0 => {
                newest.last = offset;
                newest.unacked += 1;
            }
            _ => {
                self.in_flight += 1;
                self.delivered.push_back(Chunk {
                    first: offset,
                    last: offset,
                    unacked: 1,
                });
            }
        }
    }

    /// Acks a range by `ack`, which answers how many of the offsets it is given were unacked, and
    /// answers how many were in all. A range may be of an attempt that was cut in another way.
    pub(crate) fn ack(
        &mut self,
        first: i64,
        last: i64,
        mut ack: impl FnMut(i64, i64) -> u64,
    ) -> u64 {
        let (mut acked, mut from) = (0, first);
        let index = self.delivered.partition_point(|chunk| chunk.last < first);
        for chunk in self.delivered.range_mut(index..) {
            if chunk.first > last {
                break;
            }
            if from < chunk.first {
                acked += ack(from, chunk.first - 1);
                from = chunk.first;
            }
            let of_chunk = ack(from, chunk.last.min(last));
            acked += of_chunk;
            from = chunk.last + 1;
            let open = chunk.unacked > 0;
            chunk.unacked = chunk.unacked.saturating_sub(of_chunk);
            self.in_flight -= u64::from(open && chunk.unacked == 0);
        }
        if from <= last {
            acked += ack(from, last);
        }
        while self.delivered.front().is_some_and(|it| it.unacked == 0) {
            self.delivered.pop_front();
        }
        acked
    }

    /// Nothing is in flight, or what is will be delivered again.
    pub(crate) fn clear(&mut self) {
        self.delivered.clear();
        self.in_flight = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Chunks;

    /// Chunks beside the plain set of what is unacked.
    #[derive(Default)]
    struct Partition {
        chunks: Chunks,
        unacked: BTreeSet<i64>,
    }

    impl Partition {
        fn deliver(&mut self, offsets: &[i64]) {
            for (index, offset) in offsets.iter().enumerate() {
                self.chunks.deliver(*offset, index == 0);
                self.unacked.insert(*offset);
            }
        }

        fn ack(&mut self, first: i64, last: i64) -> (u64, u64) {
            let unacked = &mut self.unacked;
            let acked = self.chunks.ack(first, last, |first, last| {
                let before = unacked.len();
                unacked.retain(|offset| !(first..=last).contains(offset));
                (before - unacked.len()) as u64
            });
            (acked, self.chunks.in_flight())
        }
    }

    fn partition(chunks: &[&[i64]]) -> Partition {
        let mut partition = Partition::default();
        chunks.iter().for_each(|chunk| partition.deliver(chunk));
        partition
    }

    #[test]
    fn a_chunk_is_in_flight_until_the_last_of_its_records_is_acked() {
        let mut partition = partition(&[&[0, 1, 5], &[6, 7]]);
        assert_eq!(partition.chunks.in_flight(), 2);
        assert_eq!(partition.ack(1, 1), (1, 2));
        assert_eq!(partition.ack(6, 7), (2, 1));
        assert_eq!(partition.ack(0, 0), (1, 1));
        assert_eq!(partition.ack(5, 5), (1, 0));
        assert!(partition.chunks.delivered.is_empty());
    }

    #[test]
    fn a_range_that_was_cut_in_another_way_counts_for_every_chunk_it_meets() {
        let mut partition = partition(&[&[10, 11], &[14, 15], &[20]]);
        assert_eq!(partition.ack(0, 14), (3, 2));
        assert_eq!(partition.ack(15, 30), (2, 0));
    }

    #[test]
    fn what_no_chunk_of_this_attempt_has_is_acked_all_the_same() {
        let mut partition = partition(&[&[10, 11]]);
        partition.unacked.extend([3, 12, 13]);
        assert_eq!(partition.ack(12, 13), (2, 1));
        assert_eq!(partition.ack(0, 20), (3, 0));
        assert_eq!(partition.ack(0, 20), (0, 0));
    }

    #[test]
    fn a_record_after_a_chunk_that_is_acked_already_begins_another() {
        let mut partition = partition(&[&[0, 1]]);
        assert_eq!(partition.ack(0, 1), (2, 0));
        partition.chunks.deliver(2, false);
        partition.unacked.insert(2);
        assert_eq!(partition.ack(2, 2), (1, 0));
    }

    #[test]
    fn after_a_clear_nothing_is_in_flight_and_late_acks_count_for_nothing() {
        let mut partition = partition(&[&[0, 1], &[2]]);
        partition.chunks.clear();
        assert_eq!(partition.ack(0, 1), (2, 0));
        partition.deliver(&[2]);
        assert_eq!(partition.ack(2, 2), (1, 0));
    }
}
