//! Who holds what.

use serde_json::json;

use super::script::{Script, at, every, job, limits, node};
use crate::{
    NodeId, Outcome, RunId, Uid,
    engine::{StoreReply, WakeReason},
    store::{Changed, Hint, Hold, StoreLimits, Wakes},
};

#[test]
fn a_node_gives_a_life_sign_each_third_of_a_lease_while_it_holds_something_and_none_after() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    let wake = script.next_wake().unwrap();
    assert_eq!((wake.after.as_secs(), wake.reason), (5, WakeReason::LifeSign));
    script.at(5.01).expect("→ life sign");
    script.applied();
    script.at(10.01).expect("→ life sign");
    script.applied();
    script.finished("report#1", Outcome::Ok(json!(null)));
    script.applied();
    script.expect(
        "→ record report#1 ok
         → notify executed report#1",
    );
    assert_eq!(script.next_wake().unwrap().reason, WakeReason::Due);
}

#[test]
fn a_report_is_a_life_sign() {
    let mut script = Script::running_jobs([job(1, "a", every(1000), 0.0), job(2, "b", every(1000), 0.0)]);
    script.at(4.0).finished("a#1", Outcome::Ok(json!(null)));
    script.applied();
    script.at(5.01).expect(
        "→ record a#1 ok
         → notify executed a#1",
    );
    script.at(9.0).expect("→ life sign");
}

#[test]
fn a_node_that_has_lost_its_runs_tells_them_to_stop_once_and_their_ends_are_stale() {
    let mut script = Script::running_jobs([job(1, "report", every(1000), 0.0)]);
    script.at(5.01).recorded(|recorded| recorded.hold = Hold::Lost);
    script.claimed_next([], Some(100.0));
    script.at(10.02).recorded(|recorded| recorded.hold = Hold::Lost);
    script.finished("report#1", Outcome::Cancelled);
    script.recorded(|recorded| recorded.outcomes = vec![crate::store::RecordOutcome::Stale]);
    script.expect(
        "→ life sign
         → cancel report#1
         → claim
         → life sign
         → record report#1 retry
         → notify taken away report#1",
    );
}

#[test]
fn a_run_that_nobody_took_over_though_its_node_lost_its_lease_is_not_told_cancelled() {
    for (delivery, expected) in [
        (crate::Delivery::AtLeastOnce, "→ record report#1 retry\n→ notify taken away report#1"),
        (crate::Delivery::AtMostOnce, "→ record report#1 lost\n→ notify lost report#1"),
    ] {
        let mut report = job(1, "report", every(1000), 0.0);
        report.job.body.options.delivery = delivery;
        let mut script = Script::running_jobs([report]);
        script.at(5.01).recorded(|recorded| recorded.hold = Hold::Lost);
        script.claimed([]);
        script.expect("→ life sign\n→ cancel report#1\n→ claim");
        script.finished("report#1", Outcome::Cancelled);
        script.applied();
        script.expect(expected);
    }
}

#[test]
fn a_run_that_started_after_the_question_is_not_lost_by_its_answer() {
    let mut script = Script::running_jobs([job(1, "old", every(1000), 0.0)]);
    script.at(5.01).expect("→ life sign");
    let (op, turn) = script.take_turn();
    script.pass(0.5).look();
    script.claimed([job(2, "new", every(1000), 5.0)]);
    script.applied();
    let mut reply = super::script::reply_to(&turn, at(5.02));
    reply.record.as_mut().unwrap().hold = Hold::Lost;
    script.answer(op, reply);
    script.expect(
        "→ claim
         → settle new: #1 +5s starts, next +1000s
         → notify submitted new#1
         → start new#1 attempt 1
         → cancel old#1",
    );
}

#[test]
fn a_run_that_somebody_wants_cancelled_is_told_so_once() {
    let push = StoreLimits { wakes: Wakes::Push, ..limits() };
    let mut script = Script::running_with(push);
    script.pass(0.01).look();
    script.claimed([job(1, "report", every(1000), 0.0)]);
    script.applied();
    script.expect(
        "→ claim
         → settle report: #1 +0s starts, next +1000s
         → notify submitted report#1
         → start report#1 attempt 1",
    );
    let hint = |seen, of: NodeId| Ok(StoreReply::Changed(Changed { seen, hint: Some(Hint::Cancel(of)) }));
    script.stored(hint(1, "node-2".into()));
    script.expect("→ changed after 1");
    script.stored(hint(2, node()));
    script.expect(
        "→ changed after 2
         → life sign",
    );
    for _ in 0..2 {
        script.recorded(|recorded| recorded.cancel = vec![RunId { uid: Uid(1), seq: 1 }]);
        script.pass(5.0).handle_wake();
    }
    script.expect(
        "→ cancel report#1
         → life sign
         → life sign",
    );
}

#[test]
fn a_life_sign_does_not_wait_for_an_answer_that_may_be_lost() {
    let mut script = Script::running_jobs([job(1, "a", every(1000), 0.0), job(2, "b", every(1000), 0.0)]);
    script.at(5.01).expect("→ life sign");
    script.finished("a#1", Outcome::Ok(json!(null)));
    script.expect("");
    script.at(10.01).expect("→ record a#1 ok");
    let mut signs = 0;
    for seconds in 11..100 {
        script.at(f64::from(seconds));
        signs += script.count("life sign");
    }
    assert_eq!(signs, 2, "a store that answers nothing is not flooded");
}
