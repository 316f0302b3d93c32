//! What processes have claimed of a member's partitions, for as long as they live.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use consumer::Claim;
use rustler::{Atom, Decoder, Error, LocalPid, NifResult, Term};

use crate::atoms::{all, partition, topics};
use crate::decode::List;

/// `:all | {:topics, [topic]} | {:partition, topic, partition}`.
pub(crate) struct ClaimTerm(pub(crate) Claim);

impl<'a> Decoder<'a> for ClaimTerm {
    fn decode(term: Term<'a>) -> NifResult<ClaimTerm> {
        if all().eq(&term) {
            return Ok(ClaimTerm(Claim::All));
        }
        if let Ok((tag, names)) = term.decode::<(Atom, List<String>)>() {
            return if tag == topics() {
                Ok(ClaimTerm(Claim::Topics(names.0)))
            } else {
                Err(Error::BadArg)
            };
        }
        match term.decode::<(Atom, String, i32)>()? {
            (tag, topic, number) if tag == partition() => {
                Ok(ClaimTerm(Claim::Partition(topic, number)))
            }
            _ => Err(Error::BadArg),
        }
    }
}

/// Who claimed which lanes.
#[derive(Default)]
pub(crate) struct Claimants(Mutex<Vec<(LocalPid, Range<usize>)>>);

impl Claimants {
    pub(crate) fn put(&self, pid: LocalPid, lanes: Range<usize>) {
        self.lock().push((pid, lanes));
    }

    /// Forgets a claim, by its first lane, and answers its lanes.
    pub(crate) fn take(&self, first: usize) -> Option<Range<usize>> {
        let mut claimants = self.lock();
        let found = claimants.iter().position(|(_, lanes)| lanes.start == first);
        found.map(|index| claimants.swap_remove(index).1)
    }

    /// Forgets what a process has claimed, and answers it.
    pub(crate) fn take_of(&self, pid: LocalPid) -> Vec<Range<usize>> {
        let mut claimants = self.lock();
        let (its, others) = claimants.drain(..).partition(|(of, _)| *of == pid);
        *claimants = others;
        let its: Vec<(LocalPid, Range<usize>)> = its;
        its.into_iter().map(|(_, lanes)| lanes).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(LocalPid, Range<usize>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
