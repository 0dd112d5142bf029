//! Searches that take long: what one claim or one call may take of the loop.

use std::time::Duration;

use super::script::{Script, at, every, job};
use crate::{
    Coalesce, ErrorKind, JobSpec, JobState, Trigger,
    engine::{Command, Reply},
    plan::{JOB_STEPS, plan, plan_counting},
    trigger::{And, Interval},
};

/// Fires every 1600.88 s, which takes some 80,000 steps to find out each time.
fn rare() -> And {
    let every = |micros| Trigger::from(Interval::every(Duration::from_micros(micros)).starting_at(at(0.0)));
    And::of([every(40_009), every(40_013)]).unwrap()
}

const PERIOD: f64 = 40_009.0 * 40_013.0 / 1e6;

#[test]
fn what_a_claim_cannot_plan_at_once_is_given_back_and_claimed_when_others_have_been_heard() {
    let mut script = Script::running();
    script.at(10.0).look();
    let jobs =
        [job(1, "rare", rare().into(), 10.0), job(2, "next", rare().into(), 10.0), job(3, "last", every(10), 10.0)];
    script.claimed(jobs.clone());
    script.expect(
        "→ claim
         → settle rare: #1 +10s starts, next +1600.880117s; next: next +10s; last: next +10s",
    );
    script.answer_turn(|_, reply| reply.settle.as_mut().unwrap().next_due = Some(at(10.0)));
    // The store's answer alone does not make it claim: whatever came meanwhile is heard first.
    script.expect(
        "→ notify submitted rare#1
         → start rare#1 attempt 1",
    );
    script.pass(0.01);
    assert_eq!(script.next_wake().unwrap().after, Duration::ZERO);
    script.handle_wake();
    let [_, next, last] = jobs;
    script.claimed([next, last]);
    script.applied();
    script.expect(
        "→ claim
         → settle next: #1 +10s starts, next +1600.880117s; last: next +10s
         → notify submitted next#1
         → start next#1 attempt 1",
    );
}

#[test]
fn a_claim_of_many_usual_jobs_is_planned_at_once() {
    let mut script = Script::running();
    script.at(10.0).look();
    let jobs: Vec<_> = (1..=1_000).map(|uid| job(uid, &format!("job-{uid}"), every(10), 10.0)).collect();
    script.claimed(jobs);
    let (_, turn) = script.peek_turn();
    assert!(turn.settle.unwrap().moves.iter().all(|planned| planned.next_fire_time == Some(at(20.0))));
}

#[test]
fn a_job_that_takes_too_much_alone_is_put_aside_with_that_reason() {
    let mut script = Script::running();
    script.at(2.0 * PERIOD - 0.1).look();
    // After its two missed fire times, each of which takes a search there and one back, there is too little left.
    script.claimed([job(1, "rare", rare().into(), 0.0)]);
    let (_, turn) = script.peek_turn();
    let planned = &turn.settle.as_ref().unwrap().moves[0];
    assert_eq!(
        planned.state,
        JobState::Quarantined(
            "trigger: looking for fire times took more than 200000 steps; its parts agree too rarely, or leave out too much"
                .to_owned()
        )
    );
}

#[test]
fn a_jitter_of_a_hundred_years_over_a_trigger_that_takes_long_is_no_loop() {
    let jittered = rare().jitter(Duration::from_secs(100 * 365 * 86_400));
    for uid in 1..20 {
        let claimed = job(uid, "rare", jittered.clone().into(), 0.0);
        let (planned, steps) = plan_counting(&claimed, at(100.0 * 366.0 * 86_400.0));
        assert!(steps <= JOB_STEPS, "{steps}");
        planned.unwrap_or_else(|error| panic!("{uid}: {error}"));
    }
}

#[test]
fn a_catch_up_that_takes_long_goes_as_far_as_it_can_and_loses_nothing() {
    let mut claimed = job(1, "rare", rare().into(), 0.0);
    claimed.job.body.options.coalesce = Coalesce::All;
    claimed.job.body.options.overlap = crate::Overlap::Allow;
    let mut fire_times = Vec::new();
    while claimed.job.next_fire_time.is_some_and(|next| next <= at(5_000.0)) {
        let planned = plan(&claimed, at(5_000.0)).unwrap();
        assert!(!planned.runs.is_empty(), "it gets on");
        fire_times.extend(planned.runs.iter().map(|run| match run {
            crate::store::RunChange::Insert(run) => run.fire_time,
            other => panic!("{other:?}"),
        }));
        claimed.job.next_fire_time = planned.next_fire_time;
        claimed.job.last_seq += planned.runs.len() as u64;
    }
    assert_eq!(fire_times, [at(0.0), at(PERIOD), at(2.0 * PERIOD), at(3.0 * PERIOD)]);
}

#[test]
fn a_call_that_adds_many_jobs_searches_for_the_first_of_them_only_and_says_so() {
    let mut script = Script::running();
    let specs = (1..=4).map(|n| JobSpec::new("work", rare()).id(format!("rare-{n}")));
    let specs = specs.chain([JobSpec::new("work", every(10)).id("usual")]).collect();
    script.at(1.0).command(Command::AddJobs("default".into(), specs));
    script.inserted();
    let Some(Ok(Reply::Added(added))) = &script.last_reply else { panic!("each has an answer") };
    let is_added: Vec<_> = added.iter().map(Result::is_ok).collect();
    assert_eq!(is_added, [true, true, false, false, true]);
    let error = added[2].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trigger);
    assert!(
        error.to_string().ends_with("the jobs before it in this call took the rest: add it by a call of its own"),
        "{error}"
    );
}
