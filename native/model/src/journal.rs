//! What the member told and sent, in the order in which it did, for the thread that plays it.

use std::cell::RefCell;

use crate::event::Event;

pub(crate) enum Note {
    Told(Event),
    /// Partitions and offsets of one commit.
    Sent(Vec<(i32, i64)>),
}

thread_local! {
    static NOTES: RefCell<Vec<Note>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn note(note: Note) {
    NOTES.with_borrow_mut(|notes| notes.push(note));
}

pub(crate) fn take() -> Vec<Note> {
    NOTES.take()
}
