//! Executors that take only so many runs at once, and who comes first.

use std::{num::NonZeroUsize, time::Duration};

use serde_json::json;

use super::script::{LEASE, Script, every, job, limits, reply_to, unavailable, with_run};
use crate::{
    Delivery, Outcome, Overlap, RunId, RunState, Uid,
    engine::{Command, ShutdownMode, StoreReply, WakeReason},
    store::{ClaimedJob, Hold, RecordOutcome, Removed, SettleOutcome, Stamped, Waits},
};

fn urgent(mut claimed: ClaimedJob, priority: i32) -> ClaimedJob {
    claimed.job.body.options.priority = priority;
    claimed
}

fn jobs<const N: usize>(ids: [&str; N]) -> [ClaimedJob; N] {
    let mut uid = 0;
    ids.map(|id| {
        uid += 1;
        job(uid, id, every(1000), 0.0)
    })
}

fn ok() -> Outcome {
    Outcome::Ok(json!(null))
}

/// A node with one slot that `a` has, while `b` waits for it.
fn full() -> Script {
    let mut script = Script::running_with_slots(1);
    script.take(jobs(["a", "b"]));
    script.expect(
        "→ notify submitted a#1
         → start a#1 attempt 1
         → notify queued b#1",
    );
    script
}

#[test]
fn a_job_that_finds_no_place_of_its_limit_key_waits_and_its_run_is_reported_with_the_key() {
    let [mut one] = jobs(["a"]);
    one.job.body.options.limit_key = Some("tenant-42".into());
    let mut script = Script::running_with_slots(1);
    script.pass(0.01).look();
    script.claimed([one.clone()]);
    assert_eq!(script.peek_turn().1.settle.unwrap().moves[0].limit_key, Some("tenant-42".into()));
    script.expect(
        "→ claim
         → settle a: #1 +0s starts, next +1000s",
    );
    script.settled(vec![SettleOutcome::Waits(Waits::Begin)]);
    script.expect("→ notify waiting a for tenant-42");

    let mut script = Script::running_with_slots(1);
    script.take([one]);
    script.finished("a#1", ok());
    let record = script.peek_turn().1.record.unwrap();
    assert_eq!(record.entries[0].limit_key, Some("tenant-42".into()));
}

#[test]
fn runs_for_which_their_executor_has_no_room_wait_and_start_as_others_end() {
    let mut script = Script::running_with_slots(2);
    script.take(jobs(["a", "b", "c", "d"]));
    script.expect(
        "→ notify submitted a#1
         → start a#1 attempt 1
         → notify submitted b#1
         → start b#1 attempt 1
         → notify queued c#1
         → notify queued d#1",
    );
    script.finished("b#1", ok());
    script.expect(
        "→ notify submitted c#1
         → start c#1 attempt 1
         → record b#1 ok",
    );
    script.finished("a#1", ok());
    script.expect(
        "→ notify submitted d#1
         → start d#1 attempt 1",
    );
    script.applied();
    script.expect(
        "→ notify executed b#1
         → record a#1 ok",
    );
}

#[test]
fn what_has_a_higher_priority_is_planned_and_started_first() {
    let mut script = Script::running();
    script.pass(0.01).look();
    let [a, b, c, d] = jobs(["a", "b", "c", "d"]);
    script.claimed([a, urgent(b, -1), urgent(c, 5), d]);
    script.applied();
    script.expect(
        "→ claim
         → settle c: #1 +0s starts, next +1000s; a: #1 +0s starts, next +1000s; d: #1 +0s starts, next +1000s; \
            b: #1 +0s starts, next +1000s
         → notify submitted c#1
         → start c#1 attempt 1
         → notify submitted a#1
         → start a#1 attempt 1
         → notify submitted d#1
         → start d#1 attempt 1
         → notify submitted b#1
         → start b#1 attempt 1",
    );
}

#[test]
fn those_that_wait_start_by_priority_then_by_their_time_then_as_they_came() {
    let mut script = full();
    script.pass(5.0);
    let [_, _, c, d, e, f] = jobs(["", "", "later", "earlier", "urgent", "earlier-too"]);
    let due = |mut claimed: ClaimedJob, seconds: f64| {
        claimed.job.next_fire_time = Some(super::script::at(seconds));
        claimed
    };
    script.take([due(c, 3.0), due(d, 2.0), urgent(due(e, 4.0), 1), due(f, 2.0)]);
    script.count("");
    let mut order = Vec::new();
    let mut last = "a#1".to_owned();
    for _ in 0..5 {
        script.finished(&last, ok());
        last = script.started();
        order.push(last.clone());
    }
    assert_eq!(order, ["urgent#1", "b#1", "earlier#1", "earlier-too#1", "later#1"]);
}

#[test]
fn another_executor_is_not_held_up() {
    let mut script = full();
    script.command(Command::AddExecutor("wide".into(), None));
    let mut other = job(3, "c", every(1000), 0.0);
    other.job.body.executor = "wide".into();
    script.take([other]);
    script.expect(
        "→ notify submitted c#1
         → start c#1 attempt 1",
    );
}

#[test]
fn what_waits_is_held_with_a_lease_like_what_runs() {
    let mut script = full();
    let health = |script: &Script| script.engine.health(script.clock()).stores.remove(0);
    assert_eq!((health(&script).running, health(&script).waiting, health(&script).unreported), (1, 1, 0));
    script.at(5.01).expect("→ life sign");
    script.applied();
    script.finished("a#1", ok());
    assert_eq!((health(&script).running, health(&script).waiting, health(&script).unreported), (1, 0, 1));
    script.applied();
    script.at(10.01).expect(
        "→ notify submitted b#1
         → start b#1 attempt 1
         → record a#1 ok
         → notify executed a#1
         → life sign",
    );
}

#[test]
fn the_timeout_is_counted_from_the_start() {
    let mut script = Script::running_with_slots(1);
    let [a, mut b] = jobs(["a", "b"]);
    b.job.body.options.timeout = Some(Duration::from_secs(3));
    script.take([a, b]);
    script.at(4.0);
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::LifeSign);
    script.finished("a#1", ok());
    script.count("");
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after.as_secs(), wake.reason), (3, WakeReason::Timeout));
    script.at(7.0);
    assert_eq!(script.count("→ cancel b#1"), 1);
}

#[test]
fn a_run_that_is_cancelled_while_it_waits_never_starts() {
    let mut script = full();
    script.at(5.01).recorded(|recorded| recorded.cancel = vec![RunId { uid: Uid(2), seq: 1 }]);
    script.applied();
    script.finished("a#1", ok());
    script.applied();
    script.expect(
        "→ life sign
         → record b#1 cancelled
         → notify cancelled b#1
         → record a#1 ok
         → notify executed a#1",
    );
}

#[test]
fn a_run_whose_job_is_removed_while_it_waits_never_starts() {
    let mut script = full();
    script.command(Command::RemoveJob(None, "b".into()));
    let value = vec![Removed::Removed { uid: Some(Uid(2)), running: 1, cancelled: vec![] }];
    script.stored(Ok(StoreReply::Remove(Stamped { now: super::script::at(0.0), value })));
    script.recorded(|recorded| recorded.over = vec![(Uid(2), "b".into())]);
    script.finished("a#1", ok());
    script.expect(
        "→ remove b
         → notify removed b Requested
         → reply done
         → record b#1 cancelled
         → notify cancelled b#1
         → record a#1 ok",
    );
}

#[test]
fn a_run_that_waits_is_given_back_when_the_lease_is_lost() {
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let mut script = Script::running_with_slots(1);
        let [a, mut b] = jobs(["a", "b"]);
        b.job.body.options.delivery = delivery;
        script.take([a, b]);
        script.count("");
        script.at(5.01).recorded(|recorded| recorded.hold = Hold::Lost);
        script.expect(
            "→ life sign
             → cancel a#1
             → record b#1 given back | claim",
        );
        script.recorded(|recorded| recorded.outcomes = vec![RecordOutcome::Stale]);
        script.finished("a#1", Outcome::Cancelled);
        script.expect("→ record a#1 retry");
    }
}

#[test]
fn a_run_that_waits_starts_only_while_the_lease_is_known_to_hold() {
    let mut script = full();
    for seconds in [5.01, 10.01] {
        script.at(seconds).turn_fails(unavailable());
    }
    script.count("");
    script.pass(LEASE as f64 - 10.0).finished("a#1", ok());
    assert_eq!(script.count("→ start"), 0, "the lease was last renewed by the settle");
}

#[test]
fn what_waits_longer_than_the_lease_was_known_to_hold_is_given_back_and_taken_anew() {
    let mut script = full();
    script.at(5.01).expect("→ life sign");
    let (op, turn) = script.take_turn();
    script.at(15.02);
    script.count("");
    let reply = reply_to(&turn, super::script::at(15.02));
    script.answer(op, reply);
    assert_eq!(script.count("b#1 given back"), 0, "that has been done already");
    let (_, turn) = script.peek_turn();
    assert!(turn.record.is_some());
    script.finished("a#1", ok());
    assert_eq!(script.count("→ start"), 0);
}

#[test]
fn a_lease_that_is_renewed_in_time_again_and_again_covers_what_waits() {
    let mut script = full();
    for seconds in [5.01, 10.01, 15.01, 20.01, 25.01] {
        script.at(seconds).applied();
    }
    script.count("");
    script.finished("a#1", ok());
    script.expect(
        "→ notify submitted b#1
         → start b#1 attempt 1
         → record a#1 ok",
    );
}

#[test]
fn a_shutdown_gives_back_what_waits() {
    for mode in [ShutdownMode::Wait, ShutdownMode::Now] {
        let mut script = full();
        script.shutdown(mode);
        if mode == ShutdownMode::Now {
            script.expect(
                "→ cancel a#1
                 → record b#1 given back, a#1 given back",
            );
            script.applied();
            script.expect("→ notify given back a#1\n→ release");
        } else {
            script.expect("→ record b#1 given back");
            script.applied();
            script.finished("a#1", ok());
            script.applied();
            script.expect(
                "→ record a#1 ok
                 → notify executed a#1
                 → release",
            );
        }
    }
}

#[test]
fn a_store_that_is_removed_gets_back_what_waits_and_leaves_its_slots_to_others() {
    let mut script = full();
    script.command(Command::AddStore("other".into(), limits()));
    script.count("");
    script.command(Command::RemoveStore("default".into()));
    assert_eq!(script.count("→ record b#1 given back"), 1);
}

#[test]
fn the_runs_of_several_stores_wait_in_one_order() {
    let mut script = Script::running_with_slots(1);
    script.command(Command::AddStore("other".into(), limits()));
    script.claimed([]);
    script.pass(0.01).look();
    script.count("");
    let [a, b, c] = jobs(["a", "b", "c"]);
    script.claimed([a, b]);
    script.claimed([urgent(c, 1)]);
    script.applied();
    script.applied();
    script.expect(
        "→ settle a: #1 +0s starts, next +1000s; b: #1 +0s starts, next +1000s
         → other: settle c: #1 +0s starts, next +1000s
         → notify submitted a#1
         → start a#1 attempt 1
         → notify queued b#1
         → notify queued c#1",
    );
    script.finished("a#1", ok());
    assert_eq!(script.started(), "c#1");
    script.finished("c#1", ok());
    assert_eq!(script.started(), "b#1");
}

#[test]
fn a_run_that_waits_gives_way_to_a_later_one_of_its_job() {
    let mut script = full();
    let mut claimed = with_run(job(2, "b", every(8), 8.0), 1, 0.0, RunState::Running);
    claimed.job.body.options.overlap = Overlap::CancelPrevious;
    script.at(5.01).applied();
    script.count("");
    script.at(9.0).look();
    script.claimed([claimed]);
    script.applied();
    script.expect(
        "→ claim
         → settle b: #1 is to stop, #2 +8s queued, next +16s blocked
         → notify queued b#2
         → record b#1 cancelled",
    );
    script.applied();
    script.expect("→ notify cancelled b#1");
}

#[test]
fn what_waits_for_an_executor_that_is_removed_is_given_back() {
    let mut script = full();
    script.command(Command::RemoveExecutor("default".into()));
    script.expect(
        "→ notify ExecutorRemoved(\"default\")
         → reply done
         → record b#1 given back",
    );
    script.applied();
    script.command(Command::AddExecutor("default".into(), NonZeroUsize::new(1)));
    script.take(jobs(["", "", "c"]).into_iter().skip(2));
    assert_eq!(script.count("→ start c#1"), 1, "the new one is empty");
}

#[test]
fn what_is_settled_after_its_executor_was_removed_is_given_back() {
    let mut script = Script::running();
    script.pass(0.01).look();
    script.claimed(jobs(["a"]));
    script.command(Command::RemoveExecutor("default".into()));
    script.applied();
    script.expect(
        "→ claim
         → settle a: #1 +0s starts, next +1000s
         → notify ExecutorRemoved(\"default\")
         → reply done
         → record a#1 given back",
    );
}

#[test]
fn what_waits_for_a_task_that_is_removed_is_given_back_instead_of_started() {
    let mut script = full();
    script.command(Command::RemoveTasks(vec!["work".into()]));
    script.finished("a#1", ok());
    script.expect(
        "→ reply done
         → record a#1 ok, b#1 given back",
    );
}

#[test]
fn the_end_of_an_earlier_attempt_is_not_taken_for_that_of_one_that_waits() {
    let mut script = full();
    script.finished("b#1", Outcome::Error("of long ago".into()));
    script.expect("");
    script.finished("a#1", ok());
    assert_eq!(script.count("→ start b#1"), 1);
}
