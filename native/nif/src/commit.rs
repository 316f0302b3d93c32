//! The NIF of explicit commits, whose outcome comes as a message.

use std::time::Duration;

use consumer::{Answer, Manner, Place, Wish};
use rustler::{
    Atom, Decoder, Encoder, Env, Error, LocalPid, NifResult, OwnedEnv, Reference, ResourceArc, Term,
};

use crate::atoms;
use crate::decode::List;
use crate::error::Failure;
use crate::member::{done, Member};

/// `:all | {:records, [{slot, epoch, offset | nil}]} | {:offsets, [{topic, partition, offset}]}`.
enum What {
    All,
    Of(Vec<Wish>),
}

/// `nil | {ref, timeout}`: whether `{ref, :ok | {:error, reason}}` is sent to the caller.
struct Wait<'a>(Option<(Reference<'a>, u64)>);

/// Commits; the answer says whether that was begun.
#[rustler::nif(schedule = "DirtyCpu")]
fn commit<'a>(
    env: Env<'a>,
    member: ResourceArc<Member>,
    what: What,
    back: bool,
    wait: Wait<'a>,
) -> Term<'a> {
    let wait = wait.0.map(|(reference, timeout)| {
        let answer = answer(env.pid(), reference);
        (Duration::from_millis(timeout), answer)
    });
    let manner = Manner { back, wait };
    let wake = |lane| member.processes.wake_from(env, lane);
    let begun = match what {
        What::All => member.consumer.commit_all(manner),
        What::Of(wishes) => member.consumer.commit(&wishes, manner, wake),
    };
    done(env, begun.map_err(Failure::from))
}

fn answer(caller: LocalPid, reference: Reference<'_>) -> Answer {
    let mut env = OwnedEnv::new();
    let saved = env.save(reference);
    Box::new(move |outcome| {
        // A caller that is gone does not read.
        let _ = env.send_and_clear(&caller, |env| {
            let outcome = done(env, outcome.map_err(Failure::from));
            (saved.load(env), outcome).encode(env)
        });
    })
}

impl<'a> Decoder<'a> for What {
    fn decode(term: Term<'a>) -> NifResult<What> {
        if atoms::all().eq(&term) {
            return Ok(What::All);
        }
        let (kind, list): (Atom, Term<'a>) = term.decode()?;
        if kind == atoms::records() {
            let list: List<(u32, u32, Option<i64>)> = list.decode()?;
            let wishes = list.0.into_iter().map(|(slot, epoch, offset)| Wish {
                place: Place::Slot(slot, epoch),
                offset,
            });
            return Ok(What::Of(wishes.collect()));
        }
        if kind == atoms::offsets() {
            let list: List<(String, i32, i64)> = list.decode()?;
            let wishes = list.0.into_iter().map(|(topic, partition, offset)| Wish {
                place: Place::Named(topic, partition),
                offset: Some(offset),
            });
            return Ok(What::Of(wishes.collect()));
        }
        Err(Error::BadArg)
    }
}

impl<'a> Decoder<'a> for Wait<'a> {
    fn decode(term: Term<'a>) -> NifResult<Wait<'a>> {
        if atoms::nil().eq(&term) {
            return Ok(Wait(None));
        }
        term.decode().map(|wait| Wait(Some(wait)))
    }
}
