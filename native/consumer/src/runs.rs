//! What was fetched, partition by partition.

use std::collections::VecDeque;

use crate::message::Message;
use crate::partition::{Partition, State};
use crate::shared::Shared;

/// Messages of one partition that follow one another.
pub(crate) struct Run<'a> {
    fetched: &'a mut VecDeque<Message>,
    key: (usize, i32),
}

impl Run<'_> {
    /// The next of them.
    pub(crate) fn first(&self) -> Option<&Message> {
        let next = self.fetched.front();
        next.filter(|next| next.partition_key() == self.key)
    }

    /// Takes what [`first`](Self::first) has answered.
    pub(crate) fn take(&mut self) -> Option<Message> {
        self.fetched.pop_front()
    }
}

/// Lets some of the first run be taken, with one lock for all of it, and counts what that parks. `None`
/// when there is nothing left; what is of no partition that we know is dropped.
pub(crate) fn take_run<T>(
    shared: &Shared,
    fetched: &mut VecDeque<Message>,
    take: impl FnOnce(&Partition, &mut State, Run<'_>) -> T,
) -> Option<T> {
    loop {
        let first = fetched.front()?;
        let key = first.partition_key();
        let partition = shared.find(first.topic(), first.partition());
        let mut run = Run { fetched, key };
        let Some(partition) = partition else {
            while run.first().is_some() {
                run.take();
            }
            continue;
        };
        let mut state = partition.lock();
        let before = state.parked_bytes();
        let taken = take(&partition, &mut state, run);
        shared.limits.count(before, state.parked_bytes());
        return Some(taken);
    }
}
