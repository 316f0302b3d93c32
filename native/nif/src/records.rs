//! A pull as the BEAM sees it: runs of records of one partition, in terms that share memory.

use consumer::{Delivered, Message, Pulled};
use rustler::types::tuple::make_tuple;
use rustler::{Binary, Encoder, Env, NewBinary, OwnedBinary, Term};

use crate::atoms;

// Up to this a binary lives on the process's heap (the VM's own limit): cheaper than a reference.
const HEAP: usize = 64;

// From here on a binary is on its own, so that whoever keeps it keeps nothing else alive.
const OWN: usize = 32 * 1024;

/// `{:more | :armed, count, [run] | [chunk]}`, where count is of messages.
pub(crate) fn encode<'a>(env: Env<'a>, pulled: &Pulled) -> Term<'a> {
    let mut arena = Arena::of(env, &pulled.records);
    let groups: Vec<Term> = if pulled.chunks.is_empty() {
        encode_runs(env, pulled, &mut arena)
    } else {
        pulled
            .in_chunks()
            .map(|chunk| encode_chunk(env, chunk, &mut arena))
            .collect()
    };
    let status = if pulled.more {
        atoms::more()
    } else {
        atoms::armed()
    };
    (status, pulled.messages(), groups).encode(env)
}

fn encode_runs<'a>(env: Env<'a>, pulled: &Pulled, arena: &mut Arena<'a>) -> Vec<Term<'a>> {
    let same_run = |a: &Delivered, b: &Delivered| a.slot == b.slot && a.epoch == b.epoch;
    pulled
        .records
        .chunk_by(same_run)
        .map(|run| encode_run(env, run, arena))
        .collect()
}

/// `{topic, partition, slot, epoch, [record]}`.
fn encode_run<'a>(env: Env<'a>, run: &[Delivered], arena: &mut Arena<'a>) -> Term<'a> {
    let records = encode_records(env, run, arena);
    match run.first() {
        Some(first) => {
            let (topic, partition) = (first.message.topic(), first.message.partition());
            (topic, partition, first.slot, first.epoch, records).encode(env)
        }
        None => atoms::nil().encode(env),
    }
}

/// `{topic, partition, slot, epoch, first, last, count, [record]}`.
fn encode_chunk<'a>(env: Env<'a>, chunk: &[Delivered], arena: &mut Arena<'a>) -> Term<'a> {
    let records = encode_records(env, chunk, arena);
    let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else {
        return atoms::nil().encode(env);
    };
    make_tuple(
        env,
        &[
            first.message.topic().encode(env),
            first.message.partition().encode(env),
            first.slot.encode(env),
            first.epoch.encode(env),
            first.message.offset().encode(env),
            last.message.offset().encode(env),
            chunk.len().encode(env),
            records.encode(env),
        ],
    )
}

fn encode_records<'a>(env: Env<'a>, records: &[Delivered], arena: &mut Arena<'a>) -> Vec<Term<'a>> {
    records
        .iter()
        .map(|delivered| encode_record(env, &delivered.message, arena))
        .collect()
}

/// `{offset, ts | nil, key | nil, value | nil, [{header, value | nil}]}`.
fn encode_record<'a>(env: Env<'a>, message: &Message, arena: &mut Arena<'a>) -> Term<'a> {
    let key = arena.term(message.key());
    let value = arena.term(message.value());
    let headers: Vec<Term> = message
        .headers()
        .map(|(name, value)| make_tuple(env, &[arena.term(Some(name)), arena.term(value)]))
        .collect();
    let offset = message.offset().encode(env);
    let timestamp = message.timestamp().encode(env);
    make_tuple(env, &[offset, timestamp, key, value, headers.encode(env)])
}

/// One binary that holds every middle-sized part of a batch, and how much of it is given out.
struct Arena<'a> {
    env: Env<'a>,
    binary: Option<Binary<'a>>,
    used: usize,
}

impl<'a> Arena<'a> {
    /// Copies what belongs in the arena, in the order in which it will be asked for.
    fn of(env: Env<'a>, records: &[Delivered]) -> Arena<'a> {
        let shared = || {
            records
                .iter()
                .flat_map(|delivered| parts(&delivered.message))
                .filter(|part| is_shared(part))
        };
        let size = shared().map(<[u8]>::len).sum();
        let mut owned = OwnedBinary::new(size);
        let mut rest = owned.as_mut_slice();
        for part in shared() {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        let binary = (size > 0).then(|| owned.release(env));
        Arena {
            env,
            binary,
            used: 0,
        }
    }

    fn term(&mut self, part: Option<&[u8]>) -> Term<'a> {
        let Some(part) = part else {
            return atoms::nil().encode(self.env);
        };
        if let (true, Some(binary)) = (is_shared(part), &self.binary) {
            let start = self.used;
            self.used += part.len();
            if let Ok(shared) = binary.make_subbinary(start, part.len()) {
                return shared.encode(self.env);
            }
        }
        Binary::from(NewBinary::from_slice(self.env, part)).encode(self.env)
    }
}

fn is_shared(part: &[u8]) -> bool {
    (HEAP + 1..OWN).contains(&part.len())
}

/// The binaries of a record in the order of [`encode_record`].
fn parts(message: &Message) -> impl Iterator<Item = &[u8]> {
    let headers = message
        .headers()
        .flat_map(|(name, value)| [Some(name), value]);
    [message.key(), message.value()]
        .into_iter()
        .chain(headers)
        .flatten()
}
