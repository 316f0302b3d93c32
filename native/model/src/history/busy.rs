//! A member whose service thread does not come to hear what it is asked for.

use crate::error::Error;
use crate::explicit::Manner;

use super::life::{Life, PATIENCE};

/// More than anything can be waiting.
const MANY: usize = 10_000;

/// Asks for something until there is no room for more.
fn fill(life: &Life) -> Error {
    let mut asked = (0..MANY).map(|_| life.consumer.redeliver(vec![0]));
    asked.find_map(Result::err).unwrap()
}

#[test]
fn a_member_that_has_too_much_to_do_says_so_and_takes_more_later() {
    let mut life = Life::new(false, 0, false, None, false);
    let busy = fill(&life);
    assert!(busy.is_retryable() && !busy.is_fatal(), "{busy:?}");
    // Another process in place of the one that has the lane.
    assert!(life.consumer.attach(0).unwrap_err().is_retryable());
    let manner = Manner {
        back: false,
        wait: Some((PATIENCE, Box::new(|_| panic!("answered twice")))),
    };
    assert!(life.consumer.commit_all(manner).unwrap_err().is_retryable());
    life.turn(0);
    assert!(life.consumer.attach(0).is_ok());
    life.end(1_000);
}

#[test]
fn a_close_is_not_forgotten_however_much_there_is_to_do() {
    let mut life = Life::new(false, 0, false, None, false);
    fill(&life);
    life.end(1_000);
    assert!(life.left.unwrap().is_ok());
}
