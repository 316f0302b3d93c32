//! Histories of a member in any order: nothing is lost, nothing is stuck, nothing is committed
//! that must not be.

mod life;
mod seen;
mod steps;

use proptest::collection::vec;
use proptest::prelude::*;

use life::Life;
use steps::step;

proptest! {
    #![proptest_config(ProptestConfig {
        // More with PROPTEST_CASES.
        cases: 8 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_everything_is_handled_and_committed_once_all_is_well(
        eager in any::<bool>(),
        interval in prop_oneof![Just(0), Just(200)],
        steps in vec(step(), 1..150),
    ) {
        let mut life = Life::new(eager, interval);
        for step in steps {
            life.run(step);
            life.check();
        }
        life.calm_down();
        life.end(5_000);
    }

    #[test]
    fn a_close_at_any_moment_ends_in_time_and_commits_what_was_handled(
        eager in any::<bool>(),
        interval in prop_oneof![Just(0), Just(200)],
        steps in vec(step(), 1..100),
        timeout in 0..10_000u64,
    ) {
        let mut life = Life::new(eager, interval);
        for step in steps {
            life.run(step);
            life.check();
        }
        life.end(timeout);
    }
}
