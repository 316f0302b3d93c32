//! What members delivered, and several members that deliver at once.

use std::time::Instant;

use consumer::Delivered;
use crossbeam_channel::Select;

use super::{Member, SOON};

/// A record that was delivered, by what tells it from every other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Got {
    pub partition: i32,
    pub offset: i64,
    pub slot: u32,
    pub epoch: u32,
    pub lane: usize,
    pub value: Option<Vec<u8>>,
}

impl Got {
    pub fn new(lane: usize, delivered: &Delivered) -> Got {
        Got {
            partition: delivered.message.partition(),
            offset: delivered.message.offset(),
            slot: delivered.slot,
            epoch: delivered.epoch,
            lane,
            value: delivered.message.value().map(<[u8]>::to_vec),
        }
    }
}

/// The offsets of one partition, in the order they came.
pub fn offsets(got: &[Got], partition: i32) -> Vec<i64> {
    let those = got.iter().filter(|g| g.partition == partition);
    those.map(|g| g.offset).collect()
}

/// Several members handle and ack what they get at once, until `done` of what was handled.
pub fn pump_until(
    members: &[&Member],
    handled: &mut Vec<(usize, Got)>,
    done: impl Fn(&[(usize, Got)]) -> bool,
) {
    let deadline = Instant::now() + SOON;
    loop {
        for (index, member) in members.iter().enumerate() {
            let got = member.pull_all();
            member.ack(&got);
            handled.extend(got.into_iter().map(|g| (index, g)));
        }
        if done(handled) {
            return;
        }
        let mut select = Select::new();
        for member in members {
            select.recv(&member.wakes);
        }
        let Ok(ready) = select.select_deadline(deadline) else {
            let stuck: Vec<_> = members.iter().map(|m| m.stuck()).collect();
            panic!("{} handled; {stuck:?}", handled.len());
        };
        let index = ready.index();
        let _ = ready.recv(&members[index].wakes);
    }
}

/// The same until there are `count` records more.
pub fn pump_all(members: &[&Member], count: usize) -> Vec<(usize, Got)> {
    let mut handled = Vec::new();
    pump_until(members, &mut handled, |handled| handled.len() >= count);
    handled
}
