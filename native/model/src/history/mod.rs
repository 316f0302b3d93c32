//! Histories of a member in any order: nothing is lost, nothing is stuck, nothing is committed
//! that must not be.

mod busy;
mod calm;
mod gone;
mod hands;
mod kept;
mod life;
mod play;
mod seen;
mod steps;
mod witness;

use proptest::collection::vec;
use proptest::prelude::*;

use life::Life;
use steps::{chunk_size, step, Step};

fn play(life: &mut Life, steps: Vec<Step>) {
    for step in steps {
        life.run(step);
        life.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // PROPTEST_CASES sets another number.
        cases: 16_384,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_everything_is_handled_and_committed_once_all_is_well(
        eager in any::<bool>(),
        interval in prop_oneof![Just(0), Just(200)],
        by_hand in any::<bool>(),
        chunk_size in chunk_size(),
        claimed in any::<bool>(),
        steps in vec(step(), 1..150),
    ) {
        let mut life = Life::new(eager, interval, by_hand, chunk_size, claimed);
        play(&mut life, steps);
        life.calm_down();
        life.end(5_000);
    }

    #[test]
    fn a_close_at_any_moment_ends_in_time_and_commits_what_was_handled(
        eager in any::<bool>(),
        interval in prop_oneof![Just(0), Just(200)],
        by_hand in any::<bool>(),
        chunk_size in chunk_size(),
        claimed in any::<bool>(),
        steps in vec(step(), 1..100),
        timeout in 0..10_000u64,
    ) {
        let mut life = Life::new(eager, interval, by_hand, chunk_size, claimed);
        play(&mut life, steps);
        life.end(timeout);
    }

    #[test]
    fn a_member_that_fails_for_good_gives_up_all_it_has_and_takes_nothing_more(
        eager in any::<bool>(),
        by_hand in any::<bool>(),
        chunk_size in chunk_size(),
        claimed in any::<bool>(),
        before in vec(step(), 1..100),
        after in vec(step(), 1..30),
    ) {
        let mut life = Life::new(eager, 200, by_hand, chunk_size, claimed);
        play(&mut life, before);
        life.fail_for_good();
        play(&mut life, after);
        life.end(5_000);
    }
}
