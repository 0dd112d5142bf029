//! Promises of [`JobStore::update`](scheduler_core::JobStore::update).

use chrono::TimeDelta;
use scheduler_core::{
    JobRow, JobState, Pause, Run, RunId, RunState, Verdict, Wait,
    store::{OnClaim, RunChange, SettleOutcome, Updated, whole_micros},
};
use serde_json::json;

use super::{
    Bench, LEASE, Started, moved,
    node::{ended, request_of, update_of},
    nth_run,
};

/// An update writes what it carries and counts the revision up.
pub async fn an_update_writes_what_it_carries(bench: &Bench) {
    let job = bench.due_job("report").await;
    let later = bench.now().await + TimeDelta::hours(1);
    let mut body = job.body.clone();
    body.args = json!({ "to": "bob" });
    body.extra.insert("colour".to_owned(), json!("red"));
    let update = update_of(&job)
        .with_body(Some(body.clone()))
        .with_state(JobState::Paused)
        .with_next_fire_time(Some(later))
        .with_due(Some(later + TimeDelta::microseconds(7)));

    let Updated::Updated(row) = bench.a().update(&update).await else { panic!("it was not updated") };

    assert_eq!(*row, bench.stored("report").await);
    assert_eq!((row.revision, &row.body, row.state), (1, &body, JobState::Paused));
    assert_eq!((row.next_fire_time, row.due), (update.next_fire_time, update.due));
    assert_eq!(bench.b().claim().await.jobs, []);
}

/// An update without a definition leaves the one in the store as it is, with the fields that this version does not know.
pub async fn an_update_without_a_definition_leaves_it_alone(bench: &Bench) {
    let mut job = bench.job("report", bench.at());
    job.body.extra.insert("colour".to_owned(), json!("red"));
    bench.add(&job).await;
    bench.a().update(&update_of(&job).with_state(JobState::Paused)).await;
    assert_eq!(bench.stored("report").await.body, job.body);
}

/// Two nodes that change a job at once: the second one learns how the job is now.
pub async fn an_update_of_an_older_revision_is_a_conflict(bench: &Bench) {
    let job = bench.due_job("report").await;
    bench.a().update(&update_of(&job).with_state(JobState::Paused)).await;

    let reply = bench.b().update(&update_of(&job).with_due(None)).await;

    let Updated::Conflict(row) = reply else { panic!("{reply:?}") };
    assert_eq!((row.revision, &row.state), (1, &JobState::Paused));
    assert_eq!(*row, bench.stored("report").await);
}

/// An update that was decided before a claim is a conflict, since the claim may have settled the times it is based on.
pub async fn an_update_from_before_a_claim_is_a_conflict(bench: &Bench) {
    let job = bench.due_job("report").await;
    bench.b().claim().await;
    assert!(matches!(bench.a().update(&update_of(&job)).await, Updated::Conflict(_)));
}

/// An update that was decided while the job was claimed, and comes after the settle, does not undo it.
pub async fn an_update_from_before_a_settle_is_a_conflict(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.b().claim_one("report").await;
    let seen = bench.stored("report").await;
    bench.b().settle_one(&moved(&claimed)).await;

    assert!(matches!(bench.a().update(&update_of(&seen)).await, Updated::Conflict(_)));
    assert_eq!(bench.stored("report").await.due, None);
}

/// The identical update repeated is applied once and answered the same.
pub async fn an_update_repeated_is_applied_once(bench: &Bench) {
    let job = bench.due_job("report").await;
    let mut given_up = Run::new(RunId { uid: job.uid, seq: 1 }, bench.at(), RunState::Ended(Verdict::Cancelled));
    given_up.count = Some(5);
    let update =
        update_of(&job).with_state(JobState::Paused).with_next_fire_time(None).with_due(None).with_runs(vec![given_up]);
    let first = bench.a().update(&update).await;
    assert!(matches!(first, Updated::Updated(_)), "{first:?}");
    assert_eq!(bench.a().update(&update).await, first);
    let stored = bench.stored("report").await;
    assert_eq!((stored.revision, stored.totals.of(Verdict::Cancelled)), (1, 5));
}

/// An update voids a claim: the claimer's move writes nothing, and the job can be claimed at once.
pub async fn an_update_voids_a_claim(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let seen = bench.stored("report").await;
    assert!(matches!(bench.b().update(&update_of(&seen)).await, Updated::Updated(_)));

    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Changed);
    assert_eq!(bench.runs(claimed.job.uid).await, []);
    bench.b().claim_one("report").await;
}

/// An update that gives way is a conflict while the job is claimed: the claimer's move is written, and the update after it.
pub async fn an_update_gives_way_to_a_claim(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let seen = bench.stored("report").await;
    let patient = |job: &JobRow| update_of(job).with_on_claim(OnClaim::GiveWay);
    assert_eq!(bench.b().update(&patient(&seen)).await, Updated::Conflict(Box::new(seen)));

    assert!(matches!(bench.a().settle_one(&moved(&claimed)).await, SettleOutcome::Applied { .. }));
    let seen = bench.stored("report").await;
    assert!(matches!(bench.b().update(&patient(&seen)).await, Updated::Updated(_)));
}

/// An update gives way no longer than the claim lasts, whose node may have died.
pub async fn an_update_does_not_give_way_to_a_claim_that_has_lapsed(bench: &Bench) {
    bench.due_job("report").await;
    bench.a().claim_one("report").await;
    bench.advance(LEASE * 2).await;
    let seen = bench.stored("report").await;
    let patient = update_of(&seen).with_on_claim(OnClaim::GiveWay);
    assert!(matches!(bench.b().update(&patient).await, Updated::Updated(_)));
}

/// An update may move the next fire time back, and it alone.
pub async fn an_update_may_move_the_next_fire_time_back(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(2));
    bench.add(&job).await;
    let sooner = Some(now + TimeDelta::hours(1));
    bench.a().update(&update_of(&job).with_next_fire_time(sooner).with_due(sooner)).await;
    assert_eq!(bench.stored("report").await.next_fire_time, sooner);
}

/// A run that ended after the last claim was not seen by the caller that decided the update: the job is due now.
pub async fn an_update_after_an_unseen_end_is_due_now(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start_and("report", |to| to.blocked = true).await;
    let seen = bench.stored("report").await;
    bench.a().end(&started, Verdict::Ok).await;
    bench.advance(LEASE / 10).await;
    bench.b().update(&update_of(&seen).with_due(None)).await;
    assert_eq!(bench.b().claim_one("report").await.running_count, 0);
}

/// A job that is changed all the time is not put off for as long as that lasts: it stays due since the first change that
/// came after an unseen end.
pub async fn updates_after_an_unseen_end_do_not_put_the_job_off(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start_and("report", |to| to.blocked = true).await;
    bench.a().end(&started, Verdict::Ok).await;
    bench.b().update(&update_of(&bench.stored("report").await).with_due(None)).await;
    let first = bench.stored("report").await;
    bench.advance(LEASE / 10).await;
    bench.b().update(&update_of(&first).with_due(None)).await;
    assert_eq!(bench.stored("report").await.due, first.due);
}

/// The fire times that an update gives up are in the history and in the totals, a range with its number.
pub async fn the_verdicts_of_an_update_are_kept(bench: &Bench) {
    let job = bench.due_job("report").await;
    let id = RunId { uid: job.uid, seq: 1 };
    let mut given_up = Run::new(id, bench.at(), RunState::Ended(Verdict::Missed));
    (given_up.first, given_up.count) = (Some(bench.at() - TimeDelta::days(1)), Some(86_400));
    let update = update_of(&job).with_runs(vec![given_up.clone()]);

    let Updated::Updated(row) = bench.a().update(&update).await else { panic!("it was not updated") };

    assert_eq!((row.last_seq, row.totals.of(Verdict::Missed)), (1, 86_400));
    let [run] = &bench.runs(job.uid).await[..] else { panic!("one run") };
    assert_eq!((run.first, run.count, run.state), (given_up.first, given_up.count, given_up.state));
    assert!(run.ended.is_some());
}

/// A run that a user asks for waits, and the next claim shows it, whenever the job fires next.
pub async fn an_update_adds_a_run_that_was_asked_for(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(1));
    bench.add(&job).await;

    let Updated::Updated(row) = bench.b().update(&request_of(&job, now)).await else { panic!("it was not updated") };

    assert_eq!((row.last_seq, row.next_fire_time, row.due), (1, job.next_fire_time, Some(now)));
    assert_eq!(row.totals, job.totals);
    let claimed = bench.a().claim_one("report").await;
    let [run] = &claimed.waiting[..] else { panic!("one run waits, not {:?}", claimed.waiting) };
    assert_eq!((run.id.seq, run.fire_time, run.state), (1, now, RunState::Waiting(Wait::Requested)));
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Start { seq: 1, attempt: 1 });
    assert!(matches!(bench.a().settle_one(&to).await, SettleOutcome::Applied { .. }));
    assert_eq!(bench.runs(job.uid).await[0].state, RunState::Running);
}

/// A caller whose clock is fast asks for a run: it is due by the clock of the store.
pub async fn a_run_that_was_asked_for_is_due_at_once(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(3));
    bench.add(&job).await;
    let fast = now + TimeDelta::hours(1);
    bench.a().update(&request_of(&job, fast)).await;
    let claimed = bench.b().claim_one("report").await;
    assert_eq!((claimed.waiting[0].fire_time, claimed.waiting[0].due <= claimed.job.due.unwrap()), (fast, true));
}

/// A job is paused before the claim that would show the run that a user asked for: the job stays due for it.
pub async fn a_run_that_was_asked_for_keeps_its_job_due(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(1));
    bench.add(&job).await;
    bench.a().update(&request_of(&job, now)).await;
    let seen = bench.stored("report").await;

    let paused = update_of(&seen).with_state(JobState::Paused).with_next_fire_time(None).with_due(None);
    let Updated::Updated(row) = bench.b().update(&paused).await else { panic!("it was not updated") };

    assert_eq!((row.state, row.next_fire_time, row.due), (JobState::Paused, None, Some(now)));
    assert_eq!(bench.a().claim_one("report").await.waiting.len(), 1);
}

/// The identical request repeated adds no second run, even when the first one has run meanwhile.
pub async fn a_request_repeated_adds_one_run(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(1));
    bench.add(&job).await;
    let request = request_of(&job, now);
    let first = bench.a().update(&request).await;
    assert!(matches!(first, Updated::Updated(_)), "{first:?}");
    assert_eq!(bench.a().update(&request).await, first);

    let claimed = bench.b().claim_one("report").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Start { seq: 1, attempt: 1 });
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Ended(Verdict::Missed))));
    bench.b().settle_one(&to).await;
    assert!(matches!(bench.a().update(&request).await, Updated::Updated(_)));
    let started = Started { run: claimed.waiting[0].id, fence: claimed.job.fence, claimed };
    bench.b().end(&started, Verdict::Ok).await;
    assert!(matches!(bench.a().update(&request).await, Updated::Updated(_)));

    assert_eq!(bench.stored("report").await.revision, 1);
    let states: Vec<RunState> = bench.runs(job.uid).await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Ended(Verdict::Missed), RunState::Ended(Verdict::Ok)]);
}

/// Two nodes that ask for a run at once ask for two: the second one is told how the job is now, and asks anew.
pub async fn two_requests_are_two_runs(bench: &Bench) {
    let now = bench.now().await;
    let job = bench.job("report", now + TimeDelta::hours(1));
    bench.add(&job).await;
    bench.a().update(&request_of(&job, now)).await;

    let later = now + TimeDelta::microseconds(1);
    let Updated::Conflict(seen) = bench.b().update(&request_of(&job, later)).await else { panic!("it is a conflict") };
    bench.b().update(&request_of(&seen, later)).await;

    let fire_times: Vec<_> = bench.runs(job.uid).await.iter().map(|run| run.fire_time).collect();
    assert_eq!(fire_times, [later, now]);
}

/// What is not live cannot be updated: it was never there, or it is removed.
pub async fn an_update_of_no_live_job_is_gone(bench: &Bench) {
    let stranger = bench.job("stranger", bench.at());
    assert_eq!(bench.a().update(&update_of(&stranger)).await, Updated::Gone);

    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let seen = bench.stored("report").await;
    bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
    assert_eq!(bench.a().update(&update_of(&seen)).await, Updated::Gone);
    bench.a().report(&started, ended(Verdict::Ok)).await;
}

/// A quarantined job is repaired by an update, and fires again.
pub async fn a_quarantined_job_is_repaired_by_an_update(bench: &Bench) {
    let job = bench.due_job("report").await;
    let state = JobState::Quarantined("its trigger fails".to_owned());
    bench.a().update(&update_of(&job).with_state(state.clone())).await;
    let seen = bench.stored("report").await;
    assert_eq!((&seen.state, seen.due), (&state, None));
    assert_eq!(bench.a().claim().await.jobs, []);

    let now = Some(bench.now().await);
    bench.a().update(&update_of(&seen).with_state(JobState::Active).with_due(now)).await;
    bench.a().claim_one("report").await;
}

/// The end of a pause is when the job is due: a claim takes it then and not before, with what was said of the pause.
pub async fn a_paused_job_is_claimed_at_the_end_of_its_pause(bench: &Bench) {
    let job = bench.due_job("report").await;
    let end = whole_micros(bench.now().await + LEASE);
    let mut body = job.body.clone();
    body.pause = Some(Box::new(Pause::new().by("anna").note("no paper").until(end)));
    let update = update_of(&job).with_body(Some(body.clone())).with_state(JobState::Paused);
    bench.a().update(&update.with_next_fire_time(None).with_due(Some(end))).await;
    let claimed = bench.a().claim().await;
    assert_eq!((claimed.jobs, claimed.next_due), (Vec::new(), Some(end)));

    bench.advance(LEASE).await;

    let claimed = bench.b().claim_one("report").await;
    assert_eq!((claimed.job.state, claimed.job.body), (JobState::Paused, body));
}
