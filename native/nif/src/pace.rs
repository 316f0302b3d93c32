//! The NIFs that pause, resume, seek and subscribe, and how what they speak of crosses.

use consumer::{Paused, Scope, SeekTo, Sought, Subject, Topic};
use rustler::types::tuple::make_tuple;
use rustler::{Atom, Decoder, Encoder, Env, Error, NifResult, ResourceArc, Term};

use crate::atoms;
use crate::config::Policy;
use crate::decode::List;
use crate::error::Failure;
use crate::member::{done, Member};

/// `:all` or a list of subjects.
struct ScopeTerm(Scope);
/// A topic, or `{topic, partition}`.
struct SubjectTerm(Subject);
/// An offset, `:beginning`, `:end` or `{:timestamp, ms}`.
struct SeekTerm(SeekTo);
/// `{all?, subjects}`.
#[derive(Default)]
pub(crate) struct PausedTerm(pub(crate) Paused);

#[rustler::nif(schedule = "DirtyIo")]
fn pause(env: Env<'_>, member: ResourceArc<Member>, scope: ScopeTerm) -> Term<'_> {
    done(env, member.consumer.pause(scope.0).map_err(Failure::from))
}

#[rustler::nif(schedule = "DirtyIo")]
fn resume(env: Env<'_>, member: ResourceArc<Member>, scope: ScopeTerm) -> Term<'_> {
    done(env, member.consumer.resume(scope.0).map_err(Failure::from))
}

#[rustler::nif(schedule = "DirtyIo")]
fn seek(
    env: Env<'_>,
    member: ResourceArc<Member>,
    places: List<(String, i32, SeekTerm)>,
) -> Term<'_> {
    let places = places.0.into_iter();
    let places = places.map(|(topic, partition, to)| (topic, partition, to.0));
    let sought = member.consumer.seek(places.collect());
    done(env, sought.map_err(Failure::from))
}

#[rustler::nif(schedule = "DirtyIo")]
fn update_topics(
    env: Env<'_>,
    member: ResourceArc<Member>,
    topics: List<(String, Policy)>,
) -> Term<'_> {
    let topics = topics.0.into_iter();
    let topics = topics.map(|(name, Policy(reset))| Topic { name, reset });
    let updated = member.consumer.update_topics(topics.collect());
    done(env, updated.map_err(Failure::from))
}

impl<'a> Decoder<'a> for ScopeTerm {
    fn decode(term: Term<'a>) -> NifResult<ScopeTerm> {
        if atoms::all().eq(&term) {
            return Ok(ScopeTerm(Scope::All));
        }
        let List(subjects) = term.decode::<List<SubjectTerm>>()?;
        let subjects = subjects.into_iter().map(|it| it.0);
        Ok(ScopeTerm(Scope::Some(subjects.collect())))
    }
}

impl<'a> Decoder<'a> for SubjectTerm {
    fn decode(term: Term<'a>) -> NifResult<SubjectTerm> {
        if let Ok((topic, partition)) = term.decode() {
            return Ok(SubjectTerm(Subject::Partition(topic, partition)));
        }
        term.decode()
            .map(|topic| SubjectTerm(Subject::Topic(topic)))
    }
}

impl<'a> Decoder<'a> for SeekTerm {
    fn decode(term: Term<'a>) -> NifResult<SeekTerm> {
        if let Ok(offset) = term.decode() {
            return Ok(SeekTerm(SeekTo::Offset(offset)));
        }
        if atoms::beginning().eq(&term) {
            return Ok(SeekTerm(SeekTo::Beginning));
        }
        if atoms::end().eq(&term) {
            return Ok(SeekTerm(SeekTo::End));
        }
        match term.decode::<(Atom, i64)>()? {
            (tag, millis) if tag == atoms::timestamp() => Ok(SeekTerm(SeekTo::Timestamp(millis))),
            _ => Err(Error::BadArg),
        }
    }
}

impl<'a> Decoder<'a> for PausedTerm {
    fn decode(term: Term<'a>) -> NifResult<PausedTerm> {
        let (all, List(subjects)) = term.decode::<(bool, List<SubjectTerm>)>()?;
        let subjects = subjects.into_iter().map(|it| it.0).collect();
        Ok(PausedTerm(Paused { all, subjects }))
    }
}

/// `{all?, subjects}`.
pub(crate) fn paused<'a>(env: Env<'a>, paused: &Paused) -> Term<'a> {
    let subjects = paused.subjects.iter().map(|subject| match subject {
        Subject::Topic(topic) => topic.encode(env),
        Subject::Partition(topic, partition) => (topic, partition).encode(env),
    });
    (paused.all, subjects.collect::<Vec<_>>()).encode(env)
}

/// `{topic, partition, slot, epoch, from, to, unacked}`.
pub(crate) fn sought<'a>(env: Env<'a>, it: &Sought) -> Term<'a> {
    make_tuple(
        env,
        &[
            it.topic.encode(env),
            it.partition.encode(env),
            it.slot.encode(env),
            it.epoch.encode(env),
            it.from.encode(env),
            it.to.encode(env),
            it.unacked.encode(env),
        ],
    )
}

/// `{name, policy}`.
pub(crate) fn subscribed<'a>(env: Env<'a>, topic: &Topic) -> Term<'a> {
    (&topic.name, Policy(topic.reset)).encode(env)
}
