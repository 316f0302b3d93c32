//! Events as the BEAM sees them.

use std::time::Duration;

use consumer::{Assigned, Event, Offset, Redelivered, Revoked, Stalled};
use rustler::types::tuple::make_tuple;
use rustler::{Encoder, Env, Term};

use crate::atoms;
use crate::error::Failure;
use crate::pace;

/// Encodes an event; shapes as in `OffBroadwayRustKafka.Native`.
pub(crate) fn encode<'a>(env: Env<'a>, event: &Event) -> Term<'a> {
    match event {
        Event::Assigned(list) => (
            atoms::assigned(),
            list.iter().map(|it| assigned(env, it)).collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Kept(list) => (
            atoms::kept(),
            list.iter().map(|it| assigned(env, it)).collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Revoking(list) => (atoms::revoking(), revoked(env, list)).encode(env),
        Event::Revoked(list, drain) => {
            (atoms::revoked(), revoked(env, list), millis(*drain)).encode(env)
        }
        Event::Lost(list) => (atoms::lost(), revoked(env, list)).encode(env),
        Event::Committed(list, latency) => (
            atoms::committed(),
            offsets(env, list),
            latency.as_micros() as u64,
        )
            .encode(env),
        Event::CommitFailed(error, list) => (
            atoms::commit_failed(),
            Failure::from(error),
            offsets(env, list),
        )
            .encode(env),
        Event::Stalled(list) => (
            atoms::stalled(),
            list.iter().map(|it| stalled(env, it)).collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Redelivered(list) => (
            atoms::redelivered(),
            list.iter()
                .map(|it| redelivered(env, it))
                .collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Reset {
            topic,
            partition,
            from,
            to,
        } => (atoms::reset(), topic, partition, from, to).encode(env),
        Event::Paused(paused) => (atoms::paused(), pace::paused(env, paused)).encode(env),
        Event::Resumed(paused) => (atoms::resumed(), pace::paused(env, paused)).encode(env),
        Event::Sought(list) => (
            atoms::sought(),
            list.iter()
                .map(|it| pace::sought(env, it))
                .collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Subscribed(topics) => (
            atoms::subscribed(),
            topics
                .iter()
                .map(|it| pace::subscribed(env, it))
                .collect::<Vec<_>>(),
        )
            .encode(env),
        Event::Error(error) => (atoms::error(), Failure::from(error)).encode(env),
        Event::Connection {
            up,
            broker,
            host,
            port,
        } => {
            let name = if *up {
                atoms::connected()
            } else {
                atoms::disconnected()
            };
            (name, broker, host, port).encode(env)
        }
        Event::Statistics(json) => (atoms::statistics(), json).encode(env),
        Event::TokenWanted => atoms::token_wanted().encode(env),
        Event::Log {
            level,
            facility,
            message,
        } => (atoms::log(), level, facility, message).encode(env),
        Event::Closed(Ok(())) => (atoms::closed(), atoms::ok()).encode(env),
        Event::Closed(Err(error)) => {
            (atoms::closed(), (atoms::error(), Failure::from(error))).encode(env)
        }
        _ => atoms::unknown().encode(env),
    }
}

fn assigned<'a>(env: Env<'a>, it: &Assigned) -> Term<'a> {
    (&it.topic, it.partition, it.slot, it.epoch, it.start).encode(env)
}

fn revoked<'a>(env: Env<'a>, list: &[Revoked]) -> Vec<Term<'a>> {
    list.iter()
        .map(|it| (&it.topic, it.partition, it.slot, it.epoch, it.unacked).encode(env))
        .collect()
}

fn stalled<'a>(env: Env<'a>, it: &Stalled) -> Term<'a> {
    make_tuple(
        env,
        &[
            it.topic.encode(env),
            it.partition.encode(env),
            it.slot.encode(env),
            it.epoch.encode(env),
            it.offset.encode(env),
            it.in_flight.encode(env),
            millis(it.age).encode(env),
        ],
    )
}

fn redelivered<'a>(env: Env<'a>, it: &Redelivered) -> Term<'a> {
    (
        &it.topic,
        it.partition,
        it.slot,
        it.epoch,
        it.offset,
        it.count,
    )
        .encode(env)
}

fn offsets<'a>(env: Env<'a>, list: &[Offset]) -> Vec<Term<'a>> {
    list.iter()
        .map(|it| (&it.topic, it.partition, it.offset).encode(env))
        .collect()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
