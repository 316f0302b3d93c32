//! How many bytes may be fetched and not delivered, and who may hold how many of them.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a queued record takes besides its key and value.
pub(crate) const RECORD: usize = 400;

// librdkafka takes no fetch.max.bytes below its message.max.bytes.
const LEAST_FETCH: usize = 1_000_000;
const LEAST_KBYTES: usize = 1;

/// The shares of `max_buffered_bytes`.
pub(crate) struct Limits {
    /// In a lane's queue.
    lane: usize,
    /// What one fetch of one broker brings, and of it one partition's part.
    fetch: usize,
    part: usize,
    /// What may be parked of all partitions, and what is.
    may_park: usize,
    parked: AtomicUsize,
    /// What may be read before records that are parked are copied out of what they came in.
    kept: usize,
}

// A partition alone may park a fourth of it: a run of records that fills a fetch.
const ALONE: u128 = 4;

impl Limits {
    /// For so many lanes, each with a queue, or with 0 for claimed ones, which share a queue.
    pub(crate) fn new(max_buffered_bytes: u64, lanes: usize) -> Limits {
        let all = usize::try_from(max_buffered_bytes).unwrap_or(usize::MAX);
        Limits {
            lane: all / 8 / lanes.max(1),
            fetch: (all / 16).max(LEAST_FETCH),
            // A broker gives nothing of a partition whose next batch is larger than this, but for the first
            // one. What is on its way when a partition has its share is fetched again.
            part: match lanes {
                // What one reads for the others is parked.
                0 => all / 512,
                _ => (all / 64).max(1),
            },
            may_park: all / 2,
            kept: all / 8,
            parked: AtomicUsize::new(0),
        }
    }

    /// The same to librdkafka.
    pub(crate) fn properties(&self) -> [(&'static str, String); 4] {
        let number = |value: usize| value.min(1_000_000_000).to_string();
        [
            (
                "queued.max.messages.kbytes",
                (self.lane / 1000)
                    .clamp(LEAST_KBYTES, 2_000_000)
                    .to_string(),
            ),
            // A short record takes more than its bytes.
            (
                "queued.min.messages",
                (self.lane / RECORD).clamp(1, 10_000_000).to_string(),
            ),
            ("fetch.max.bytes", number(self.fetch)),
            ("fetch.message.max.bytes", number(self.part)),
        ]
    }

    /// How much may be parked beyond a share, of partitions that get none any more. Half is left to others.
    pub(crate) fn spare(&self) -> usize {
        (self.may_park / 2).saturating_sub(self.parked())
    }

    /// How much may be read after a record was parked, before it is copied.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// How much one partition may have parked now. It falls with the square of what is left, so that
    /// many may have some.
    pub(crate) fn share(&self) -> usize {
        let left = self.may_park.saturating_sub(self.parked()) as u128;
        let share = left * left / (ALONE * self.may_park.max(1) as u128);
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Counts what became of a partition's parked bytes.
    pub(crate) fn count(&self, before: usize, now: usize) {
        if now > before {
            self.parked.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.parked.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    const MIB: u64 = 1024 * 1024;

    fn set(max_buffered_bytes: u64, lanes: usize) -> Vec<(&'static str, usize)> {
        let limits = Limits::new(max_buffered_bytes, lanes);
        limits
            .properties()
            .map(|(name, value)| (name, value.parse().unwrap()))
            .to_vec()
    }

    fn of(set: &[(&str, usize)], name: &str) -> usize {
        set.iter().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn queues_and_parked_records_stay_within_what_is_given_to_them_all() {
        for (lanes, partitions) in [(0, 1000), (1, 1), (1, 1000), (4, 8), (20, 1000)] {
            let limits = Limits::new(64 * MIB, lanes);
            for _ in 0..partitions {
                limits.count(0, limits.share());
            }
            let queues =
                lanes.max(1) * of(&set(64 * MIB, lanes), "queued.max.messages.kbytes") * 1000;
            assert!(queues + limits.parked() <= 64 * MIB as usize);
        }
    }

    #[test]
    fn a_partition_alone_has_room_and_some_is_left_beside_hundreds() {
        let limits = Limits::new(64 * MIB, 1);
        assert_eq!(limits.share(), 8 * MIB as usize);
        for _ in 0..200 {
            // Each parks little by little, until it has as much as it may.
            let mut parked = 0;
            while parked < limits.share() {
                limits.count(parked, parked + 500);
                parked += 500;
            }
        }
        assert!(limits.share() > 1000);
    }

    #[test]
    fn by_default_a_batch_of_a_mebibyte_fits_into_a_part_of_an_answer() {
        let all = set(64 * MIB, 1);
        assert_eq!(of(&all, "fetch.message.max.bytes"), MIB as usize);
    }

    #[test]
    fn librdkafka_takes_what_follows_from_the_least_and_the_most() {
        for (bytes, lanes) in [(1, 4), (MIB, 0), (MIB, 4), (u64::MAX, 4)] {
            let set = set(bytes, lanes);
            assert!((1..=2_097_151).contains(&of(&set, "queued.max.messages.kbytes")));
            assert!((1..=10_000_000).contains(&of(&set, "queued.min.messages")));
            assert!((1_000_000..=2_147_483_135).contains(&of(&set, "fetch.max.bytes")));
            assert!((1..=1_000_000_000).contains(&of(&set, "fetch.message.max.bytes")));
        }
    }
}
