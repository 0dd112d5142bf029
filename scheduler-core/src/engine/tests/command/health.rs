//! What the engine says of itself and its stores.

use crate::{
    Outcome,
    engine::{
        Command, Health, Lease, ShutdownMode, StoreHealth, StoreLink,
        tests::script::{Script, at, every, job, unavailable},
    },
    store::{Hold, StoreError, StoreErrorKind},
};

/// The health of the only store.
fn store(script: &Script) -> StoreHealth {
    let Health { mut stores, .. } = script.engine.health(script.clock());
    assert_eq!(stores.len(), 1);
    stores.remove(0)
}

#[test]
fn a_store_is_untried_until_it_answers() {
    let mut script = Script::new();
    assert_eq!(store(&script).link, StoreLink::Untried);

    let mut running = Script::running();
    assert_eq!(store(&running).link, StoreLink::Up);
    running.at(10.0).look();
    assert_eq!((store(&running).running, store(&running).lease), (0, Lease::NotNeeded));
    running.claimed([job(1, "report", every(10), 10.0)]);
    assert_eq!(store(&running).settling, 1);
    running.applied();
    assert_eq!((store(&running).running, store(&running).lease), (1, Lease::Held));
    assert_eq!(store(&running).next_due, Some(at(20.0)));

    script.command(Command::Health);
    script.expect("→ reply health of default");
}

#[test]
fn a_store_that_fails_is_down_since_the_first_failure_until_it_answers() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.finished("report#1", Outcome::Ok(().into()));
    script.turn_fails(unavailable());
    let down = StoreLink::Down { since: at(0.01), error: "no route to the store".into() };
    assert_eq!(store(&script).link, down);
    // While it is tried again, it is not up yet.
    script.at(0.1);
    assert_eq!(store(&script).link, down);
    assert_eq!((store(&script).running, store(&script).unreported), (0, 1));
    script.turn_fails(StoreError::new(StoreErrorKind::Unavailable, "connection refused"));
    assert_eq!(store(&script).link, StoreLink::Down { since: at(0.01), error: "connection refused".into() });

    script.at(0.3);
    while script.has_turn() {
        script.applied();
    }
    assert_eq!(store(&script).link, StoreLink::Up);
    assert_eq!(store(&script).unreported, 0);
}

#[test]
fn a_store_that_does_not_answer_is_silent_and_the_lease_lapses() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(5.02);
    assert_eq!(store(&script).link, StoreLink::Up);
    script.at(10.1);
    assert_eq!(store(&script).link, StoreLink::Silent { since: at(5.02) });
    assert_eq!(store(&script).lease, Lease::Held);
    script.at(15.1);
    assert_eq!(store(&script).lease, Lease::Lapsed);
}

#[test]
fn a_lease_that_the_store_calls_lost_has_lapsed() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    script.at(5.02).recorded(|recorded| recorded.hold = Hold::Lost);
    assert_eq!(store(&script).lease, Lease::Lapsed);
}

#[test]
fn a_store_with_a_schema_of_another_version_is_unusable() {
    let mut script = Script::running();
    script.at(1.0).look();
    script.turn_fails(StoreError::new(StoreErrorKind::Incompatible, "schema 9 is newer than 2"));
    assert_eq!(store(&script).link, StoreLink::Unusable { since: at(1.0), error: "schema 9 is newer than 2".into() });
}

#[test]
fn health_is_told_after_the_end_as_well() {
    let mut script = Script::running();
    script.shutdown(ShutdownMode::Wait);
    script.command(Command::Health);
    assert_eq!(script.count("reply health"), 1);
}

#[test]
fn runs_that_wait_for_their_executor_are_held_and_not_running() {
    let mut script = Script::running_with_slots(1);
    script.take([job(1, "a", every(1000), 0.0), job(2, "b", every(1000), 0.0)]);
    assert_eq!((store(&script).running, store(&script).waiting, store(&script).unreported), (1, 1, 0));
    assert_eq!(store(&script).lease, Lease::Held);
    script.finished("a#1", Outcome::Ok(().into()));
    assert_eq!((store(&script).running, store(&script).waiting, store(&script).unreported), (1, 0, 1));
}
