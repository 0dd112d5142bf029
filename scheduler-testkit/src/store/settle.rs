//! Promises of [`JobStore::settle`](scheduler_core::JobStore::settle).

use chrono::{SubsecRound, TimeDelta};
use scheduler_core::{
    JobState, RunState, Verdict, Wait,
    store::{
        Fate, JobQuery, Move, Record, RecordOutcome, RunChange, RunReport, Settle, SettleOutcome, Turn, TurnReply,
    },
};

use super::{Bench, LEASE, moved, node::ended, nth_run};

const APPLIED: SettleOutcome = SettleOutcome::Applied { job: Fate::Stays };

/// A move writes where the job is and what becomes of its runs, and gives up the claim.
pub async fn a_move_writes_the_job_and_its_runs(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let tomorrow = bench.now().await + TimeDelta::days(1);
    let mut missed = nth_run(&claimed, 1, RunState::Ended(Verdict::Missed));
    (missed.first, missed.count) = (Some(bench.at() - TimeDelta::days(9)), Some(9));
    let to = moved(&claimed)
        .with_next_fire_time(Some(tomorrow))
        .with_due(Some(tomorrow + TimeDelta::microseconds(3)))
        .with_runs(vec![RunChange::Insert(missed), RunChange::Insert(nth_run(&claimed, 2, RunState::Running))]);

    let settled = bench.a().settle(std::slice::from_ref(&to)).await;

    assert_eq!((&settled.outcomes[..], settled.next_due), (&[APPLIED][..], to.due));
    let stored = bench.stored("report").await;
    assert_eq!((stored.next_fire_time, stored.due, stored.last_seq), (to.next_fire_time, to.due, 2));
    assert_eq!((stored.totals.of(Verdict::Missed), stored.totals.sum()), (9, 9));
    assert_eq!((stored.body, stored.revision), (job.body, 0));
    let [running, missed] = &bench.runs(job.uid).await[..] else { panic!("two runs") };
    assert_eq!((running.state, running.owner.clone()), (RunState::Running, Some(bench.a().id)));
    assert_eq!((running.fence, running.started, running.ended), (claimed.job.fence, Some(settled.now), None));
    assert_eq!((missed.state, missed.count), (RunState::Ended(Verdict::Missed), Some(9)));
    assert_eq!((missed.started, missed.ended), (None, Some(settled.now)));
    assert_eq!(bench.b().claim().await.jobs, []);
}

/// A move repeated, as after a lost reply, is applied once and answered the same: nothing starts twice.
pub async fn a_move_repeated_is_applied_once(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    to.due = Some(bench.now().await + TimeDelta::hours(1));
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    to.runs.push(RunChange::Insert(nth_run(&claimed, 2, RunState::Ended(Verdict::Skipped))));
    for _ in 0..3 {
        let settled = bench.a().settle(std::slice::from_ref(&to)).await;
        assert_eq!((&settled.outcomes[..], settled.next_due), (&[APPLIED][..], to.due));
    }
    assert_eq!(bench.runs(job.uid).await.len(), 2);
    assert_eq!(bench.stored("report").await.totals.sum(), 1);
}

/// A move repeated after its run has ended does not bring the run back.
pub async fn a_move_repeated_after_the_end_starts_nothing(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    let run = nth_run(&claimed, 1, RunState::Running);
    to.runs.push(RunChange::Insert(run.clone()));
    bench.a().settle_one(&to).await;
    let started = super::Started { run: run.id, fence: claimed.job.fence, claimed };
    bench.a().end(&started, Verdict::Ok).await;
    assert_eq!(bench.a().settle_one(&to).await, APPLIED);
    assert_eq!(bench.runs(started.uid()).await[0].state, RunState::Ended(Verdict::Ok));
}

/// A batch is judged move by move: one whose claim is gone does not stop the others.
pub async fn moves_are_judged_one_by_one(bench: &Bench) {
    for id in ["changed", "gone", "sound", "taken"] {
        bench.due_job(id).await;
    }
    let claimed = bench.a().claim().await.jobs;
    let to: Vec<Move> = claimed.iter().map(moved).collect();
    let update = super::node::update_of(&bench.stored("changed").await);
    bench.b().update(&update).await;
    bench.store().remove(bench.at(), &["gone".into()]).await.unwrap();
    let by_id = |id: &str| claimed.iter().position(|it| it.job.id == id).expect("it was claimed");
    let mut taken = to[by_id("taken")].clone();
    taken.fence -= 1;
    let moves = [to[by_id("changed")].clone(), to[by_id("gone")].clone(), to[by_id("sound")].clone(), taken];

    let outcomes = bench.a().settle(&moves).await.outcomes;

    assert_eq!(outcomes, [SettleOutcome::Changed, SettleOutcome::Gone, APPLIED, SettleOutcome::Taken]);
    assert_eq!(bench.stored("sound").await.due, None);
    assert!(bench.stored("taken").await.due.is_some());
}

/// Only the claimer can settle.
pub async fn a_move_of_another_node_is_refused(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    assert_eq!(bench.b().settle_one(&to).await, SettleOutcome::Taken);
    assert_eq!(bench.runs(claimed.job.uid).await, []);
    assert_eq!(bench.a().settle_one(&to).await, APPLIED);
}

/// The next fire time never moves back by a move.
pub async fn a_move_never_moves_the_next_fire_time_back(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let earlier = job.next_fire_time.map(|at| at - TimeDelta::microseconds(1));
    bench.a().settle_one(&moved(&claimed).with_next_fire_time(earlier)).await;
    assert_eq!(bench.stored("report").await.next_fire_time, job.next_fire_time);
}

/// A run ends between another node's claim and its move, which still thinks that the slot is taken: the job is due now.
pub async fn a_slot_freed_during_a_claim_is_used_at_once(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let started = bench.a().start_and("report", |to| (to.due, to.blocked) = (now, true)).await;
    let claimed = bench.b().claim_one("report").await;
    assert_eq!(claimed.running_count, 1);
    bench.a().end(&started, Verdict::Ok).await;

    let tomorrow = Some(bench.now().await + TimeDelta::days(1));
    let queued = nth_run(&claimed, 1, RunState::Waiting(Wait::Queued));
    let runs = vec![RunChange::Insert(queued)];
    let mut to = moved(&claimed).with_due(tomorrow).with_runs(runs);
    to.blocked = true;
    let settled = bench.b().settle(&[to]).await;

    assert_eq!(settled.next_due, Some(settled.now));
    assert_eq!(bench.b().claim_one("report").await.running_count, 0);
}

/// Without such an end, a blocked job stays blocked.
pub async fn a_blocked_job_waits(bench: &Bench) {
    bench.due_job("report").await;
    bench.a().start_and("report", |to| to.blocked = true).await;
    let stored = bench.stored("report").await;
    assert_eq!((stored.due, stored.blocked), (None, true));
    let claimed = bench.b().claim().await;
    assert_eq!(claimed.jobs, []);
}

/// A retry that comes between another node's claim and its move is not forgotten until the next fire time.
pub async fn a_retry_during_a_claim_is_not_forgotten(bench: &Bench) {
    bench.due_job("report").await;
    let now = bench.now().await;
    let started = bench.a().start_and("report", |to| to.due = Some(now)).await;
    let claimed = bench.b().claim_one("report").await;
    let retry_at = now + TimeDelta::minutes(1);
    bench.a().report(&started, RunReport::Retry { due: retry_at, error: None }).await;
    let settled = bench.b().settle(&[moved(&claimed).with_due(Some(now + TimeDelta::days(1)))]).await;
    assert_eq!((settled.next_due, bench.stored("report").await.due), (Some(retry_at), Some(retry_at)));
}

/// Waiting runs are started, ended and left waiting by a move; a running one is asked to stop.
pub async fn a_move_changes_the_runs_that_it_names(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed);
    to.due = Some(bench.now().await);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    for n in 2..=4 {
        to.runs.push(RunChange::Insert(nth_run(&claimed, n, RunState::Waiting(Wait::Queued))));
    }
    bench.a().settle_one(&to).await;
    let claimed = bench.b().claim_one("report").await;
    let mut to = moved(&claimed);
    to.runs = vec![
        RunChange::Cancel { seq: 1 },
        RunChange::Start { seq: 2, attempt: 1 },
        RunChange::End { seq: 3, verdict: Verdict::Lost, error: Some("no node".to_owned()) },
    ];
    assert_eq!(bench.b().settle_one(&to).await, APPLIED);

    let runs = bench.runs(claimed.job.uid).await;
    assert_eq!((runs[3].state, runs[3].cancel_requested), (RunState::Running, true));
    assert_eq!((runs[2].state, runs[2].owner.clone()), (RunState::Running, Some(bench.b().id)));
    assert_eq!((runs[1].state, runs[1].error.as_deref()), (RunState::Ended(Verdict::Lost), Some("no node")));
    assert!(runs[1].ended.is_some());
    assert_eq!(runs[0].state, RunState::Waiting(Wait::Queued));
    let stored = bench.stored("report").await;
    assert_eq!(stored.totals.of(Verdict::Lost), 1);
}

/// A request to stop reaches the node that runs the run, with its next life sign, until the run ends.
pub async fn a_cancellation_reaches_the_node_that_runs(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let started = bench.a().start_and("report", |to| to.due = now).await;
    let claimed = bench.b().claim_one("report").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Cancel { seq: started.run.seq });
    bench.b().settle_one(&to).await;

    assert_eq!(bench.a().life_sign().await.cancel, [started.run]);
    assert_eq!(bench.a().life_sign().await.cancel, [started.run]);
    assert_eq!(bench.b().life_sign().await.cancel, []);
    bench.a().end(&started, Verdict::Cancelled).await;
    assert_eq!(bench.a().life_sign().await.cancel, []);
}

/// A run that has ended in the meantime cannot be asked to stop, which is no reason to refuse the move.
pub async fn a_cancellation_of_an_ended_run_is_nothing(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let started = bench.a().start_and("report", |to| to.due = now).await;
    let claimed = bench.b().claim_one("report").await;
    bench.a().end(&started, Verdict::Ok).await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Cancel { seq: started.run.seq });
    assert_eq!(bench.b().settle_one(&to).await, APPLIED);
    assert!(!bench.runs(started.uid()).await[0].cancel_requested);
}

/// A run that does not wait cannot be started: nothing of the move is written.
pub async fn a_run_that_does_not_wait_cannot_be_started(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let started = bench.a().start_and("report", |to| to.due = now).await;
    let claimed = bench.b().claim_one("report").await;
    for seq in [started.run.seq, 77] {
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
        to.runs.push(RunChange::Start { seq, attempt: 2 });
        assert_eq!(bench.b().settle_one(&to).await, SettleOutcome::Changed);
    }
    assert_eq!(bench.runs(started.uid()).await.len(), 1);
    assert_eq!(bench.stored("report").await.due, now);
}

/// A job that is over and has no open run is deleted by the move that says so, with its history.
pub async fn a_job_that_is_over_without_runs_is_deleted(bench: &Bench) {
    let job = bench.due_job("one-shot").await;
    let claimed = bench.a().claim_one("one-shot").await;
    let missed = nth_run(&claimed, 1, RunState::Ended(Verdict::Missed));
    let runs = vec![RunChange::Insert(missed)];
    let outcome = bench.a().settle_one(&moved(&claimed).with_state(JobState::Ending).with_runs(runs)).await;
    assert_eq!(outcome, SettleOutcome::Applied { job: Fate::Deleted });
    assert_eq!((bench.find("one-shot").await, bench.runs(job.uid).await), (None, Vec::new()));
}

/// A removed job stays so, whatever a later move says: its id may belong to another job by now.
pub async fn a_removed_job_does_not_come_back(bench: &Bench) {
    let former = bench.due_job("one-shot").await;
    bench.a().start("one-shot").await;
    bench.store().remove(bench.at(), &["one-shot".into()]).await.unwrap();
    let latter = bench.due_job("one-shot").await;
    bench.advance(LEASE).await;
    let claimed = bench.b().adopt().await;
    let over = claimed.jobs.iter().find(|it| it.job.uid == former.uid).expect("its run is an orphan");
    assert_eq!(bench.b().settle_one(&moved(over)).await, APPLIED);
    assert_eq!(bench.stored("one-shot").await.uid, latter.uid);
    assert_eq!(bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap().len(), 1);
}

/// A job that is kept stays without a next fire time, with its history.
pub async fn a_kept_job_stays(bench: &Bench) {
    let job = bench.due_job("one-shot").await;
    let keep = |to: &mut Move| (to.state, to.next_fire_time) = (JobState::Kept, None);
    let started = bench.a().start_and("one-shot", keep).await;
    bench.a().end(&started, Verdict::Ok).await;
    let stored = bench.stored("one-shot").await;
    assert_eq!((stored.state, stored.next_fire_time, stored.totals.of(Verdict::Ok)), (JobState::Kept, None, 1));
    assert_eq!(bench.runs(job.uid).await.len(), 1);
}

/// Every time comes back to the microsecond, so that no instant is taken for another and fires twice.
pub async fn times_are_kept_to_the_microsecond(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let next = bench.now().await.trunc_subsecs(3) + TimeDelta::days(1) + TimeDelta::microseconds(1);
    let mut queued = nth_run(&claimed, 1, RunState::Waiting(Wait::Queued));
    queued.fire_time = next + TimeDelta::microseconds(1);
    queued.first = Some(next + TimeDelta::microseconds(2));
    queued.due = next + TimeDelta::microseconds(998);
    let to = moved(&claimed)
        .with_next_fire_time(Some(next))
        .with_due(Some(next + TimeDelta::microseconds(999)))
        .with_runs(vec![RunChange::Insert(queued.clone())]);

    bench.a().settle_one(&to).await;

    let stored = bench.stored("report").await;
    assert_eq!((stored.next_fire_time, stored.due), (to.next_fire_time, to.due));
    let run = &bench.runs(job.uid).await[0];
    assert_eq!((run.fire_time, run.first, run.due), (queued.fire_time, queued.first, queued.due));
    assert_eq!(bench.a().claim().await.next_due, to.due);
}

/// A record, a settle and a claim in one turn are what they are one after the other.
pub async fn a_turn_is_the_three_verbs_in_order(bench: &Bench) {
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    let started = bench.a().start_and("one", |to| to.blocked = true).await;
    let claimed = bench.a().claim_one("two").await;
    bench.advance(LEASE / 20).await;
    let to = moved(&claimed);
    let at = bench.at();
    let owner = bench.a().id;
    let turn = Turn {
        record: Some(Record::new(at, owner.clone(), LEASE, vec![started.entry(ended(Verdict::Ok))])),
        settle: Some(Settle::new(at, owner, LEASE, vec![to])),
        claim: Some(bench.a().claim_call()),
    };

    let reply = bench.store().turn(&turn).await.unwrap();

    assert_eq!(reply.record.unwrap().outcomes, [RecordOutcome::Done]);
    assert_eq!(reply.settle.unwrap().outcomes, [APPLIED]);
    let ids: Vec<_> = reply.claim.unwrap().jobs.iter().map(|it| it.job.id.clone()).collect();
    assert_eq!(ids, ["one"], "its slot was freed by the record of the same turn");
    assert_eq!(bench.store().turn(&Turn::default()).await.unwrap(), TurnReply::default());
}

/// A turn repeated as a whole, as after a lost reply, records and settles once, and its claim takes nothing more.
pub async fn a_turn_repeated_is_applied_once(bench: &Bench) {
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    let started = bench.a().start("one").await;
    let claimed = bench.a().claim_one("two").await;
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));
    let (at, owner) = (bench.at(), bench.a().id);
    let record = Record::new(at, owner.clone(), LEASE, vec![started.entry(ended(Verdict::Ok))]);
    let settle = Settle::new(at, owner, LEASE, vec![to]);
    let turn = Turn { record: Some(record), settle: Some(settle), claim: Some(bench.a().claim_call()) };
    for _ in 0..3 {
        let reply = bench.store().turn(&turn).await.unwrap();
        assert_eq!(reply.record.unwrap().outcomes, [RecordOutcome::Done]);
        assert_eq!(reply.settle.unwrap().outcomes, [APPLIED]);
        assert_eq!(reply.claim.unwrap().jobs, []);
    }
    assert_eq!(bench.stored("one").await.totals.of(Verdict::Ok), 1);
    assert_eq!(bench.runs(claimed.job.uid).await.len(), 1);
}
