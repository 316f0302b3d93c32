//! A record that is gone from the log when it should be delivered again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::life::Life;
use super::steps::{Step, LANES};

fn deliver(life: &mut Life, count: usize) {
    life.run(Step::Settle);
    life.run(Step::Fetch {
        partition: 0,
        count,
    });
    (0..LANES).for_each(|lane| life.pull(lane, 9));
    life.check();
}

#[test]
fn no_chunk_reaches_across_an_unacked_record_that_does_not_come_again() {
    let mut life = Life::new(false, 0, false, NonZeroUsize::new(4), false);
    life.client.append(0, 0, 3);
    life.client.give(&BTreeSet::from([0]));
    life.run(Step::Settle);
    deliver(&mut life, 3);
    let (slot, epoch, ..) = life.chunks[0];
    assert_eq!(life.chunks, [(slot, epoch, 0, 2)]);

    life.client.compact(0, 1);
    life.run(Step::Redeliver { slot });
    deliver(&mut life, 2);
    let [_, first, last] = life.chunks[..] else {
        panic!("{:?}", life.chunks);
    };
    assert_eq!((first, last), ((slot, epoch, 0, 0), (slot, epoch, 2, 2)));
    life.ack_range(first);
    life.ack_range(last);
    life.check();
    assert_eq!(life.seen[&0].unacked().collect::<Vec<i64>>(), [1]);

    // Whoever holds it from before acks it.
    life.ack_range(life.chunks[0]);
    life.check();
    assert_eq!(life.seen[&0].unacked().count(), 0);
}
