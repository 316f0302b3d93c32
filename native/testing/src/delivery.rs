//! Where the delivery reports of one `produce` call are gathered.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message};

/// The reports of one `produce` call, in the order of its records.
pub(crate) struct Reports {
    state: Mutex<State>,
    complete: Condvar,
}

struct State {
    offsets: Vec<i64>,
    missing: usize,
    failure: Option<(KafkaError, i32)>,
}

impl Reports {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                offsets: vec![-1; count],
                missing: count,
                failure: None,
            }),
            complete: Condvar::new(),
        })
    }

    /// Waits until no report is missing: the offsets, or the first failure and its partition
    /// (none when time ran out).
    pub(crate) fn wait(&self, deadline: Instant) -> Result<Vec<i64>, (KafkaError, Option<i32>)> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (mut state, _) = self
            .complete
            .wait_timeout_while(self.lock(), left, |state| state.missing > 0)
            .unwrap_or_else(PoisonError::into_inner);
        match state.failure.take() {
            Some((error, partition)) => Err((error, Some(partition))),
            None if state.missing > 0 => {
                let code = RDKafkaErrorCode::OperationTimedOut;
                Err((KafkaError::MessageProduction(code), None))
            }
            None => Ok(std::mem::take(&mut state.offsets)),
        }
    }

    /// Gives the polling thread a moment to take reports, and so room, from a full queue.
    pub(crate) fn pause(&self) {
        drop(
            self.complete
                .wait_timeout(self.lock(), Duration::from_millis(2)),
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One record's place in its call; goes through librdkafka with the record.
pub(crate) struct Report {
    pub(crate) reports: Arc<Reports>,
    pub(crate) index: usize,
}

/// Hands each delivery report to the call that waits for it.
pub(crate) struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let mut state = report.reports.lock();
        match result {
            Ok(message) => state.offsets[report.index] = message.offset(),
            Err((error, message)) => {
                state
                    .failure
                    .get_or_insert((error.clone(), message.partition()));
            }
        }
        state.missing -= 1;
        if state.missing == 0 {
            report.reports.complete.notify_all();
        }
    }
}
