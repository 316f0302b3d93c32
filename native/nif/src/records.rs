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
///
/// Without `headers` the records have none, and librdkafka need not parse them.
pub(crate) fn encode<'a>(env: Env<'a>, pulled: &Pulled, headers: bool) -> Term<'a> {
    let mut terms = Terms::of(env, &pulled.records, headers);
    let same_run = |a: &Delivered, b: &Delivered| a.slot == b.slot && a.epoch == b.epoch;
    let groups: Vec<Term> = if pulled.chunks.is_empty() {
        let runs = pulled.records.chunk_by(same_run);
        runs.map(|run| encode_run(env, run, &mut terms)).collect()
    } else {
        let chunks = pulled.in_chunks();
        chunks
            .map(|chunk| encode_chunk(env, chunk, &mut terms))
            .collect()
    };
    let status = if pulled.more {
        atoms::more()
    } else {
        atoms::armed()
    };
    (status, pulled.messages(), groups).encode(env)
}

/// `{topic, partition, slot, epoch, [record]}`.
fn encode_run<'m, 'a>(env: Env<'a>, run: &'m [Delivered], terms: &mut Terms<'m, 'a>) -> Term<'a> {
    let records = terms.records(run);
    match run.first() {
        Some(first) => {
            let (topic, partition) = (first.message.topic(), first.message.partition());
            (topic, partition, first.slot, first.epoch, records).encode(env)
        }
        None => atoms::nil().encode(env),
    }
}

/// `{topic, partition, slot, epoch, first, last, count, [record]}`.
fn encode_chunk<'m, 'a>(
    env: Env<'a>,
    chunk: &'m [Delivered],
    terms: &mut Terms<'m, 'a>,
) -> Term<'a> {
    let records = terms.records(chunk);
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

/// Makes the terms of a pull's records.
struct Terms<'m, 'a> {
    env: Env<'a>,
    /// One binary that holds every middle-sized key and value, in the order of the records.
    arena: Option<Binary<'a>>,
    /// How much of it is given out.
    used: usize,
    with_headers: bool,
    /// Of the record at hand.
    headers: Vec<(&'m [u8], Option<&'m [u8]>)>,
    /// By their place among the headers: most records have the same names, and some the same values.
    names: Vec<Last<'m, 'a>>,
    values: Vec<Last<'m, 'a>>,
}

/// Bytes, and the term that was made of them last.
type Last<'m, 'a> = Option<(&'m [u8], Term<'a>)>;

impl<'m, 'a> Terms<'m, 'a> {
    fn of(env: Env<'a>, records: &'m [Delivered], with_headers: bool) -> Terms<'m, 'a> {
        Terms {
            env,
            arena: arena(env, records),
            used: 0,
            with_headers,
            headers: Vec::new(),
            names: Vec::new(),
            values: Vec::new(),
        }
    }

    fn records(&mut self, records: &'m [Delivered]) -> Vec<Term<'a>> {
        let records = records.iter();
        records.map(|it| self.record(&it.message)).collect()
    }

    /// `{offset, ts | nil, key | nil, value | nil, [{header, value | nil}]}`.
    fn record(&mut self, message: &'m Message) -> Term<'a> {
        let key = self.shared(message.key());
        let value = self.shared(message.value());
        let headers = self.headers(message);
        let (offset, timestamp) = (message.offset(), message.timestamp());
        (offset, timestamp, key, value, headers).encode(self.env)
    }

    fn headers(&mut self, message: &'m Message) -> Term<'a> {
        self.headers.clear();
        if self.with_headers {
            self.headers.extend(message.headers());
        }
        if self.names.len() < self.headers.len() {
            self.names.resize(self.headers.len(), None);
            self.values.resize(self.headers.len(), None);
        }
        let mut list = Term::list_new_empty(self.env);
        for place in (0..self.headers.len()).rev() {
            let (name, value) = self.headers[place];
            let name = repeated(self.env, &mut self.names[place], name);
            let value = match value {
                Some(value) => repeated(self.env, &mut self.values[place], value),
                None => atoms::nil().encode(self.env),
            };
            list = list.list_prepend((name, value));
        }
        list
    }

    /// Keys and values, asked for in the order in which the arena has them.
    fn shared(&mut self, part: Option<&[u8]>) -> Term<'a> {
        let Some(part) = part else {
            return atoms::nil().encode(self.env);
        };
        if let (true, Some(arena)) = (is_shared(part), &self.arena) {
            let start = self.used;
            self.used += part.len();
            if let Ok(shared) = arena.make_subbinary(start, part.len()) {
                return shared.encode(self.env);
            }
        }
        copied(self.env, part)
    }
}

fn arena<'a>(env: Env<'a>, records: &[Delivered]) -> Option<Binary<'a>> {
    let shared = || {
        let parts = records.iter().map(|it| &it.message);
        let parts = parts.flat_map(|message| [message.key(), message.value()]);
        parts.flatten().filter(|part| is_shared(part))
    };
    let size = shared().map(<[u8]>::len).sum();
    if size == 0 {
        return None;
    }
    let mut owned = OwnedBinary::new(size);
    let mut rest = owned.as_mut_slice();
    for part in shared() {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    Some(owned.release(env))
}

/// The term of these bytes; the one made before when they are the same.
fn repeated<'m, 'a>(env: Env<'a>, last: &mut Last<'m, 'a>, part: &'m [u8]) -> Term<'a> {
    match last {
        Some((before, term)) if *before == part => *term,
        _ => {
            let term = copied(env, part);
            *last = Some((part, term));
            term
        }
    }
}

fn copied<'a>(env: Env<'a>, part: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, part).into()
}

fn is_shared(part: &[u8]) -> bool {
    (HEAP + 1..OWN).contains(&part.len())
}
