//! A partition that is about to go, and stays.

use std::collections::BTreeSet;

use super::life::{Life, DRAIN_TIMEOUT};
use super::steps::{Step, LANES};

const RECORDS: i64 = 3;

/// Whoever had the records is gone, by one of the ways in which the member hears of that.
fn lose_whoever_had_them(life: &mut Life, claimed: bool, by_lane: bool) {
    if claimed {
        // Nobody's records are not waited for; these are somebody's again at once.
        life.run(Step::Release { forget: true });
        life.run(Step::Claim);
    } else if by_lane {
        (0..LANES).for_each(|lane| life.run(Step::Attach { lane, forget: true }));
    } else {
        let slot = life.seen[&0].slot;
        life.in_hand.clear();
        life.run(Step::Redeliver { slot });
    }
    life.run(Step::Turn { after: 0 });
}

fn pull(life: &mut Life) {
    life.client.fetch(0, RECORDS as usize);
    (0..LANES).for_each(|lane| life.run(Step::Pull { lane, demand: 9 }));
    life.check();
}

/// Lives whose only partition is about to go, with all its records in hand.
fn going() -> impl Iterator<Item = (Life, bool, bool)> {
    let ways = [(false, true), (false, false), (true, false)];
    let all = [false, true].map(|eager| ways.map(|(claimed, lane)| (eager, claimed, lane)));
    all.into_iter().flatten().map(|(eager, claimed, by_lane)| {
        let mut life = Life::new(eager, 0, false, None, claimed);
        life.client.append(0, 0, RECORDS);
        life.client.give(&BTreeSet::from([0]));
        life.run(Step::Settle);
        pull(&mut life);
        assert_eq!(life.in_hand.len(), RECORDS as usize);
        life.client.take_back(&BTreeSet::from([0]));
        life.run(Step::Turn { after: 0 });
        (life, claimed, by_lane)
    })
}

#[test]
fn what_nobody_has_any_more_of_a_partition_that_stays_after_all_is_delivered_again() {
    for (mut life, claimed, by_lane) in going() {
        lose_whoever_had_them(&mut life, claimed, by_lane);
        life.run(Step::GiveAgain);
        life.run(Step::Settle);
        // An assignment has parted the queues, which the next look joins once more.
        life.run(Step::Turn { after: 200 });
        pull(&mut life);
        assert_eq!(life.in_hand.len(), RECORDS as usize, "claimed: {claimed}");
        life.run(Step::AckAllBut { count: 0 });
        life.run(Step::Settle);
        assert_eq!(life.client.committed_offset(0), Some(RECORDS));
    }
}

#[test]
fn a_drain_ends_with_the_acks_of_what_is_to_be_delivered_again() {
    for (mut life, claimed, by_lane) in going() {
        let had = life.in_hand.clone();
        lose_whoever_had_them(&mut life, claimed, by_lane);
        life.in_hand = had;
        life.run(Step::AckAllBut { count: 0 });
        assert!(life.seen[&0].open);
        life.run(Step::Settle);
        assert!(!life.seen[&0].open);
        assert_eq!(life.client.committed_offset(0), Some(RECORDS));
    }
}

#[test]
fn a_drain_of_what_is_to_be_delivered_again_is_over_in_time_and_commits_nothing_of_it() {
    for (mut life, claimed, by_lane) in going() {
        lose_whoever_had_them(&mut life, claimed, by_lane);
        life.run(Step::Turn {
            after: DRAIN_TIMEOUT.as_millis() as u64,
        });
        life.run(Step::Settle);
        assert!(!life.seen[&0].open);
        assert_eq!(life.client.committed_offset(0), Some(0));
    }
}
