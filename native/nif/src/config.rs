//! The configuration map, decoded.

use std::num::NonZeroUsize;
use std::time::Duration;

use consumer::{Config, ResetPolicy, Topic};
use rustler::{Decoder, Encoder, Env, Error, NifMap, NifResult, Term};

use crate::atoms::{earliest, latest, timestamp};
use crate::decode::List;
use crate::pace::PausedTerm;

/// The map that `start/1` takes; times in milliseconds.
#[derive(NifMap)]
#[rustler(decode)]
pub(crate) struct ConfigMap {
    properties: List<(String, String)>,
    topics: List<(String, Policy)>,
    lanes: u16,
    commit_interval: u64,
    commit_threshold: Option<u64>,
    commit_by_hand: bool,
    drain_timeout: u64,
    max_in_flight: u64,
    max_buffered_bytes: u64,
    chunk_size: Option<usize>,
    /// What records are encoded with, which is no concern of the consumer's.
    pub(crate) headers: bool,
    unacked_timeout: Option<u64>,
    paused: PausedTerm,
}

pub(crate) struct Policy(pub(crate) ResetPolicy);

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

impl Encoder for Policy {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self.0 {
            ResetPolicy::Earliest => earliest().encode(env),
            ResetPolicy::Latest => latest().encode(env),
            ResetPolicy::Timestamp(millis) => (timestamp(), millis).encode(env),
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
            commit_threshold: map.commit_threshold,
            commit_by_hand: map.commit_by_hand,
            drain_timeout: Duration::from_millis(map.drain_timeout),
            max_in_flight: map.max_in_flight,
            max_buffered_bytes: map.max_buffered_bytes,
            chunk_size: map.chunk_size.and_then(NonZeroUsize::new),
            unacked_timeout: map.unacked_timeout.map(Duration::from_millis),
            paused: map.paused.0,
        }
    }
}
