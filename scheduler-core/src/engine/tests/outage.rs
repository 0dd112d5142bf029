//! Stores that fail, refuse, or come back.

use serde_json::json;

use super::script::{Script, at, every, job, limits, reply_to, unavailable};
use crate::{
    Outcome, Uid,
    engine::{Command, Input, StoreReply, WakeReason},
    store::{Adopt, Changed, Hint, Hold, RecordOutcome, SettleOutcome, StoreError, StoreErrorKind, StoreLimits, Wakes},
};

fn rejected(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Rejected, why)
}

#[test]
fn a_failed_turn_is_repeated_without_its_claim_and_the_run_starts_once() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.turn_fails(unavailable());
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::Retry);
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +20s
         → notify store failed, again in 50ms: no route to the store",
    );
    script.at(10.05).expect(
        "→ settle report: #1 +10s starts, next +20s
         → life sign",
    );
    script.applied();
    script.expect(
        "→ notify store recovered
         → notify submitted report#1
         → start report#1 attempt 1
         → claim",
    );
}

#[test]
fn pauses_grow_up_to_a_tenth_of_the_lease() {
    let mut script = Script::running();
    script.at(1.0).look();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        script.turn_fails(unavailable());
        let wake = script.next_wake().unwrap();
        pauses.push(wake.after.as_millis());
        script.pass(wake.after.as_secs_f64()).handle_wake();
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1500, 1500, 1500, 1500, 1500]);
}

#[test]
fn a_failed_claim_is_not_repeated_and_the_next_one_takes_over_from_nobody() {
    let mut script = Script::running();
    script.stay_in_touch(15.0, 15.0);
    script.handle_wake();
    script.expect("→ claim and adopt");
    script.turn_fails(unavailable());
    script.at(15.05).claimed_next([], Some(15.0));
    script.expect(
        "→ notify store failed, again in 50ms: no route to the store
         → claim
         → notify store recovered",
    );
    // Only a lease of unbroken contact later.
    assert_eq!(adopts_at(&mut script, 15.0), 30.05);
}

#[test]
fn a_node_that_was_not_in_touch_over_an_outage_takes_over_from_nobody_at_first() {
    for length in [8.0, 16.0, 40.0] {
        let mut script = Script::running();
        script.stay_in_touch(20.0, 30.0);
        let outage_ends = 20.0 + length;
        // The store comes back to a call that has waited for it, and says that a lease has passed meanwhile.
        script.look();
        script.at(outage_ends).claimed_next([], Some(28.0));
        assert_eq!(adopts_at(&mut script, 28.0), outage_ends + 15.0, "after an outage of {length} s");
    }
}

#[test]
fn whoever_stays_in_touch_takes_over_as_soon_as_a_lease_has_passed() {
    let mut script = Script::running();
    script.stay_in_touch(28.0, 28.0);
    script.handle_wake();
    let (_, turn) = script.peek_turn();
    assert_eq!(turn.claim.unwrap().adopt, Adopt::LapsedBy(at(28.0)));
    assert_eq!(script.count("claim and adopt"), 1);
}

#[test]
fn an_answer_after_an_outage_does_not_hide_it_from_the_next_claim() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.stay_in_touch(20.0, 30.0);
    script.pass(0.1).handle_wake();
    script.expect("→ life sign | claim and adopt");
    let (op, turn) = script.take_turn();
    script.pass(19.9).finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.answer(op, reply_to(&turn, at(40.0)));
    script.expect("→ record report#1 ok\n→ notify executed report#1");
    assert_eq!(adopts_at(&mut script, 30.0), 55.0);
}

#[test]
fn answers_of_late_say_nothing_about_the_time_in_between() {
    let mut script = Script::running();
    script.stay_in_touch(20.0, 60.0);
    script.look();
    let (op, turn) = script.take_turn();
    // It was there then, and another call finds it there now.
    script.at(30.0).answer(op, reply_to(&turn, at(20.0)));
    assert_eq!(adopts_at(&mut script, 25.0), 45.0);
}

/// Says when a node takes over what has lapsed; until then, its claims find nothing.
fn adopts_at(script: &mut Script, lapsed: f64) -> f64 {
    script.look();
    loop {
        while script.has_turn() {
            if script.peek_turn().1.claim.is_some_and(|claim| claim.adopt != Adopt::Nothing) {
                return script.clock().monotonic.as_secs_f64();
            }
            script.claimed_next([], Some(lapsed));
        }
        let wake = script.next_wake().unwrap();
        script.pass(wake.after.as_secs_f64()).handle_wake();
    }
}

#[test]
fn a_node_that_has_been_silent_for_longer_than_a_lease_takes_over_from_nobody_at_first() {
    let mut script = Script::running();
    script.stay_in_touch(20.0, 3600.0);
    script.at(3600.0);
    // A run of another node is overdue, but that node may not have reached the store either.
    script.claimed_next([], Some(3590.0));
    script.expect("→ claim");
    assert_eq!(adopts_at(&mut script, 3590.0), 3615.0);
}

#[test]
fn a_step_of_the_clock_by_which_leases_are_judged_takes_over_from_nobody() {
    let mut script = Script::running();
    script.stay_in_touch(20.0, 21.0);
    script.step_clock(3600.0);
    script.at(20.5).expect(
        "→ notify clock of Node stepped +3600s
         → claim",
    );
    script.claimed_next([], Some(21.0));
    assert_eq!(adopts_at(&mut script, 21.0), 35.5);
}

#[test]
fn ends_wait_for_the_store_to_come_back() {
    let mut script = Script::running_jobs([job(1, "a", every(100), 0.0), job(2, "b", every(100), 0.0)]);
    script.finished("a#1", Outcome::Ok(json!(null)));
    script.turn_fails(unavailable());
    script.finished("b#1", Outcome::Ok(json!(null)));
    script.expect(
        "→ record a#1 ok
         → notify store failed, again in 50ms: no route to the store",
    );
    script.at(0.1).expect(
        "→ record a#1 ok
         → record b#1 ok",
    );
    script.applied();
    script.applied();
    script.expect(
        "→ notify store recovered
         → notify executed a#1
         → claim
         → notify executed b#1",
    );
}

#[test]
fn a_node_that_comes_back_gives_a_life_sign_before_or_with_its_first_claim() {
    let mut script = Script::running_jobs([job(1, "report", every(3), 0.0)]);
    script.at(3.0).expect("→ claim");
    script.turn_fails(unavailable());
    script.at(3.05).expect(
        "→ notify store failed, again in 50ms: no route to the store
         → life sign | claim",
    );
}

#[test]
fn one_refused_move_is_found_and_its_job_put_aside_while_the_others_go_through() {
    let jobs = ["a", "b", "c", "d"].iter().zip(1..).map(|(id, uid)| job(uid, id, every(10), 10.0));
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed(jobs);
    script.turn_fails(rejected("a value is out of range"));
    script.applied();
    script.turn_fails(rejected("a value is out of range"));
    script.turn_fails(rejected("a value is out of range"));
    script.applied();
    script.applied();
    script.expect(
        "→ claim
         → settle a: #1 +10s starts, next +20s; b: #1 +10s starts, next +20s; c: #1 +10s starts, next +20s; d: #1 +10s starts, next +20s
         → settle a: #1 +10s starts, next +20s; b: #1 +10s starts, next +20s
         → settle c: #1 +10s starts, next +20s; d: #1 +10s starts, next +20s
         → notify submitted a#1
         → start a#1 attempt 1
         → notify submitted b#1
         → start b#1 attempt 1
         → settle c: #1 +10s starts, next +20s
         → settle d: #1 +10s starts, next +20s
         → settle c: quarantined next +10s due never
         → notify submitted d#1
         → start d#1 attempt 1
         → notify quarantined c: the store refuses it: a value is out of range",
    );
}

#[test]
fn a_refused_report_is_sent_without_its_text() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.finished("report#1", Outcome::Error("bad \0 byte".into()));
    script.turn_fails(rejected("a text contains NUL"));
    script.applied();
    script.expect(
        "→ record report#1 error
         → record report#1 error
         → notify error report#1: bad \0 byte",
    );
}

#[test]
fn a_report_that_is_refused_even_so_is_given_up_and_told_of() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.turn_fails(rejected("no"));
    script.expect(
        "→ record report#1 ok
         → notify store failed for good: no
         → notify taken away report#1",
    );
    // Later reports still go out.
    script.at(5.0).look();
    script.claimed([job(2, "next", every(100), 5.0)]);
    script.applied();
    script.finished("next#1", Outcome::Ok(json!(null)));
    script.expect(
        "→ claim
         → settle next: #1 +5s starts, next +100s
         → notify submitted next#1
         → start next#1 attempt 1
         → record next#1 ok",
    );
}

#[test]
fn a_refused_claim_pauses_instead_of_spinning() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.turn_fails(rejected("no"));
    script.expect(
        "→ claim
         → notify store failed, again in 50ms: no",
    );
    assert_eq!(script.next_wake().unwrap().after.as_millis(), 50);
}

fn tables_are_gone() -> StoreError {
    StoreError::new(StoreErrorKind::Incompatible, "its tables are not those of this store")
}

#[test]
fn a_store_whose_tables_are_gone_for_a_second_is_used_again_and_nobody_has_taken_its_runs() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0).turn_fails(tables_are_gone());
    script.expect(
        "→ life sign | claim
         → notify store failed, again in 50ms: its tables are not those of this store",
    );
    script.at(10.05).expect("→ life sign\n→ life sign | claim");
    script.turn_fails(tables_are_gone());
    script.turn_fails(tables_are_gone());
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.expect("→ notify store failed, again in 100ms: its tables are not those of this store");
    script.at(10.15);
    while script.has_turn() {
        script.applied();
    }
    script.expect(
        "→ life sign
         → life sign
         → record report#1 ok | claim
         → notify store recovered
         → notify executed report#1",
    );
}

#[test]
fn a_store_that_stays_another_is_looked_at_each_minute_in_the_end() {
    let mut script = Script::running();
    script.at(1.0).look();
    let mut pauses = Vec::new();
    for _ in 0..14 {
        script.turn_fails(tables_are_gone());
        let pause = script.next_wake().unwrap().after;
        pauses.push(pause.as_millis());
        script.pass(pause.as_secs_f64()).handle_wake();
    }
    assert_eq!(pauses[..4], [50, 100, 200, 400]);
    assert_eq!(pauses[11..], [60_000, 60_000, 60_000]);
}

#[test]
fn what_is_held_in_a_store_that_stays_another_is_lost_when_its_lease_has_passed() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(10.0);
    while script.next_wake().is_some_and(|wake| wake.after.as_secs() < 10) {
        while script.has_turn() {
            script.turn_fails(tables_are_gone());
        }
        let pause = script.next_wake().unwrap().after;
        script.pass(pause.as_secs_f64()).handle_wake();
    }
    assert_eq!(script.count("cancel") + script.count("taken away"), 0);
    // Another node has taken it over.
    script.recorded(|recorded| recorded.hold = Hold::Lost);
    assert_eq!(script.count("→ cancel report#1"), 1);
}

#[test]
fn an_update_of_a_failing_store_is_an_error_of_the_one_who_asked() {
    let mut script = Script::running();
    script.command(Command::Job(None, "report".into()));
    script.stored(Err(unavailable()));
    script.expect(
        "→ read report
         → reply StoreUnavailable: store `default`: no route to the store",
    );
}

#[test]
fn a_store_that_tells_of_changes_is_asked_for_them_again_and_again() {
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Push, ..limits() });
    script.stored(Ok(StoreReply::Changed(Changed { seen: 4, hint: Some(Hint::Due(at(30.0))) })));
    script.expect("→ changed after 4");
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 30);
    script.at(30.0).claimed_next([], Some(100.0));
    script.expect("→ claim");
    script.pass(0.5);
    script.stored(Ok(StoreReply::Changed(Changed { seen: 5, hint: Some(Hint::Resync) })));
    script.expect(
        "→ changed after 5
         → claim",
    );
}

#[test]
fn a_polled_store_is_asked_in_each_period_until_the_shutdown() {
    let period = std::time::Duration::from_secs(1);
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Poll(period), ..limits() });
    script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: None })));
    script.expect("");
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::Poll);
    script.at(1.0).expect("→ changed after 1");
    script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: None })));
    script.look();
    script.claimed([job(1, "report", every(100), 0.0)]);
    script.applied();
    script.shutdown(crate::engine::ShutdownMode::Wait);
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::LifeSign, "only the running run is waited for");
}

#[test]
fn where_asking_for_changes_fails_jobs_are_looked_at_instead_and_nothing_flaps() {
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Push, ..limits() });
    let mut lines = 0;
    let mut time = 0.01;
    script.at(time);
    script.stored(Err(unavailable()));
    script.expect(
        "→ notify store failed, again in 50ms: asking for changes: no route to the store
         → claim",
    );
    while time < 60.0 {
        while script.has_turn() {
            script.claimed([]);
        }
        while script.has_call() {
            script.stored(Err(unavailable()));
        }
        if let Some(wake) = script.next_wake() {
            time += wake.after.as_secs_f64();
        }
        script.at(time);
        lines += 1;
        assert!(lines < 200, "it spins");
    }
}

#[test]
fn where_asking_for_changes_succeeds_again_the_store_has_recovered_once() {
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Push, ..limits() });
    script.at(1.0);
    script.stored(Err(unavailable()));
    script.claimed([]);
    script.expect(
        "→ notify store failed, again in 50ms: asking for changes: no route to the store
         → claim",
    );
    script.at(1.05).look();
    script.stored(Ok(StoreReply::Changed(Changed { seen: 4, hint: None })));
    script.expect(
        "→ changed after 0
         → claim
         → notify store recovered
         → changed after 4",
    );
}

#[test]
fn a_store_that_can_be_read_but_not_written_to_has_not_recovered() {
    let period = std::time::Duration::from_secs(1);
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Poll(period), ..limits() });
    script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: None })));
    script.take([job(1, "report", every(100), 0.01)]);
    script.expect("→ notify submitted report#1\n→ start report#1 attempt 1");
    script.at(1.0).finished("report#1", Outcome::Ok(json!(null)));
    script.turn_fails(unavailable());
    // The question after changes was on its way when the record failed.
    script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: None })));
    script.expect(
        "→ changed after 1
         → record report#1 ok
         → notify store failed, again in 50ms: no route to the store",
    );
    // Neither an answer about changes nor a claim that finds nothing writes anything.
    let mut pauses = Vec::new();
    while script.clock().monotonic.as_secs() < 5 {
        let wake = script.next_wake().unwrap();
        script.pass(wake.after.as_secs_f64()).handle_wake();
        let mut has_failed = false;
        while script.has_turn() {
            match script.peek_turn().1 {
                turn if turn.record.is_none() => script.claimed([]),
                _ => {
                    script.turn_fails(unavailable());
                    has_failed = true;
                }
            }
        }
        while script.has_call() {
            script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: None })));
        }
        if has_failed {
            pauses.push(script.next_wake().unwrap().after.as_millis());
        }
    }
    assert_eq!(script.count("store recovered"), 0);
    assert_eq!(pauses[..5], [100, 200, 400, 800, 1500], "they grow although questions are answered");

    let wake = script.next_wake().unwrap();
    script.pass(wake.after.as_secs_f64()).handle_wake();
    while script.has_turn() {
        script.applied();
    }
    script.expect(
        "→ record report#1 ok
         → life sign
         → life sign
         → life sign
         → changed after 1
         → notify executed report#1
         → notify store recovered
         → claim",
    );
}

#[test]
fn a_failed_claim_is_made_good_by_a_claim_and_by_nothing_smaller() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.pass(5.2).look();
    script.turn_fails(unavailable());
    script.expect(
        "→ life sign | claim
         → notify store failed, again in 50ms: no route to the store",
    );
    // The life sign that is repeated gets through; the claim may have more to write.
    script.at(5.3).applied();
    script.expect("→ life sign\n→ life sign | claim");
    script.turn_fails(unavailable());
    script.expect("→ notify store failed, again in 100ms: no route to the store");
    script.at(5.4).applied();
    script.expect("→ life sign\n→ life sign | claim");
    script.claimed([]);
    script.expect("→ notify store recovered");
}

#[test]
fn a_failed_claim_is_not_waited_for_by_a_node_that_claims_no_more() {
    let mut script = Script::running_with(StoreLimits { wakes: Wakes::Push, ..limits() });
    script.at(1.0).look();
    script.turn_fails(unavailable());
    script.command(Command::Pause);
    script.expect(
        "→ claim
         → notify store failed, again in 50ms: no route to the store
         → notify SchedulerPaused
         → reply done",
    );
    script.stored(Ok(StoreReply::Changed(Changed { seen: 4, hint: None })));
    script.expect(
        "→ notify store recovered
         → changed after 4",
    );
}

#[test]
fn a_stale_report_tells_that_the_run_was_taken_away() {
    let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Stale]);
    script.expect(
        "→ record report#1 ok
         → notify taken away report#1",
    );
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(10), 10.0)]);
    let (op, turn) = script.take_turn();
    let reply = reply_to(&turn, at(10.0));
    script.answer(op, reply.clone());
    script.answer(op, reply);
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +20s
         → notify submitted report#1
         → start report#1 attempt 1",
    );
    script.handle(Input::Finished(crate::RunId { uid: Uid(1), seq: 1 }, Outcome::Ok(json!(null))));
    script.handle(Input::Finished(crate::RunId { uid: Uid(1), seq: 1 }, Outcome::Ok(json!(null))));
    script.expect("→ record report#1 ok");
}

#[test]
fn a_settle_whose_first_sending_was_applied_and_overtaken_gives_its_run_back() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "report", every(10), 10.0)]);
    script.turn_fails(unavailable());
    script.at(10.05);
    script.settled(vec![SettleOutcome::Taken]);
    script.expect(
        "→ claim
         → settle report: #1 +10s starts, next +20s
         → notify store failed, again in 50ms: no route to the store
         → settle report: #1 +10s starts, next +20s
         → life sign
         → notify store recovered",
    );
    script.applied();
    script.expect("→ record report#1 given back");
}
