//! Nodes that work at the same time.

use std::thread;

use scheduler_core::{
    JobId, RunState,
    store::{Clock, Entry, Move, RunChange, RunReport, SettleOutcome},
};
use scheduler_testkit::store::{Bench, block_on, moved, nth_run};

use crate::sql_servers::database::Database;

/// Nodes do everything at once with the same few jobs: no call fails, whichever locks they meet.
#[test]
fn nodes_that_meet_all_the_time_get_along() {
    const IDS: u64 = 12;
    let database = Database::new(Clock::Server);
    let bench = block_on(async { Bench::new(database.clone().setup().await) });
    thread::scope(|scope| {
        for n in 0..6 {
            let bench = &bench;
            scope.spawn(move || {
                let node = if n % 2 == 0 { bench.a() } else { bench.b() }.renamed(&format!("node-{n}"));
                block_on(async {
                    for round in 0..30 {
                        let at = bench.now().await;
                        let some = |k: u64| format!("job-{}", (n * 7 + round * 5 + k * k) % IDS);
                        let jobs: Vec<_> = (0..5).map(|k| bench.job(&some(k), at)).collect();
                        node.store.insert(at, &jobs).await.unwrap();
                        let claimed = node.send(&node.claim_call().with_limit(4)).await;
                        let moves = claimed.jobs.iter().map(|it| {
                            let mut to = moved(it).with_due(Some(at));
                            let run = nth_run(it, 1, RunState::Running);
                            to.runs.push(RunChange::Insert(run));
                            to
                        });
                        let moves: Vec<Move> = moves.collect();
                        let outcomes = node.settle(&moves).await.outcomes;
                        let started =
                            moves.iter().zip(outcomes).filter(|(_, it)| matches!(it, SettleOutcome::Applied { .. }));
                        let entries: Vec<Entry> = started
                            .map(|(to, _)| {
                                let RunChange::Insert(run) = &to.runs[0] else { unreachable!("it inserts") };
                                Entry::new(run.id, to.fence, RunReport::Release)
                            })
                            .collect();
                        node.record(&entries).await;
                        let ids = [some(1), some(3), some(2)].map(JobId::from);
                        node.store.remove(at, &ids).await.unwrap();
                        if round % 10 == 9 {
                            node.release().await;
                            node.store.remove_all(at).await.unwrap();
                        }
                    }
                });
            });
        }
    });
}

#[test]
fn an_idle_claim_writes_nothing() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        bench.add(&bench.job("report", bench.now().await + chrono::TimeDelta::hours(1))).await;
        let written = "SELECT (SELECT COUNT(*) FROM {p}nodes) + (SELECT SUM(fence) FROM {p}jobs)";
        let before = database.number("SELECT value FROM {p}meta WHERE `key` = 'changes'").await;
        for _ in 0..3 {
            bench.a().adopt().await;
            bench.b().adopt().await;
        }
        assert_eq!(database.number(&format!("SELECT CAST(({written}) AS SIGNED)")).await, 0);
        assert_eq!(database.number("SELECT value FROM {p}meta WHERE `key` = 'changes'").await, before);
    });
}
