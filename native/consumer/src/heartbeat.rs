//! Answers to KIP-848 heartbeats that were lost.
//!
//! The brokers tell a member of a change of its partitions once, unless it sends a full request,
//! which it should do after a heartbeat that timed out. librdkafka does so after a lost connection
//! only. So the first heartbeat after one that timed out loses its connection.

use rdkafka::types::RDKafkaRespErr;

/// What a member has heard from its coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Heard {
    /// All there is to hear.
    #[default]
    All,
    /// A heartbeat timed out: what its answer said is not known.
    Missed,
    /// The connection of the heartbeat that followed is being closed.
    Closing,
    /// It is closed: librdkafka sends full requests until one is answered.
    Asking,
}

impl Heard {
    /// A heartbeat ended.
    pub(crate) fn ended(self, err: RDKafkaRespErr) -> Heard {
        use RDKafkaRespErr::*;
        match (err, self) {
            (RD_KAFKA_RESP_ERR__TRANSPORT, _) => Heard::Asking,
            (RD_KAFKA_RESP_ERR_NO_ERROR, Heard::Asking) => Heard::All,
            (RD_KAFKA_RESP_ERR__TIMED_OUT, Heard::All) | (_, Heard::Closing) => Heard::Missed,
            (_, heard) => heard,
        }
    }

    /// A heartbeat was sent.
    pub(crate) fn sent(self) -> Heard {
        match self {
            Heard::Missed => Heard::Closing,
            heard => heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Heard::{self, *};
    use super::RDKafkaRespErr::{self, *};

    const ANSWERED: RDKafkaRespErr = RD_KAFKA_RESP_ERR_NO_ERROR;
    const DISCONNECTED: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TRANSPORT;
    const TIMED_OUT: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TIMED_OUT;
    const NEVER_SENT: RDKafkaRespErr = RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE;

    fn heartbeats(ends: &[RDKafkaRespErr]) -> (Heard, usize) {
        ends.iter().fold((All, 0), |(heard, closed), end| {
            let sent = heard.sent();
            (sent.ended(*end), closed + usize::from(sent == Closing))
        })
    }

    #[test]
    fn the_heartbeat_after_a_lost_answer_loses_its_connection() {
        assert_eq!(heartbeats(&[TIMED_OUT]), (Missed, 0));
        assert_eq!(heartbeats(&[TIMED_OUT, DISCONNECTED]), (Asking, 1));
        assert_eq!(heartbeats(&[TIMED_OUT, DISCONNECTED, ANSWERED]), (All, 1));
    }

    #[test]
    fn no_connection_is_closed_where_librdkafka_asks_for_everything_by_itself() {
        assert_eq!(
            heartbeats(&[DISCONNECTED, TIMED_OUT, TIMED_OUT]),
            (Asking, 0)
        );
        assert_eq!(heartbeats(&[ANSWERED, NEVER_SENT, ANSWERED]), (All, 0));
    }

    #[test]
    fn a_network_that_is_slow_for_long_costs_one_connection() {
        let ends = [
            TIMED_OUT,
            DISCONNECTED,
            TIMED_OUT,
            TIMED_OUT,
            NEVER_SENT,
            ANSWERED,
        ];
        assert_eq!(heartbeats(&ends), (All, 1));
    }

    #[test]
    fn a_heartbeat_that_outlived_its_connection_is_followed_by_another() {
        assert_eq!(heartbeats(&[TIMED_OUT, ANSWERED]), (Missed, 1));
        assert_eq!(
            heartbeats(&[TIMED_OUT, ANSWERED, DISCONNECTED, ANSWERED]),
            (All, 2)
        );
    }
}
