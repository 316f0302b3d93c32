//! Decoding that refuses every term it cannot use in one way: `ArgumentError`.

use rustler::{Decoder, Error, NifResult, Term};

/// A proper list: rustler's own decoder panics on others.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'a, T: Decoder<'a>> Decoder<'a> for List<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        term.list_length()?;
        term.decode().map(List)
    }
}

/// A type whose decoder is derived: those raise errors of their own.
pub(crate) struct Derived<T>(pub(crate) T);

impl<'a, T: Decoder<'a>> Decoder<'a> for Derived<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        term.decode().map(Derived).map_err(|_| Error::BadArg)
    }
}
