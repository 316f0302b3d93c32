//! What members whose messages are chunks delivered.

use super::{Got, Member, SOON};

/// Records that a message may carry in these tests.
pub const SIZE: usize = 10;

/// One pull: its chunks, each in order, of one partition, and with as much as fits in one at most.
pub fn pull(member: &Member, demand: usize) -> (Vec<Vec<Got>>, bool) {
    let pulled = member.consumer().pull(0, demand, || true).unwrap();
    assert!(pulled.messages() <= demand, "above demand");
    let chunks: Vec<Vec<Got>> = pulled
        .in_chunks()
        .map(|chunk| chunk.iter().map(|record| Got::new(0, record)).collect())
        .collect();
    assert_eq!(chunks.iter().flatten().count(), pulled.records.len());
    for chunk in &chunks {
        assert!((1..=SIZE).contains(&chunk.len()));
        assert!(chunk
            .windows(2)
            .all(|two| two[0].partition == two[1].partition && two[0].offset < two[1].offset));
    }
    (chunks, pulled.more)
}

/// Pulls, now and on wake-ups, until there are `count` records.
pub fn take(member: &Member, count: usize) -> Vec<Vec<Got>> {
    take_until(member, |chunks| chunks.iter().flatten().count() >= count)
}

/// The same until there are `count` chunks, however full: they hold what has been fetched by then.
pub fn take_chunks(member: &Member, count: usize) -> Vec<Vec<Got>> {
    take_until(member, |chunks| chunks.len() >= count)
}

fn take_until(member: &Member, enough: impl Fn(&[Vec<Got>]) -> bool) -> Vec<Vec<Got>> {
    let mut chunks: Vec<Vec<Got>> = Vec::new();
    loop {
        let (some, more) = pull(member, 3);
        chunks.extend(some);
        if enough(&chunks) {
            return chunks;
        }
        if !more {
            member.wakes.recv_timeout(SOON).unwrap();
        }
    }
}
