//! Promises of [`JobStore::claim`](scheduler_core::JobStore::claim) about nodes that have died.

use chrono::TimeDelta;
use scheduler_core::{
    RunState, Verdict, Wait,
    store::{Adopt, Hold, Move, RecordOutcome, RunChange, RunReport, SettleOutcome},
};

use super::{Bench, LEASE, moved, node::ended, nth_run};

/// A running run whose node's lease has passed waits as an orphan for the claimer, at once.
pub async fn a_run_whose_node_died_is_taken_over(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.advance(LEASE).await;

    let claimed = bench.b().adopt().await;

    let [job] = &claimed.jobs[..] else { panic!("{claimed:?}") };
    assert_eq!((job.running_count, job.waiting_count), (0, 1));
    let orphan = &job.waiting[0];
    assert_eq!((orphan.id, orphan.state), (started.run, RunState::Waiting(Wait::Orphan)));
    assert_eq!((orphan.takeovers, orphan.attempt), (1, 1));
    assert!(orphan.due <= claimed.now);

    let mut to = moved(job);
    to.runs.push(RunChange::Start { seq: orphan.id.seq, attempt: 2 });
    bench.b().settle_one(&to).await;
    let run = &bench.runs(started.uid()).await[0];
    assert_eq!((run.state, run.attempt, run.takeovers), (RunState::Running, 2, 1));
    assert_eq!((run.owner.clone(), run.fence), (Some(bench.b().id), job.job.fence));
}

/// A run that is taken over comes before the runs of its job that were queued behind it: they are as late, and it has begun.
pub async fn a_run_that_is_taken_over_comes_before_those_queued_behind_it(bench: &Bench) {
    bench.due_job("report").await;
    let queue = |to: &mut Move| {
        let RunChange::Insert(first) = &to.runs[0] else { panic!("the run that starts") };
        let mut queued = first.clone();
        (queued.id.seq, queued.state) = (2, RunState::Waiting(Wait::Queued));
        queued.due += TimeDelta::microseconds(1);
        to.runs.push(RunChange::Insert(queued));
        to.blocked = true;
    };
    bench.a().start_and("report", queue).await;
    bench.advance(LEASE).await;

    let claimed = bench.b().adopt().await;

    let [job] = &claimed.jobs[..] else { panic!("{claimed:?}") };
    let waiting: Vec<_> = job.waiting.iter().map(|run| (run.id.seq, run.state)).collect();
    assert_eq!(waiting, [(1, RunState::Waiting(Wait::Orphan)), (2, RunState::Waiting(Wait::Queued))]);
}

/// A claim that does not adopt takes nothing from a node whose lease has passed.
pub async fn nothing_is_taken_over_without_adopting(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.advance(LEASE * 2).await;
    assert_eq!(bench.b().claim().await.jobs, []);
    assert_eq!(bench.a().life_sign().await.hold, Hold::Kept);
    assert_eq!(bench.b().adopt().await.jobs, []);
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
}

/// A claim that was long on its way takes nothing from a node whose lease has passed meanwhile: its node may have been
/// kept from the store as well.
pub async fn a_delayed_claim_takes_over_nothing_that_lapsed_on_its_way(bench: &Bench) {
    for id in ["running", "claimed"] {
        bench.due_job(id).await;
    }
    let started = bench.a().start("running").await;
    bench.a().claim_one("claimed").await;
    let sent = bench.now().await;
    bench.advance(LEASE * 2).await;

    let delayed = bench.b().claim_call().with_adopt(Adopt::LapsedBy(sent));
    assert_eq!(bench.b().send(&delayed).await.jobs, []);

    assert_eq!(bench.a().life_sign().await.hold, Hold::Kept);
    assert_eq!(bench.runs(started.uid()).await[0].state, RunState::Running);
    let sent_now = bench.b().claim_call().with_adopt(Adopt::LapsedBy(bench.now().await));
    let jobs = bench.b().send(&sent_now).await.jobs;
    assert_eq!(jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["claimed"]);
}

/// A call that was delayed on its way does not shorten a lease that a later one has renewed.
pub async fn a_delayed_life_sign_shortens_no_lease(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let delayed = bench.a().record_call(&[]);
    bench.advance(LEASE * 2 / 3).await;
    bench.a().life_sign().await;

    bench.store().record(&delayed).await.expect("a record is answered");

    bench.advance(LEASE * 2 / 3).await;
    assert_eq!(bench.b().adopt().await.jobs, []);
    assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
}

/// A life sign renews the lease of all that a node holds, and so do its claims and moves while it holds something.
pub async fn a_node_that_shows_life_keeps_its_runs(bench: &Bench) {
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    bench.a().start("one").await;
    for sign in [Sign::Life, Sign::Claim, Sign::Settle] {
        bench.advance(LEASE * 7 / 10).await;
        match sign {
            Sign::Life => assert_eq!(bench.a().life_sign().await.hold, Hold::Kept),
            Sign::Claim => drop(bench.a().claim().await),
            Sign::Settle => drop(bench.a().settle(&[]).await),
        }
        bench.advance(LEASE * 5 / 10).await;
        let other = bench.b().adopt().await;
        assert!(other.jobs.iter().all(|job| job.job.id != "one"), "after {sign:?}: {other:?}");
        assert_eq!(bench.runs(bench.stored("one").await.uid).await[0].state, RunState::Running, "after {sign:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Life,
    Claim,
    Settle,
}

/// One life sign renews the lease of whatever a node runs, of however many jobs.
pub async fn a_life_sign_covers_every_run_of_its_node(bench: &Bench) {
    const JOBS: usize = 40;
    let now = bench.now().await;
    let jobs: Vec<_> = (0..JOBS).map(|n| bench.job(&format!("job-{n}"), now)).collect();
    bench.store().insert(bench.at(), &jobs).await.unwrap();
    let claimed = bench.a().claim().await;
    let start = |it| {
        let mut to = moved(it);
        to.runs.push(RunChange::Insert(nth_run(it, 1, RunState::Running)));
        to
    };
    bench.a().settle(&claimed.jobs.iter().map(start).collect::<Vec<_>>()).await;
    for _ in 0..3 {
        bench.advance(LEASE / 2).await;
        assert_eq!(bench.a().life_sign().await.hold, Hold::Kept);
        assert_eq!(bench.b().adopt().await.jobs, []);
    }
    bench.advance(LEASE).await;
    assert_eq!(bench.b().adopt().await.jobs.len(), JOBS);
}

/// A claim tells when the lease of another node ends that covers runs, so that another node looks in time.
pub async fn the_next_due_covers_the_leases_of_others(bench: &Bench) {
    bench.due_job("report").await;
    bench.a().start("report").await;
    let claimed = bench.b().adopt().await;
    let lease_end = claimed.next_due.expect("the end of the other node's lease");
    assert!(lease_end > claimed.now && lease_end <= bench.now().await + LEASE);
    assert_eq!(bench.a().claim().await.next_due, None, "a node does not wait for its own lease");
}

/// At most as many runs as the limit are taken over at once, and the reply says that there are more.
pub async fn taking_over_is_limited(bench: &Bench) {
    for n in 0..5 {
        bench.due_job(&format!("job-{n}")).await;
    }
    for n in 0..5 {
        bench.a().start(&format!("job-{n}")).await;
    }
    bench.advance(LEASE).await;
    let mut orphans = 0;
    for more in [true, true, false] {
        let claimed = bench.b().send(&bench.b().adopt_call().with_limit(2)).await;
        assert_eq!(claimed.more, more, "{claimed:?}");
        orphans += claimed.jobs.iter().map(|job| job.waiting_count).sum::<usize>();
        let moves: Vec<_> = claimed.jobs.iter().map(moved).collect();
        bench.b().settle(&moves).await;
    }
    assert_eq!(orphans, 5);
}

/// A node that was taken over learns it from its next life sign, and its late reports are stale.
pub async fn a_node_that_was_taken_over_learns_it(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    bench.advance(LEASE).await;
    bench.b().adopt().await;

    assert_eq!(bench.a().life_sign().await.hold, Hold::Lost);
    let retry = RunReport::Retry { due: bench.at(), error: None };
    for report in [ended(Verdict::Ok), retry, RunReport::Release] {
        let reply = bench.a().record(&[started.entry(report)]).await;
        assert_eq!((&reply.outcomes[..], reply.hold), (&[RecordOutcome::Stale][..], Hold::Lost));
    }
    assert_eq!(bench.runs(started.uid()).await[0].state, RunState::Waiting(Wait::Orphan));
}

/// Taking over only some of a node's runs tells the node too.
pub async fn a_node_that_was_partly_taken_over_learns_it(bench: &Bench) {
    for id in ["one", "two"] {
        bench.due_job(id).await;
    }
    bench.a().start("one").await;
    bench.a().start("two").await;
    bench.advance(LEASE).await;
    bench.b().send(&bench.b().adopt_call().with_limit(1)).await;
    assert_eq!(bench.a().life_sign().await.hold, Hold::Lost);
}

/// A run that its new node has started is out of reach of the old one.
pub async fn a_run_taken_over_belongs_to_its_new_node(bench: &Bench) {
    bench.due_job("report").await;
    let old = bench.a().start("report").await;
    bench.advance(LEASE).await;
    let claimed = bench.b().adopt().await.jobs.remove(0);
    let mut to = moved(&claimed);
    to.runs.push(RunChange::Start { seq: old.run.seq, attempt: 2 });
    assert!(matches!(bench.b().settle_one(&to).await, SettleOutcome::Applied { .. }));

    assert_eq!(bench.a().end(&old, Verdict::Error).await, RecordOutcome::Stale);
    let new = super::Started { fence: claimed.job.fence, ..old };
    assert_eq!(bench.b().end(&new, Verdict::Ok).await, RecordOutcome::Done);
    assert_eq!(bench.runs(new.uid()).await[0].state, RunState::Ended(Verdict::Ok));
}

/// A run that kills one node after the other is known as such: each takeover is counted, and its attempts go on.
pub async fn each_takeover_is_counted(bench: &Bench) {
    bench.due_job("report").await;
    let started = bench.node("node-0").start("report").await;
    for takeovers in 1..=3 {
        bench.advance(LEASE).await;
        let node = bench.node(&format!("node-{takeovers}"));
        let claimed = node.adopt().await.jobs.remove(0);
        let orphan = &claimed.waiting[0];
        assert_eq!((orphan.id, orphan.takeovers, orphan.attempt), (started.run, takeovers, takeovers));
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Start { seq: orphan.id.seq, attempt: takeovers + 1 });
        node.settle_one(&to).await;
    }
}

/// A run that is taken over while another node holds its job is not forgotten by that node's move.
pub async fn an_orphan_is_not_forgotten_by_a_claim_in_flight(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    bench.a().start_and("report", |to| to.due = now).await;
    bench.advance(LEASE * 3 / 4).await;
    let claimed = bench.b().claim_one("report").await;
    bench.advance(LEASE / 2).await;
    bench.node("node-c").adopt().await;
    bench.b().settle_one(&moved(&claimed)).await;
    assert_eq!(bench.b().claim_one("report").await.waiting_count, 1);
}
