//! Binaries that several keys and values share: one allocation for many, and a reference for each.

use rustler::{Binary, Env, OwnedBinary};

// Up to this a binary lives on the process's heap (the VM's own limit): cheaper than a reference.
const HEAP: usize = 64;

// From here on a binary is on its own, so that whoever keeps it keeps nothing else alive.
const OWN: usize = 32 * 1024;

// What one that is kept may keep alive besides. The VM maps what is larger than 512 KiB anew each time,
// and the kernel clears its pages.
const ARENA: usize = 128 * 1024;

/// The arenas of a pull, given out piece by piece.
pub(crate) struct Arenas<'a> {
    full: std::vec::IntoIter<Binary<'a>>,
    /// What is being given out.
    arena: Option<Binary<'a>>,
    /// How much of it is.
    used: usize,
}

impl<'a> Arenas<'a> {
    /// Copies those of the parts that are neither small nor large.
    pub(crate) fn of<'p>(env: Env<'a>, parts: impl Iterator<Item = &'p [u8]>) -> Arenas<'a> {
        let parts: Vec<&[u8]> = parts.filter(|part| is_shared(part)).collect();
        let mut full = Vec::new();
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            let (here, after) = rest.split_at(fitting(rest));
            full.push(filled(env, here));
            rest = after;
        }
        Arenas {
            full: full.into_iter(),
            arena: None,
            used: 0,
        }
    }

    /// The copy of a part, asked for in the order in which they were given; `None` for one that is small
    /// or large.
    pub(crate) fn next(&mut self, part: &[u8]) -> Option<Binary<'a>> {
        if !is_shared(part) {
            return None;
        }
        if self.arena.as_ref().map_or(0, |arena| arena.len()) == self.used {
            self.arena = self.full.next();
            self.used = 0;
        }
        let start = self.used;
        self.used += part.len();
        let arena = self.arena.as_ref()?;
        arena.make_subbinary(start, part.len()).ok()
    }
}

/// How many of the parts go into one arena.
fn fitting(parts: &[&[u8]]) -> usize {
    let mut size = 0;
    let fits = |part: &&&[u8]| {
        size += part.len();
        size <= ARENA
    };
    parts.iter().take_while(fits).count().max(1)
}

fn filled<'a>(env: Env<'a>, parts: &[&[u8]]) -> Binary<'a> {
    let mut owned = OwnedBinary::new(parts.iter().map(|part| part.len()).sum());
    let mut rest = owned.as_mut_slice();
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    owned.release(env)
}

fn is_shared(part: &[u8]) -> bool {
    (HEAP + 1..OWN).contains(&part.len())
}
