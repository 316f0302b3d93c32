//! The NIFs of a member.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use consumer::{AckId, AckRange, Consumer, Progress, Pulled};
use rustler::types::atom::{error, ok};
use rustler::{
    Atom, Encoder, Env, Error, LocalPid, Monitor, NifMap, NifResult, Resource, ResourceArc, Term,
};

use crate::config::ConfigMap;
use crate::decode::{Derived, List};
use crate::error::{Failure, PropertyFailure};
use crate::records;
use crate::sink::Processes;

/// A member, for as long as a process refers to it.
struct Member {
    consumer: Consumer,
    headers: bool,
    processes: Arc<Processes>,
}

// A panic in a call is caught by rustler; the locks inside are held for steps that leave the state whole.
impl UnwindSafe for Member {}
impl RefUnwindSafe for Member {}

// How long a member whose owner died may take to commit and leave.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(5);

#[rustler::resource_impl]
impl Resource for Member {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _owner: LocalPid, _monitor: Monitor) {
        self.consumer.close(ORPHAN_TIMEOUT);
    }
}

impl Member {
    fn taken<'a>(
        &self,
        env: Env<'a>,
        pulled: Result<Pulled, consumer::Error>,
    ) -> NifResult<Term<'a>> {
        let pulled = pulled.map_err(|_| Error::BadArg)?;
        Ok(records::encode(env, &pulled, self.headers))
    }
}

#[rustler::nif]
fn check(env: Env<'_>, properties: List<(String, String)>) -> Term<'_> {
    let checked = consumer::check(&properties.0).map_err(PropertyFailure);
    done(env, checked)
}

#[rustler::nif(schedule = "DirtyIo")]
fn start(env: Env<'_>, config: Derived<ConfigMap>) -> Result<ResourceArc<Member>, Failure> {
    let headers = config.0.headers;
    let config = config.0.into();
    let consumer::Config { lanes, .. } = config;
    let processes = Arc::new(Processes::new(env.pid(), lanes));
    let consumer = Consumer::start(&config, Arc::clone(&processes) as Arc<dyn consumer::Sink>)?;
    let member = ResourceArc::new(Member {
        consumer,
        headers,
        processes,
    });
    member.monitor(Some(env), &env.pid());
    Ok(member)
}

#[rustler::nif]
fn attach<'a>(env: Env<'a>, member: ResourceArc<Member>, lane: usize) -> Term<'a> {
    member.processes.attach(lane, env.pid());
    let attached = member.consumer.attach(lane).map_err(Failure::from);
    done(env, attached)
}

#[rustler::nif]
fn redeliver(env: Env<'_>, member: ResourceArc<Member>, slot: u32) -> Term<'_> {
    let asked = member.consumer.redeliver(slot).map_err(Failure::from);
    done(env, asked)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn pull<'a>(
    env: Env<'a>,
    member: ResourceArc<Member>,
    lane: usize,
    demand: usize,
) -> NifResult<Term<'a>> {
    let attached = || member.processes.is_attached(lane, env.pid());
    member.taken(env, member.consumer.pull(lane, demand, attached))
}

#[rustler::nif]
fn pull_short<'a>(
    env: Env<'a>,
    member: ResourceArc<Member>,
    lane: usize,
    demand: usize,
) -> NifResult<Term<'a>> {
    let attached = || member.processes.is_attached(lane, env.pid());
    member.taken(env, member.consumer.pull_short(lane, demand, attached))
}

#[rustler::nif]
fn ack(env: Env<'_>, member: ResourceArc<Member>, acks: List<AckId>) -> Atom {
    let wake = |lane| member.processes.wake_from(env, lane);
    member.consumer.ack(acks.0, wake);
    ok()
}

#[rustler::nif]
fn ack_ranges(env: Env<'_>, member: ResourceArc<Member>, acks: List<AckRange>) -> Atom {
    let wake = |lane| member.processes.wake_from(env, lane);
    member.consumer.ack_ranges(acks.0, wake);
    ok()
}

#[rustler::nif]
fn slot(member: ResourceArc<Member>, topic: &str, partition: i32) -> Option<u32> {
    member.consumer.slot(topic, partition)
}

#[rustler::nif(schedule = "DirtyIo")]
fn progress(member: ResourceArc<Member>) -> Vec<ProgressMap> {
    member
        .consumer
        .progress()
        .into_iter()
        .map(ProgressMap::from)
        .collect()
}

#[rustler::nif]
fn close(member: ResourceArc<Member>, timeout: u64) -> Atom {
    member.consumer.close(Duration::from_millis(timeout));
    ok()
}

/// `:ok | {:error, reason}`.
fn done(env: Env<'_>, result: Result<(), impl Encoder>) -> Term<'_> {
    match result {
        Ok(()) => ok().encode(env),
        Err(reason) => (error(), reason).encode(env),
    }
}

/// [`Progress`] as a map.
#[derive(NifMap)]
struct ProgressMap {
    topic: String,
    partition: i32,
    slot: u32,
    epoch: u32,
    lane: usize,
    start: i64,
    next: i64,
    acked: u64,
    in_flight: u64,
    committable: i64,
    committed: Option<i64>,
    high_watermark: Option<i64>,
}

impl From<Progress> for ProgressMap {
    fn from(it: Progress) -> ProgressMap {
        ProgressMap {
            topic: it.topic,
            partition: it.partition,
            slot: it.slot,
            epoch: it.epoch,
            lane: it.lane,
            start: it.start,
            next: it.next,
            acked: it.acked,
            in_flight: it.in_flight,
            committable: it.committable,
            committed: it.committed,
            high_watermark: it.high_watermark,
        }
    }
}
