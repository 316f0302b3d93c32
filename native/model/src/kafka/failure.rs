//! What the client reports of itself: that calls fail, that no broker is there, that it is over.

use crate::client::Client;
use crate::code::Code;
use crate::error::Error;
use crate::polled::Polled;
use crate::types::RDKafkaRespErr::{
    self, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__FATAL,
    RD_KAFKA_RESP_ERR__TRANSPORT,
};

/// Why a call failed that a test lets fail.
pub(crate) fn refusal() -> Error {
    failure(RD_KAFKA_RESP_ERR__TRANSPORT, false)
}

fn failure(code: RDKafkaRespErr, is_fatal: bool) -> Error {
    Code::of(code).map_or(Error::Closed, |code| Error::Kafka {
        code,
        message: "a failure".to_owned(),
        fatal: is_fatal,
        topic: None,
        partition: None,
    })
}

impl Client {
    /// No broker can be reached.
    pub(crate) fn all_down(&self) {
        self.look().down = true;
        let error = failure(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, false);
        self.events.post(Polled::Error(error));
    }

    /// The client fails for good: it takes all partitions away, and says no more of it than that.
    pub(crate) fn fail_for_good(&self) {
        let mut cluster = self.look();
        cluster.failed = true;
        cluster.lost = false;
        cluster.unanswered = None;
        cluster.ours.clear();
        cluster.unassign_all();
        cluster.generation += 1;
        let error = failure(RD_KAFKA_RESP_ERR__FATAL, true);
        self.events.post(Polled::Error(error));
    }
}
