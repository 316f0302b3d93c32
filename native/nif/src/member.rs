//! The NIFs of a member.

use std::ops::Range;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use consumer::{AckId, AckRange, Consumer, Credentials, Progress, Pulled};
use rustler::types::atom::{error, ok};
use rustler::{
    Atom, Encoder, Env, Error, LocalPid, Monitor, NifMap, NifResult, Resource, ResourceArc, Term,
};

use crate::claims::{ClaimTerm, Claimants};
use crate::config::ConfigMap;
use crate::decode::{Derived, List};
use crate::error::{Failure, PropertyFailure};
use crate::event::millis;
use crate::records;
use crate::sink::Processes;
use crate::totals::Totals;

/// A member, for as long as a process refers to it.
pub(crate) struct Member {
    pub(crate) consumer: Consumer,
    headers: bool,
    pub(crate) processes: Arc<Processes>,
    claimants: Claimants,
    totals: Totals,
}

// A panic in a call is caught by rustler; the locks inside are held for steps that leave the state whole.
impl UnwindSafe for Member {}
impl RefUnwindSafe for Member {}

// How long a member whose owner died may take to commit and leave.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(5);

#[rustler::resource_impl]
impl Resource for Member {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, pid: LocalPid, _monitor: Monitor) {
        if self.processes.is_owner(pid) {
            self.consumer.close(ORPHAN_TIMEOUT);
        }
        let claimed = self.claimants.take_of(pid);
        claimed.into_iter().for_each(|lanes| self.release(lanes));
    }
}

impl Member {
    fn taken<'a>(
        &self,
        env: Env<'a>,
        pull: impl FnOnce() -> Result<Pulled, consumer::Error>,
    ) -> NifResult<Term<'a>> {
        let begun = Instant::now();
        let pulled = pull().map_err(|_| Error::BadArg)?;
        let term = records::encode(env, &pulled, self.headers);
        self.totals.add(&pulled.records, begun);
        Ok(term)
    }

    // Once they are released they may be somebody else's.
    fn release(&self, lanes: Range<usize>) {
        let first = lanes.start;
        lanes.for_each(|lane| self.processes.detach(lane));
        self.consumer.release(first);
    }

    fn authenticate<'a>(&self, env: Env<'a>, credentials: Credentials) -> Term<'a> {
        let taken = self.consumer.authenticate(credentials);
        done(env, taken.map_err(Failure::from))
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
        claimants: Claimants::default(),
        totals: Totals::default(),
    });
    member.monitor(Some(env), &env.pid());
    Ok(member)
}

// One that is not the first waits for pulls of others that share the lane's queue.
#[rustler::nif(schedule = "DirtyCpu")]
fn attach<'a>(env: Env<'a>, member: ResourceArc<Member>, lane: usize) -> Term<'a> {
    member.processes.attach(lane, env.pid());
    let attached = member.consumer.attach(lane).map_err(Failure::from);
    done(env, attached)
}

#[rustler::nif]
fn claim(
    env: Env<'_>,
    member: ResourceArc<Member>,
    what: ClaimTerm,
    lanes: u16,
    max_in_flight: Option<u64>,
) -> Result<usize, Failure> {
    let claimed = member.consumer.claim(what.0, lanes.into(), max_in_flight);
    let first = claimed?;
    member.processes.grow_to(member.consumer.lanes());
    member
        .claimants
        .put(env.pid(), first..first + usize::from(lanes.max(1)));
    member.monitor(Some(env), &env.pid());
    Ok(first)
}

#[rustler::nif]
fn check_claim(env: Env<'_>, member: ResourceArc<Member>, what: ClaimTerm) -> Term<'_> {
    let free = member.consumer.check_claim(&what.0);
    done(env, free.map_err(Failure::from))
}

#[rustler::nif]
fn release(member: ResourceArc<Member>, lane: usize) -> Atom {
    if let Some(lanes) = member.claimants.take(lane) {
        member.release(lanes);
    }
    ok()
}

#[rustler::nif]
fn redeliver(env: Env<'_>, member: ResourceArc<Member>, slots: List<u32>) -> Term<'_> {
    let asked = member.consumer.redeliver(slots.0);
    done(env, asked.map_err(Failure::from))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn pull<'a>(
    env: Env<'a>,
    member: ResourceArc<Member>,
    lane: usize,
    demand: usize,
) -> NifResult<Term<'a>> {
    let attached = || member.processes.is_attached(lane, env.pid());
    member.taken(env, || member.consumer.pull(lane, demand, attached))
}

#[rustler::nif]
fn pull_short<'a>(
    env: Env<'a>,
    member: ResourceArc<Member>,
    lane: usize,
    demand: usize,
) -> NifResult<Term<'a>> {
    let attached = || member.processes.is_attached(lane, env.pid());
    member.taken(env, || member.consumer.pull_short(lane, demand, attached))
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
fn set_password(
    env: Env<'_>,
    member: ResourceArc<Member>,
    username: String,
    password: String,
) -> Term<'_> {
    member.authenticate(env, Credentials::Password { username, password })
}

#[rustler::nif]
fn set_token(
    env: Env<'_>,
    member: ResourceArc<Member>,
    token: String,
    expiry: i64,
    principal: String,
) -> Term<'_> {
    let token = Credentials::Token {
        token,
        expiry,
        principal,
    };
    member.authenticate(env, token)
}

#[rustler::nif]
fn refuse_token(env: Env<'_>, member: ResourceArc<Member>, reason: String) -> Term<'_> {
    member.authenticate(env, Credentials::NoToken(reason))
}

#[rustler::nif]
fn slot(member: ResourceArc<Member>, topic: &str, partition: i32) -> Option<u32> {
    member.consumer.slot(topic, partition)
}

#[rustler::nif(schedule = "DirtyIo")]
fn progress(member: ResourceArc<Member>) -> Result<Vec<ProgressMap>, Failure> {
    let progress = member.consumer.progress()?;
    Ok(progress.into_iter().map(ProgressMap::from).collect())
}

/// `{pulls, records, bytes, microseconds}` since the member was made.
#[rustler::nif]
fn pulled(member: ResourceArc<Member>) -> (u64, u64, u64, u64) {
    member.totals.get()
}

#[rustler::nif]
fn close(member: ResourceArc<Member>, timeout: u64) -> Atom {
    member.consumer.close(Duration::from_millis(timeout));
    ok()
}

/// `:ok | {:error, reason}`.
pub(crate) fn done(env: Env<'_>, result: Result<(), impl Encoder>) -> Term<'_> {
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
    lane: Option<usize>,
    start: i64,
    next: i64,
    acked: u64,
    in_flight: u64,
    committable: i64,
    committed: Option<i64>,
    low_watermark: Option<i64>,
    high_watermark: Option<i64>,
    paused: bool,
    unacked_ms: Option<u64>,
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
            low_watermark: it.low_watermark,
            high_watermark: it.high_watermark,
            paused: it.paused,
            unacked_ms: it.unacked_age.map(millis),
        }
    }
}
