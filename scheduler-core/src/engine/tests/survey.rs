//! Jobs that no node can run are told of, at the cost of a claim a minute at most where nothing is changed.

use crate::{
    engine::{Command, StoreReply},
    store::{Changed, Clock, Declined, Durability, Hint, Report, StoreLimits, Wakes},
};

use super::script::{Script, every, job, limits};

fn pushing() -> StoreLimits {
    StoreLimits { wakes: Wakes::Push, clock: Clock::Server, ..limits() }
}

/// A node that has claimed once and asks for changes of a store.
fn watching(limits: StoreLimits) -> Script {
    let mut script = Script::running_with(limits);
    script.know(&job(9, "foreign", every(10), 0.0).job);
    script
}

fn hears(script: &mut Script, hint: Hint) {
    script.stored(Ok(StoreReply::Changed(Changed { seen: 1, hint: Some(hint) })));
}

/// Answers the claim that is under way, which has to ask; gives one job back as declined.
#[track_caller]
fn declines(script: &mut Script) {
    script.answer_turn(|turn, reply| {
        assert_eq!(turn.claim.as_ref().unwrap().declined, Report::Declined);
        reply.claim.as_mut().unwrap().declined = vec![Declined { id: "foreign".into(), task: "other".into(), v: 1 }];
    });
}

#[test]
fn a_job_that_no_node_can_run_is_told_of_when_it_is_due_and_a_store_within_the_process_wakes_the_engine_for_nothing_else()
 {
    let mut script = watching(StoreLimits { durability: Durability::Volatile, ..pushing() });
    script.at(1.0);
    hears(&mut script, Hint::Due(super::script::at(20.0)));
    // Whatever is claimed before, its time is not forgotten.
    script.at(6.0).look();
    script.claimed([]);
    // Nodes that can run it have five seconds for that.
    assert_eq!(script.next_wake().unwrap().after.as_secs(), 19);
    script.at(24.9).expect(
        "→ changed after 1
         → claim",
    );
    script.at(25.0);
    declines(&mut script);
    script.expect(
        "→ claim
         → notify declined foreign: this node has no task `other`",
    );
    assert_eq!(script.next_wake(), None);
}

#[test]
fn of_jobs_that_are_added_at_once_the_later_ones_are_told_of_within_a_minute() {
    let mut script = watching(pushing());
    script.at(1.0);
    // There is another one, which is due an hour later.
    hears(&mut script, Hint::Due(super::script::at(20.0)));
    let mut asked = 0;
    while script.clock().monotonic.as_secs_f64() < 3620.0 {
        let wake = script.next_wake().expect("the engine asks again");
        assert!(wake.after.as_secs() <= 60, "{wake:?}");
        let now = script.clock().monotonic.as_secs_f64() + wake.after.as_secs_f64();
        script
            .at(now)
            .answer_turn(|turn, _| asked += u32::from(turn.claim.as_ref().unwrap().declined == Report::Declined));
    }
    assert!((60..=62).contains(&asked), "{asked}");
}

#[test]
fn a_job_of_others_that_this_node_runs_costs_no_further_claim() {
    let mut script = watching(pushing());
    script.at(1.0);
    hears(&mut script, Hint::Due(super::script::at(3.0)));
    script.at(3.0);
    script.claimed([job(1, "report", every(1_000), 3.0)]);
    script.applied();
    script.at(10.0).expect(
        "→ changed after 1
         → claim
         → settle report: #1 +3s starts, next +1000s
         → notify submitted report#1
         → start report#1 attempt 1
         → life sign",
    );
}

#[test]
fn after_a_change_of_unknown_time_it_is_asked_again_with_pauses_that_grow_to_a_minute_and_without_an_end() {
    let mut script = watching(pushing());
    script.at(10.0);
    hears(&mut script, Hint::Resync);
    script.claimed([]);
    let mut asked = Vec::new();
    for _ in 0..3_000 {
        let wake = script.next_wake().expect("the engine asks again");
        let now = script.clock().monotonic.as_secs_f64() + wake.after.as_secs_f64();
        script.at(now).answer_turn(|turn, _| {
            assert_eq!(turn.claim.as_ref().unwrap().declined, Report::Declined);
        });
        asked.push(now);
    }
    assert_eq!(asked[..6], [15.0, 25.0, 45.0, 85.0, 145.0, 205.0]);
    assert!(asked[3..].windows(2).all(|pair| pair[1] - pair[0] == 60.0), "{asked:?}");
    assert!(*asked.last().unwrap() > 2.0 * 86_400.0, "{asked:?}");
}

#[test]
fn however_much_others_change_it_is_asked_every_five_seconds_at_most() {
    let mut script = watching(pushing());
    let mut asked = 0;
    for step in 1..=100 {
        script.at(f64::from(step) * 0.5);
        hears(&mut script, Hint::Resync);
        script.answer_turn(|turn, _| asked += u32::from(turn.claim.as_ref().unwrap().declined == Report::Declined));
        while script.has_turn() {
            script.claimed([]);
        }
    }
    assert!((8..=10).contains(&asked), "{asked}");
}

#[test]
fn a_claim_that_is_lost_is_asked_again() {
    let mut script = watching(pushing());
    script.at(10.0);
    hears(&mut script, Hint::Resync);
    script.turn_fails(super::script::unavailable());
    script.at(10.1);
    declines(&mut script);
    assert_eq!(script.count("declined foreign"), 1);
    script.command(Command::State);
}
