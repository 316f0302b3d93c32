//! What callers and the service thread meet on, named in one place: a checker of interleavings
//! brings its own.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
