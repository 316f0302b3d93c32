//! The configuration map, decoded.

use std::num::NonZeroUsize;
use std::time::Duration;

use consumer::{Config, ResetPolicy, Topic};
use rustler::{Decoder, Error, NifMap, NifResult, Term};

use crate::decode::List;

rustler::atoms! { earliest, latest, timestamp }

/// The map that `start/1` takes; times in milliseconds.
#[derive(NifMap)]
#[rustler(decode)]
pub(crate) struct ConfigMap {
    properties: List<(String, String)>,
    topics: List<(String, Policy)>,
    lanes: u16,
    commit_interval: u64,
    drain_timeout: u64,
    max_in_flight: u64,
    chunk_size: Option<usize>,
    /// What records are encoded with, which is no concern of the consumer's.
    pub(crate) headers: bool,
    unacked_timeout: Option<u64>,
}

struct Policy(ResetPolicy);

impl<'a> Decoder<'a> for Policy {
    fn decode(term: Term<'a>) -> NifResult<Policy> {
        if earliest().eq(&term) {
            return Ok(Policy(ResetPolicy::Earliest));
        }
        if latest().eq(&term) {
            return Ok(Policy(ResetPolicy::Latest));
        }
        match term.decode::<(rustler::Atom, i64)>()? {
            (tag, millis) if tag == timestamp() => Ok(Policy(ResetPolicy::Timestamp(millis))),
            _ => Err(Error::BadArg),
        }
    }
}

impl From<ConfigMap> for Config {
    fn from(map: ConfigMap) -> Config {
        Config {
            properties: map.properties.0,
            topics: map
                .topics
                .0
                .into_iter()
                .map(|(name, Policy(reset))| Topic { name, reset })
                .collect(),
            lanes: map.lanes.into(),
            commit_interval: Duration::from_millis(map.commit_interval),
            drain_timeout: Duration::from_millis(map.drain_timeout),
            max_in_flight: map.max_in_flight,
            chunk_size: map.chunk_size.and_then(NonZeroUsize::new),
            unacked_timeout: map.unacked_timeout.map(Duration::from_millis),
        }
    }
}
