//! A pull as the BEAM sees it: runs of records of one partition, in terms that share memory.

use consumer::{Delivered, Message, Pulled};
use rustler::types::tuple::make_tuple;
use rustler::{Binary, Encoder, Env, NewBinary, Term};

use crate::arena::Arenas;
use crate::atoms;

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
fn encode_run<'a>(env: Env<'a>, run: &[Delivered], terms: &mut Terms<'a>) -> Term<'a> {
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
fn encode_chunk<'a>(env: Env<'a>, chunk: &[Delivered], terms: &mut Terms<'a>) -> Term<'a> {
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
struct Terms<'a> {
    env: Env<'a>,
    /// What holds every middle-sized key and value, in the order of the records.
    arenas: Arenas<'a>,
    with_headers: bool,
    /// By their place among the headers, what was made last: most records have the same names, and some
    /// the same values.
    names: Vec<Option<Binary<'a>>>,
    values: Vec<Option<Binary<'a>>>,
}

impl<'a> Terms<'a> {
    fn of(env: Env<'a>, records: &[Delivered], with_headers: bool) -> Terms<'a> {
        Terms {
            env,
            arenas: Arenas::of(env, parts(records)),
            with_headers,
            names: Vec::new(),
            values: Vec::new(),
        }
    }

    fn records(&mut self, records: &[Delivered]) -> Vec<Term<'a>> {
        let records = records.iter();
        records.map(|it| self.record(&it.message)).collect()
    }

    /// `{offset, ts | nil, key | nil, value | nil, [{header, value | nil}]}`.
    fn record(&mut self, message: &Message) -> Term<'a> {
        let key = self.shared(message.key());
        let value = self.shared(message.value());
        let headers = self.headers(message);
        let (offset, timestamp) = (message.offset(), message.timestamp());
        (offset, timestamp, key, value, headers).encode(self.env)
    }

    fn headers(&mut self, message: &Message) -> Term<'a> {
        let mut list = Term::list_new_empty(self.env);
        if !self.with_headers {
            return list;
        }
        let headers = message.headers();
        if self.names.len() < headers.len() {
            self.names.resize_with(headers.len(), || None);
            self.values.resize_with(headers.len(), || None);
        }
        for place in (0..headers.len()).rev() {
            let Some((name, value)) = headers.get(place) else {
                continue;
            };
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
        match self.arenas.next(part) {
            Some(shared) => shared.encode(self.env),
            None => copied(self.env, part),
        }
    }
}

/// Every key and value, in the order in which they are encoded.
fn parts(records: &[Delivered]) -> impl Iterator<Item = &[u8]> {
    let messages = records.iter().map(|it| &it.message);
    messages
        .flat_map(|message| [message.key(), message.value()])
        .flatten()
}

/// The term of these bytes; the one made before when they are the same.
fn repeated<'a>(env: Env<'a>, last: &mut Option<Binary<'a>>, part: &[u8]) -> Term<'a> {
    match last {
        Some(last) if last.as_slice() == part => last.encode(env),
        _ => last
            .insert(NewBinary::from_slice(env, part).into())
            .encode(env),
    }
}

fn copied<'a>(env: Env<'a>, part: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, part).into()
}
