//! Whose partitions are: which lanes somebody claimed for them.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Error;

/// What is claimed, assigned or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Every partition of every topic.
    All,
    /// Every partition of these topics.
    Topics(Vec<String>),
    /// One partition.
    Partition(String, i32),
}

/// Claims that do not overlap, and the lanes of each.
#[derive(Default)]
pub(crate) struct Claims {
    all: Option<Range<usize>>,
    topics: HashMap<String, OfTopic>,
    /// Lanes that were given up, and may be somebody else's once the service thread has cleared them.
    released: Vec<Range<usize>>,
    free: Vec<Range<usize>>,
}

enum OfTopic {
    Whole(Range<usize>),
    Partitions(HashMap<i32, Range<usize>>),
}

impl Claims {
    /// Refuses what overlaps with what somebody has.
    pub(crate) fn check(&self, claim: &Claim) -> Result<(), Error> {
        let taken = |topic: Option<&str>, partition| {
            Err(Error::Claimed {
                topic: topic.map(str::to_owned),
                partition,
            })
        };
        if self.all.is_some() {
            return taken(None, None);
        }
        match claim {
            Claim::All => match self.topics.keys().next() {
                Some(topic) => taken(Some(topic), None),
                None => Ok(()),
            },
            Claim::Topics(topics) => match topics.iter().find(|it| self.topics.contains_key(*it)) {
                Some(topic) => taken(Some(topic), None),
                None => Ok(()),
            },
            Claim::Partition(topic, partition) => match self.topics.get(topic) {
                Some(OfTopic::Partitions(of)) if !of.contains_key(partition) => Ok(()),
                None => Ok(()),
                Some(_) => taken(Some(topic), Some(*partition)),
            },
        }
    }

    /// So many lanes that were somebody's before, if there are as many in a row.
    pub(crate) fn reuse(&mut self, count: usize) -> Option<Range<usize>> {
        let found = self.free.iter().position(|lanes| lanes.len() == count)?;
        Some(self.free.swap_remove(found))
    }

    /// Takes note of a claim that was checked.
    pub(crate) fn put(&mut self, claim: Claim, lanes: Range<usize>) {
        match claim {
            Claim::All => self.all = Some(lanes),
            Claim::Topics(topics) => {
                let whole = topics
                    .into_iter()
                    .map(|it| (it, OfTopic::Whole(lanes.clone())));
                self.topics.extend(whole);
            }
            Claim::Partition(topic, partition) => {
                let none = || OfTopic::Partitions(HashMap::new());
                if let OfTopic::Partitions(of) = self.topics.entry(topic).or_insert_with(none) {
                    of.insert(partition, lanes);
                }
            }
        }
    }

    /// Ends the claim whose first lane this is; answers its lanes.
    pub(crate) fn release(&mut self, first: usize) -> Option<Range<usize>> {
        let mut ended = self.all.take_if(|lanes| lanes.start == first);
        let mut is_it = |lanes: &Range<usize>| {
            let it = lanes.start == first;
            if it {
                ended = Some(lanes.clone());
            }
            it
        };
        self.topics.retain(|_, of| match of {
            OfTopic::Whole(lanes) => !is_it(lanes),
            OfTopic::Partitions(of) => {
                of.retain(|_, lanes| !is_it(lanes));
                !of.is_empty()
            }
        });
        self.released.extend(ended.clone());
        ended
    }

    /// The lanes that were given up since this was asked last.
    pub(crate) fn take_released(&mut self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.released)
    }

    /// Nothing is left on these of whoever had them: from now on they may be somebody else's.
    pub(crate) fn free(&mut self, lanes: Vec<Range<usize>>) {
        self.free.extend(lanes);
    }

    /// The lane of a partition, if somebody has claimed it.
    pub(crate) fn lane_for(&self, topic: &str, partition: i32) -> Option<usize> {
        let lanes = match (&self.all, self.topics.get(topic)) {
            (Some(all), _) => all,
            (None, Some(OfTopic::Whole(lanes))) => lanes,
            (None, Some(OfTopic::Partitions(of))) => of.get(&partition)?,
            (None, None) => return None,
        };
        Some(lanes.start + spread(topic, partition, lanes.len()))
    }
}

/// Which of so many lanes: the same on every start, and neighbours on different lanes.
fn spread(topic: &str, partition: i32, lanes: usize) -> usize {
    // FNV-1a.
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lanes = lanes.max(1) as u64;
    (hash % lanes).wrapping_add(partition.unsigned_abs().into()) as usize % lanes as usize
}

#[cfg(test)]
mod tests {
    use super::{spread, Claim, Claims};
    use crate::error::Error;

    fn topics(names: &[&str]) -> Claim {
        Claim::Topics(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn partition(topic: &str, partition: i32) -> Claim {
        Claim::Partition(topic.to_owned(), partition)
    }

    fn claims(claimed: &[(Claim, std::ops::Range<usize>)]) -> Claims {
        let mut claims = Claims::default();
        for (claim, lanes) in claimed {
            claims.check(claim).unwrap();
            claims.put(claim.clone(), lanes.clone());
        }
        claims
    }

    fn refused(claims: &Claims, claim: &Claim) -> (Option<String>, Option<i32>) {
        match claims.check(claim) {
            Err(Error::Claimed { topic, partition }) => (topic, partition),
            other => panic!("{claim:?} got {other:?}"),
        }
    }

    #[test]
    fn neighbouring_partitions_go_to_different_lanes_and_all_lanes_are_used() {
        for lanes in 1..9 {
            let mut taken: Vec<usize> = (0..lanes as i32)
                .map(|p| spread("orders", p, lanes))
                .collect();
            taken.sort_unstable();
            assert_eq!(taken, (0..lanes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_partition_is_on_a_lane_of_whoever_claimed_it_or_on_none() {
        let claims = claims(&[
            (topics(&["a", "b"]), 0..2),
            (partition("c", 1), 2..3),
            (partition("c", 4), 3..6),
        ]);
        assert!((0..9).all(|p| claims.lane_for("a", p).is_some_and(|lane| lane < 2)));
        assert_eq!(claims.lane_for("c", 1), Some(2));
        assert!((3..6).contains(&claims.lane_for("c", 4).unwrap()));
        assert_eq!(
            (claims.lane_for("c", 0), claims.lane_for("d", 0)),
            (None, None)
        );
    }

    #[test]
    fn what_overlaps_is_refused_by_name_and_what_does_not_is_not() {
        let some = claims(&[(topics(&["a"]), 0..1), (partition("b", 1), 1..2)]);
        let named = |topic: &str, partition| (Some(topic.to_owned()), partition);
        assert_eq!(refused(&some, &topics(&["c", "a"])), named("a", None));
        assert_eq!(refused(&some, &topics(&["b"])), named("b", None));
        assert_eq!(refused(&some, &partition("a", 7)), named("a", Some(7)));
        assert_eq!(refused(&some, &partition("b", 1)), named("b", Some(1)));
        assert!(refused(&some, &Claim::All).0.is_some());
        assert!(some.check(&partition("b", 2)).is_ok());
        assert!(some.check(&topics(&["c"])).is_ok());
        let all = claims(&[(Claim::All, 0..1)]);
        assert_eq!(refused(&all, &partition("b", 2)), (None, None));
        assert_eq!(refused(&all, &Claim::All), (None, None));
    }

    #[test]
    fn released_lanes_are_given_to_the_next_only_once_nothing_is_left_on_them() {
        for claim in [Claim::All, topics(&["a", "b"]), partition("a", 0)] {
            let mut claims = claims(&[(claim.clone(), 4..6)]);
            assert_eq!(claims.release(5), None);
            assert_eq!(claims.release(4), Some(4..6));
            assert_eq!(claims.release(4), None);
            assert!(claims.check(&claim).is_ok());
            assert_eq!(claims.lane_for("a", 0), None);
            let released = claims.take_released();
            assert_eq!((claims.reuse(2), released.len()), (None, 1));
            assert_eq!(released.first(), Some(&(4..6)));
            claims.free(released);
            assert_eq!((claims.reuse(1), claims.reuse(2)), (None, Some(4..6)));
        }
    }
}
