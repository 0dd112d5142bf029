//! No row and no argument makes the core panic, however far from reason its numbers and times are. Overflow checks are on in
//! tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use scheduler_core::{Trigger, Verdict};
use test_support::triggers::drawn::{Draw, ask, decide, drive};

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 40..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_trigger_panics_at_the_ends_of_time(bytes in bytes(300)) {
        let mut draw = Draw(&bytes);
        let (at, other) = (draw.time(), draw.time());
        if let Some(row) = draw.row() {
            ask(&row.body.trigger, at, other);
        }
    }

    #[test]
    fn no_claimed_job_makes_an_engine_panic_that_settles_it_and_records_its_end(bytes in bytes(600)) {
        let mut draw = Draw(&bytes);
        if let Some(claimed) = draw.claimed() {
            drive(claimed, &mut draw);
        }
    }

    #[test]
    fn no_claimed_job_makes_its_plan_or_its_explanation_panic(bytes in bytes(500)) {
        let mut draw = Draw(&bytes);
        let (now, at) = (draw.time(), draw.time());
        if let Some(claimed) = draw.claimed() {
            decide(&claimed, now, at, [Verdict::Ok, Verdict::Missed, Verdict::Coalesced, Verdict::Skipped][usize::from(bytes[0]) % 4]);
        }
    }
}

#[test]
fn an_exception_at_the_end_of_time_is_none() {
    let row = r#"{"type":"except","trigger":{"type":"date","at":"+262142-12-31T23:59:59.999999Z"},
                  "dates":["2026-12-25"],"timezone":"Asia/Tokyo"}"#;
    let trigger: Trigger = serde_json::from_str(row).unwrap();
    let now: DateTime<Utc> = "2026-11-21T09:00:00Z".parse().unwrap();
    let last = trigger.next(None, now).unwrap().unwrap();
    assert_eq!(last, "+262142-12-31T23:59:59.999999Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(trigger.next(Some(last), now).unwrap(), None);
    assert_eq!(trigger.previous(DateTime::<Utc>::MAX_UTC).unwrap(), Some(last));
}

#[test]
fn many_of_the_drawn_jobs_run_and_end() {
    let mut number = 7_u64;
    let mut next = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 56) as u8
    };
    let ended: usize = (0..600)
        .map(|_| {
            let bytes: Vec<u8> = (0..600).map(|_| next()).collect();
            let mut draw = Draw(&bytes);
            draw.claimed().map_or(0, |claimed| drive(claimed, &mut draw))
        })
        .sum();
    assert!(ended > 20, "{ended}");
}
