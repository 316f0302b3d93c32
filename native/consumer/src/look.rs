//! What the service thread looks at without having been told to, and what it tells who asks.

use std::time::{Duration, Instant};

use crate::clock;
use crate::consumer::Progress;
use crate::service::Service;

// Wake-ups may be lost (librdkafka sends them on empty to non-empty only), and positions move over
// control records in silence: this often everything is looked at without having been told to.
const BACKSTOP: Duration = Duration::from_secs(1);

const SOON: Duration = Duration::from_millis(50);

impl Service {
    /// Looks before the backstop.
    pub(crate) fn look_soon(&mut self) {
        self.next_look = self.next_look.min(clock::now() + SOON);
    }

    /// What is looked at without having been told to.
    pub(crate) fn look(&mut self, now: Instant) {
        self.next_look = now + BACKSTOP;
        for partition in self.assigned() {
            let intake = self.shared.pool_of(&partition).intake.lock();
            partition.lock().rejoin(intake.queue.as_ref());
        }
        for pool in &self.shared.pools {
            let intake = pool.intake.lock();
            let Some(queue) = &intake.queue else { continue };
            if let (Some(bell), true) = (&pool.bell, queue.len() > 0) {
                bell.ring();
            }
            // A position counts what was taken from the queue, whatever is left in it.
            if intake.fetched.is_empty() {
                self.advance_positions(pool);
            }
        }
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        self.shared
            .all()
            .iter()
            .filter_map(|partition| {
                let mut progress = Progress::of(partition)?;
                let (topic, number) = (&partition.topic, partition.partition);
                (progress.low_watermark, progress.high_watermark) =
                    self.client.watermarks(topic, number);
                progress.paused |= self.shared.all_paused();
                progress.unacked_age = self.stalls.age(partition, clock::now());
                Some(progress)
            })
            .collect()
    }
}
