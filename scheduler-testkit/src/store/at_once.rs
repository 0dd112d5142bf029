//! Promises about calls that come at the same time, from several nodes.

use std::{
    sync::{Barrier, Mutex},
    thread,
};

use scheduler_core::{
    JobRow, JobState, RunId, RunState, Verdict,
    store::{Entry, Inserted, RecordOutcome, Removed, RunChange, SettleOutcome, Updated},
};

use super::{
    Bench, LEASE, Node, block_on, moved,
    node::{ended, update_of},
    nth_run,
};

/// How many nodes call at once.
const NODES: usize = 6;

/// An id that many nodes add at once belongs to one of their jobs; the others are shown that one.
pub async fn an_id_added_by_many_belongs_to_one(bench: &Bench) {
    for round in 0..5 {
        let id = format!("job-{round}");
        let at = bench.now().await;
        let outcomes = at_once(bench, |node| {
            let job = bench.job(&id, at);
            let reply = block_on(node.store.insert(at, std::slice::from_ref(&job))).unwrap();
            (job.uid, reply.value.into_iter().next().unwrap())
        });

        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Inserted::Added).collect();
        let [(winner, _)] = winners[..] else { panic!("{outcomes:?}") };
        assert_eq!(bench.stored(&id).await.uid, *winner);
    }
}

/// Of updates that many nodes make at once from the same row, one is applied, and the others learn how the job is then.
pub async fn of_many_updates_one_is_applied(bench: &Bench) {
    let mut job = bench.due_job("report").await;
    for round in 1..=5 {
        let outcomes = at_once(bench, |node| {
            let mut body = job.body.clone();
            body.name = Some(format!("{} in round {round}", node.id));
            let update = update_of(&job).with_body(Some(body.clone()));
            (body.name, block_on(node.store.update(bench.at(), &update)).unwrap().value)
        });

        let is_written = |outcome: &&(Option<String>, Updated)| matches!(outcome.1, Updated::Updated(_));
        let writers: Vec<_> = outcomes.iter().filter(is_written).collect();
        let [(name, Updated::Updated(row))] = &writers[..] else { panic!("{outcomes:?}") };
        assert_eq!((&row.body.name, row.revision), (name, round));
        let stored = bench.stored("report").await;
        assert_eq!((&stored.body.name, stored.revision), (name, round));
        job = stored;
    }
}

/// The ends of many runs of one job, reported at once, are all written and counted.
pub async fn ends_are_all_counted(bench: &Bench) {
    const RUNS: u64 = 12;
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let mut to = moved(&claimed).with_state(JobState::Kept);
    to.runs = (1..=RUNS).map(|n| RunChange::Insert(nth_run(&claimed, n, RunState::Running))).collect();
    bench.a().settle_one(&to).await;

    let seqs = Mutex::new((1..=RUNS).collect::<Vec<_>>());
    at_once(bench, |node| {
        let node = node.renamed("node-a");
        while let Some(seq) = { seqs.lock().unwrap().pop() } {
            let run = RunId { uid: job.uid, seq };
            let entry = Entry::new(run, claimed.job.fence, ended(Verdict::Ok));
            let reply = block_on(node.record(&[entry]));
            assert_eq!(reply.outcomes, [RecordOutcome::Done], "run {seq}");
        }
    });

    assert_eq!(bench.stored("report").await.totals.of(Verdict::Ok), RUNS);
    let runs = bench.runs(job.uid).await;
    assert_eq!(runs.iter().filter(|run| run.verdict() == Some(Verdict::Ok)).count() as u64, RUNS);
}

/// A run that its node ends while another takes it over is either ended or taken over, and both are told the same.
pub async fn an_end_and_a_takeover_exclude_each_other(bench: &Bench) {
    for round in 0..3 {
        let id = format!("job-{round}");
        bench.due_job(&id).await;
        let started = bench.a().start_and(&id, |to| to.state = JobState::Kept).await;
        bench.advance(LEASE).await;

        let (outcome, taken) = both(|| block_on(bench.a().end(&started, Verdict::Ok)), || block_on(bench.b().adopt()));

        let orphans: usize = taken.jobs.iter().filter(|it| it.job.id == id.as_str()).map(|it| it.waiting_count).sum();
        let run = &bench.runs(started.uid()).await[0];
        match outcome {
            RecordOutcome::Done => assert_eq!((orphans, run.verdict()), (0, Some(Verdict::Ok))),
            RecordOutcome::Stale => assert_eq!((orphans, run.is_open(), run.takeovers), (1, true, 1)),
            RecordOutcome::Ended | RecordOutcome::Gone => panic!("the run is there: {run:?}"),
        }
        bench.store().remove(bench.at(), &[id.as_str().into()]).await.unwrap();
        bench.b().release().await;
    }
}

/// A job that is removed while its claimer settles it is either removed with a running run, or the move writes nothing.
pub async fn a_removal_and_a_move_exclude_each_other(bench: &Bench) {
    for round in 0..5 {
        let id = format!("job-{round}");
        let job: JobRow = bench.due_job(&id).await;
        let claimed = bench.a().claim_one(&id).await;
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Running)));

        let ids = [job.id.clone()];
        let remove = || block_on(bench.b().store.remove(bench.at(), &ids)).unwrap().value.remove(0);
        let (outcome, removed) = both(|| block_on(bench.a().settle_one(&to)), remove);

        let running = matches!(outcome, SettleOutcome::Applied { .. }) as usize;
        assert_eq!(removed, Removed::Removed { uid: Some(job.uid), running, cancelled: vec![] }, "{outcome:?}");
        assert_eq!(bench.find(&id).await, None);
        bench.a().release().await;
    }
}

/// What so many nodes, half of them on each handle, get that do the same thing at once.
fn at_once<T: Send>(bench: &Bench, call: impl Fn(Node<'_>) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(NODES);
    let (start, call) = (&start, &call);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..NODES)
            .map(|n| {
                scope.spawn(move || {
                    let node = if n % 2 == 0 { bench.a() } else { bench.b() };
                    start.wait();
                    call(node.renamed(&format!("node-{n}")))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a call does not panic")).collect()
    })
}

/// What two calls give that are made at once.
fn both<T, U: Send>(one: impl FnOnce() -> T, other: impl FnOnce() -> U + Send) -> (T, U) {
    let start = Barrier::new(2);
    let ready = &start;
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            ready.wait();
            other()
        });
        ready.wait();
        (one(), other.join().expect("a call does not panic"))
    })
}
