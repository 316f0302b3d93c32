//! A list that only grows, and is read without a lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

// Each as long as all before it and one more.
const BLOCKS: usize = 24;

/// Elements that stay where they are. Reading one costs two loads, however many there are and whoever
/// adds some meanwhile.
pub struct Shelf<T> {
    blocks: [OnceLock<Box<[OnceLock<T>]>>; BLOCKS],
    len: AtomicUsize,
    growing: Mutex<()>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf {
            blocks: [const { OnceLock::new() }; BLOCKS],
            len: AtomicUsize::new(0),
            growing: Mutex::new(()),
        }
    }
}

impl<T> Shelf<T> {
    /// The most that there is room for.
    pub const CAPACITY: usize = (1 << BLOCKS) - 1;

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        let (block, place) = place(index);
        self.blocks.get(block)?.get()?.get(place)?.get()
    }

    /// All there are, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Makes elements until there are so many, or no room for more.
    pub fn grow_to(&self, len: usize, make: impl Fn(usize) -> T) {
        let _turn = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        for index in self.len()..len.min(Self::CAPACITY) {
            let (block, place) = place(index);
            let Some(block_of) = self.blocks.get(block) else {
                return;
            };
            let block_of =
                block_of.get_or_init(|| (0..1 << block).map(|_| OnceLock::new()).collect());
            if let Some(empty) = block_of.get(place) {
                let _ = empty.set(make(index));
            }
            self.len.store(index + 1, Ordering::Release);
        }
    }
}

fn place(index: usize) -> (usize, usize) {
    let number = index.saturating_add(1);
    let block = number.ilog2() as usize;
    (block, number - (1 << block))
}

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn elements_keep_their_index_and_their_place_while_more_are_added() {
        let shelf = Shelf::default();
        shelf.grow_to(3, |index| index * 10);
        let first: *const usize = shelf.get(0).unwrap();
        shelf.grow_to(1_000, |index| index * 10);
        shelf.grow_to(5, |_| 0);
        assert_eq!(shelf.len(), 1_000);
        assert!(shelf.iter().copied().eq((0..1_000).map(|index| index * 10)));
        assert!(std::ptr::eq(first, shelf.get(0).unwrap()));
        assert_eq!((shelf.get(1_000), shelf.get(usize::MAX)), (None, None));
    }
}
