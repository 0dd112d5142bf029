//! Random expressions of all dialects, around real transitions, against a walk through every second.
//!
//! This run takes a sample; `cargo xtask oracle --transitions` takes every transition of every zone.

use chrono_tz::TZ_VARIANTS;
use test_support::triggers::reference::{Random, compare, transitions};

fn sample(seed: u64, count: usize) {
    let mut random = Random(seed);
    let mut fires = 0;
    let mut compared = 0;
    while compared < count {
        let zone = *random.pick(&TZ_VARIANTS);
        let transitions = transitions(zone);
        for _ in 0..transitions.len().min(6) {
            let transition = *random.pick(&transitions);
            fires += compare(&mut random, zone, transition).unwrap_or_else(|error| panic!("{error}"));
            compared += 1;
        }
    }
    assert!(fires > count, "the sample says something: {fires} fire times");
}

#[test]
fn expressions_fire_around_transitions_as_a_walk_through_every_second_says() {
    sample(20_261_121, 400);
}
