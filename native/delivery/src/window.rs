//! The marks of the offsets between the oldest unacked one and the newest
//! delivered one: two bits an offset, in blocks of 64.

use std::collections::VecDeque;

/// Blocks a gap may span before it opens a new segment: 1024 offsets, so that
/// filling one never costs more than 256 bytes.
const MAX_GAP: u64 = 16;

/// What the window knows of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Absent,
    Unacked,
    Acked,
}

/// 64 offsets. A bit in `unacked` is always set in `delivered` too.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    delivered: u64,
    unacked: u64,
}

/// Blocks without a gap; `first` is the first one's number. Numbers instead of
/// offsets, because the offset after the last block does not fit an `i64`.
#[derive(Clone, Debug)]
struct Segment {
    first: u64,
    blocks: VecDeque<Block>,
}

/// Segments in increasing order. None is empty but a last one, kept for its buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    segments: VecDeque<Segment>,
    held: u64,
}

impl Window {
    /// Marks an offset delivered and unacked. It must be above all marked before.
    pub(crate) fn push(&mut self, offset: i64) {
        self.held += 1;
        let (block, bit) = locate(offset);
        let unacked = Block {
            delivered: bit,
            unacked: bit,
        };
        match self.segments.back_mut() {
            Some(last) if last.blocks.is_empty() => {
                last.first = block;
                last.blocks.push_back(unacked);
            }
            Some(last) if block - last.last() <= MAX_GAP => {
                while last.last() < block {
                    last.blocks.push_back(Block::default());
                }
                if let Some(last) = last.blocks.back_mut() {
                    last.delivered |= bit;
                    last.unacked |= bit;
                }
            }
            _ => self.segments.push_back(Segment {
                first: block,
                blocks: VecDeque::from([unacked]),
            }),
        }
    }

    /// How many delivered offsets are in blocks that were not forgotten.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    pub(crate) fn mark(&self, offset: i64) -> Mark {
        let (block, bit) = locate(offset);
        let segment = self.segments.get(self.segment_of(block));
        segment
            .and_then(|segment| segment.blocks.get(segment.index(block)?))
            .map_or(Mark::Absent, |block| block.mark(bit))
    }

    /// Marks an unacked offset acked. Answers the mark it had.
    pub(crate) fn ack(&mut self, offset: i64) -> Mark {
        let (block, bit) = locate(offset);
        let index = self.segment_of(block);
        let segment = self.segments.get_mut(index);
        let found = segment.and_then(|segment| {
            let index = segment.index(block)?;
            segment.blocks.get_mut(index)
        });
        found.map_or(Mark::Absent, |block| {
            let before = block.mark(bit);
            block.unacked &= !bit;
            before
        })
    }

    /// Marks the unacked offsets from `first` to `last` acked. Answers how many those were.
    pub(crate) fn ack_range(&mut self, first: i64, last: i64) -> u64 {
        let ((first, lowest), (last, highest)) = (locate(first), locate(last));
        let (at_first, at_last) = (!(lowest - 1), highest | (highest - 1));
        let from = self.segment_of(first);
        let mut acked = 0;
        for segment in self.segments.range_mut(from..) {
            let Some(end) = segment.index(last) else {
                break;
            };
            let size = segment.blocks.len();
            let begin = segment.index(first).unwrap_or(0).min(size);
            let blocks = segment.blocks.range_mut(begin..(end + 1).min(size));
            for (number, block) in (segment.first + begin as u64..).zip(blocks) {
                let mut mask = u64::MAX;
                if number == first {
                    mask &= at_first;
                }
                if number == last {
                    mask &= at_last;
                }
                acked += u64::from((block.unacked & mask).count_ones());
                block.unacked &= !mask;
            }
        }
        acked
    }

    /// Forgets the blocks below the first unacked offset, and answers that offset.
    pub(crate) fn trim(&mut self) -> Option<i64> {
        while let Some(segment) = self.segments.front_mut() {
            while let Some(block) = segment.blocks.front() {
                if block.unacked != 0 {
                    return Some(offset_at(segment.first, block.unacked));
                }
                self.held -= u64::from(block.delivered.count_ones());
                segment.blocks.pop_front();
                segment.first += 1;
            }
            if self.segments.len() == 1 {
                return None;
            }
            self.segments.pop_front();
        }
        None
    }

    /// The first unacked offset above the given one.
    pub(crate) fn unacked_after(&self, offset: i64) -> Option<i64> {
        let (block, bit) = locate(offset);
        let above = !(bit | (bit - 1));
        let from = self.segment_of(block);
        self.segments.range(from..).find_map(|segment| {
            let skip = segment.index(block).unwrap_or(0).min(segment.blocks.len());
            let blocks = segment.blocks.range(skip..);
            (segment.first + skip as u64..)
                .zip(blocks)
                .find_map(|(number, candidate)| {
                    let mask = if number == block { above } else { u64::MAX };
                    let unacked = candidate.unacked & mask;
                    (unacked != 0).then(|| offset_at(number, unacked))
                })
        })
    }

    /// The index of the only segment that can hold a block, the first one if none can.
    fn segment_of(&self, block: u64) -> usize {
        if self.segments.len() <= 1 {
            return 0;
        }
        self.segments
            .partition_point(|segment| segment.first <= block)
            .saturating_sub(1)
    }
}

impl Segment {
    /// The last block's number; of no use when there is none.
    fn last(&self) -> u64 {
        self.first + self.blocks.len() as u64 - 1
    }

    fn index(&self, block: u64) -> Option<usize> {
        usize::try_from(block.checked_sub(self.first)?).ok()
    }
}

impl Block {
    fn mark(self, bit: u64) -> Mark {
        if self.unacked & bit != 0 {
            Mark::Unacked
        } else if self.delivered & bit != 0 {
            Mark::Acked
        } else {
            Mark::Absent
        }
    }
}

/// An offset's block number and its bit in there. Offsets here are never negative.
fn locate(offset: i64) -> (u64, u64) {
    let offset = offset as u64;
    (offset / 64, 1 << (offset % 64))
}

/// The offset of the lowest bit.
fn offset_at(block: u64, bits: u64) -> i64 {
    (block * 64 + u64::from(bits.trailing_zeros())) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offsets: &[i64]) -> Window {
        let mut window = Window::default();
        offsets.iter().for_each(|&offset| window.push(offset));
        window
    }

    fn blocks(window: &Window) -> usize {
        window.segments.iter().map(|s| s.blocks.len()).sum()
    }

    #[test]
    fn a_gap_of_a_thousand_offsets_stays_in_its_segment_and_a_larger_one_does_not() {
        assert_eq!(window(&[0, 16 * 64]).segments.len(), 1);
        let wide = window(&[0, 17 * 64]);
        assert_eq!((wide.segments.len(), blocks(&wide)), (2, 2));
        assert_eq!(wide.mark(17 * 64), Mark::Unacked);
        assert_eq!(wide.mark(8 * 64), Mark::Absent);
    }

    #[test]
    fn memory_follows_what_is_delivered_and_not_the_distance() {
        let spread: Vec<i64> = (0..1000).map(|n| n << 50).collect();
        assert_eq!(blocks(&window(&spread)), 1000);
    }

    #[test]
    fn acked_blocks_and_segments_are_dropped_from_the_front_only() {
        let far = i64::MAX - 1;
        let mut window = window(&[0, 64, 128, far]);
        window.ack(64);
        assert_eq!((window.trim(), blocks(&window)), (Some(0), 4));
        window.ack(0);
        assert_eq!((window.trim(), blocks(&window)), (Some(128), 2));
        window.ack(128);
        assert_eq!((window.trim(), window.segments.len()), (Some(far), 1));
        window.ack(far);
        assert_eq!((window.trim(), blocks(&window)), (None, 0));
    }

    #[test]
    fn the_next_unacked_offset_is_found_across_bits_blocks_and_segments() {
        let mut window = window(&[3, 4, 63, 64, 200, 1 << 40]);
        assert_eq!(window.unacked_after(3), Some(4));
        assert_eq!(window.unacked_after(4), Some(63));
        assert_eq!(window.unacked_after(63), Some(64));
        window.ack(200);
        assert_eq!(window.unacked_after(64), Some(1 << 40));
        assert_eq!(window.unacked_after(100_000), Some(1 << 40));
        assert_eq!(window.unacked_after(1 << 40), None);
    }

    #[test]
    fn a_range_acks_what_lies_in_it_across_bits_blocks_and_segments() {
        let offsets = [3, 4, 63, 64, 200, 1 << 40, 1 << 50];
        for first in [0, 3, 4, 5, 64, 100, 1 << 40] {
            for last in [3, 4, 63, 64, 199, 200, 1 << 40, (1 << 50) - 1, 1 << 50] {
                let mut window = window(&offsets);
                let inside = |offset: &&i64| (first..=last).contains(*offset);
                let expected = offsets.iter().filter(inside).count() as u64;
                let acked = if first <= last {
                    window.ack_range(first, last)
                } else {
                    0
                };
                assert_eq!(acked, expected, "{first} to {last}");
                for offset in &offsets {
                    let acked = window.mark(*offset) == Mark::Acked;
                    assert_eq!(acked, inside(&offset), "{offset} of {first} to {last}");
                }
            }
        }
    }

    #[test]
    fn the_buffer_of_an_emptied_window_is_used_again() {
        let mut window = window(&[5]);
        window.ack(5);
        assert_eq!(window.trim(), None);
        window.push(1 << 50);
        assert_eq!(window.segments.len(), 1);
        assert_eq!(window.mark(1 << 50), Mark::Unacked);
        assert_eq!(window.mark(5), Mark::Absent);
    }
}
