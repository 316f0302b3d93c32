//! The watchdog: a partition whose oldest unacked record stays the same is told, with its age.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use consumer::{Event, Stalled};
use support::{offsets, Lab, Member};

const TIMEOUT: Duration = Duration::from_secs(1);

fn watched(lab: &Lab) -> Member {
    lab.assigned_member(|config| config.unacked_timeout = Some(TIMEOUT))
}

fn stalled(member: &mut Member) -> Vec<Stalled> {
    member.event("stall", |event| match event {
        Event::Stalled(stalled) => Some(stalled.clone()),
        _ => None,
    })
}

/// The first time that this partition is among them.
fn stalled_at(member: &mut Member, partition: i32) -> Vec<Stalled> {
    loop {
        let stalled = stalled(member);
        if stalled.iter().any(|it| it.partition == partition) {
            return stalled;
        }
    }
}

fn untold(member: &mut Member) -> bool {
    let unread = member.unread();
    !unread
        .iter()
        .any(|event| matches!(event, Event::Stalled(_)))
}

#[test]
fn the_oldest_unacked_record_is_told_by_its_age_and_again_as_it_grows() {
    let lab = Lab::new(2);
    lab.fill(5);
    let mut member = watched(&lab);
    let got = member.take(10);
    let at = Instant::now();
    member.ack(got.iter().filter(|g| g.partition == 0 || g.offset < 2));
    let first = stalled_at(&mut member, 1);
    let elapsed = at.elapsed();
    let [told] = first.as_slice() else {
        panic!("{first:?}")
    };
    assert_eq!((told.partition, told.offset, told.in_flight), (1, 2, 3));
    assert_eq!(
        (told.slot, told.epoch),
        (got.iter().find(|g| g.partition == 1).unwrap().slot, 1)
    );
    assert!(
        told.age >= TIMEOUT && told.age <= elapsed,
        "{told:?} after {elapsed:?}"
    );
    let again = stalled(&mut member);
    assert_eq!(again[0].offset, 2);
    assert!(again[0].age >= 2 * TIMEOUT, "{again:?}");
}

#[test]
fn a_partition_that_goes_on_is_not_told_however_much_it_has_in_flight() {
    let lab = Lab::new(1);
    lab.fill(40);
    let mut member = watched(&lab);
    let got = member.take(40);
    let end = Instant::now() + 3 * TIMEOUT;
    for record in &got {
        let next = Instant::now() + TIMEOUT / 8;
        member.ack([record]);
        while Instant::now() < next.min(end) {
            let _ = member.events.recv_deadline(next).map(|event| {
                assert!(!matches!(event, Event::Stalled(_)), "{event:?}");
            });
        }
    }
    assert!(untold(&mut member));
}

#[test]
fn what_is_acked_late_is_told_no_more() {
    let lab = Lab::new(1);
    lab.fill(1);
    let mut member = watched(&lab);
    let got = member.take(1);
    stalled(&mut member);
    member.ack(&got);
    member.committed(0, 1);
    member.unread().clear();
    let quiet = Instant::now() + 3 * TIMEOUT;
    while let Ok(event) = member.events.recv_deadline(quiet) {
        assert!(!matches!(event, Event::Stalled(_)), "{event:?}");
    }
}

#[test]
fn a_partition_is_redelivered_alone_from_its_oldest_unacked_record_without_what_was_acked() {
    let lab = Lab::new(2);
    lab.fill(6);
    let mut member = watched(&lab);
    let got = member.take(12);
    member.ack(got.iter().filter(|g| g.offset % 2 == 0));
    let told = stalled_at(&mut member, 1);
    let slot = told.iter().find(|told| told.partition == 1).unwrap().slot;
    member.consumer().redeliver(vec![slot]).unwrap();
    let again = member.take(3);
    assert_eq!(offsets(&again, 1), [1, 3, 5]);
    lab.fill(1);
    let new = member.take(2);
    assert_eq!((offsets(&new, 0), offsets(&new, 1)), (vec![6], vec![6]));
    member.ack(&again);
    member.ack(&new);
    member.committed(1, 7);
}

#[test]
fn redelivery_while_records_are_pulled_leaves_no_gap_and_repeats_nothing_acked() {
    const COUNT: usize = 2_000;
    let lab = Lab::new(1);
    lab.fill(COUNT as i64);
    let mut member = watched(&lab);
    let mut times = vec![0; COUNT];
    let mut acked = vec![false; COUNT];
    while acked.iter().any(|acked| !acked) {
        for record in member.take(1) {
            let offset = record.offset as usize;
            assert!(!acked[offset], "{offset} again after its ack");
            times[offset] += 1;
            // Every third one is lost once, as by a handler that returned fewer.
            let lost = offset % 3 == 0 && times[offset] == 1;
            if !lost {
                member.ack([&record]);
                acked[offset] = true;
            }
            if offset % 50 == 49 || offset + 1 == COUNT {
                member.consumer().redeliver(vec![record.slot]).unwrap();
            }
        }
    }
    member.committed(0, COUNT as i64);
    assert!(times
        .iter()
        .enumerate()
        .all(|(offset, times)| offset % 3 != 0 || *times == 2));
}

#[test]
fn what_is_no_slot_is_redelivered_as_nothing() {
    let lab = Lab::new(1);
    let member = watched(&lab);
    member.consumer().redeliver(vec![7, u32::MAX]).unwrap();
    member.consumer().redeliver(Vec::new()).unwrap();
    lab.fill(2);
    assert_eq!(offsets(&member.take(2), 0), [0, 1]);
}
