//! Arguments by name: `topic=orders records=1000`.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::Failure;

/// What was given on the command line.
pub struct Args(HashMap<String, String>);

impl Args {
    /// Each argument must be `NAME=VALUE`.
    pub fn parse(given: impl Iterator<Item = String>) -> Result<Args, Failure> {
        given
            .map(|argument| match argument.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(format!("NAME=VALUE, got: \"{argument}\"").into()),
            })
            .collect::<Result<_, Failure>>()
            .map(Args)
    }

    /// The argument as it was written.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        let value = self
            .0
            .get(name)
            .ok_or_else(|| format!("{name}= is missing"))?;
        Ok(value)
    }

    /// The arguments whose name begins with `prefix`, without it.
    pub fn beginning_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = move |(name, value): (&'a String, &'a String)| {
            name.strip_prefix(prefix).map(|name| (name, value.as_str()))
        };
        self.0.iter().filter_map(named)
    }

    /// The argument as a number.
    pub fn number<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|error| format!("{name}={text}: {error}").into())
    }
}
