//! Nodes that work at the same time, and transactions that others leave open.

use std::{collections::BTreeSet, sync::Mutex, thread, time::Duration};

use scheduler_core::{
    JobId, JobState, JobStore, RunState, Uid, Verdict,
    store::{Clock, RunChange, SettleOutcome, StoreErrorKind},
};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on, moved, nth_run};
use sqlx::Connection as _;

use super::database::{Database, connection, run};
use crate::dialect::{Connection, WAITING, WAITING_FOR_A_NODE, is_live};

#[test]
fn a_transaction_that_someone_leaves_open_holds_up_its_own_row_only() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        for id in ["free", "locked"] {
            bench.due_job(id).await;
        }
        let mut other = lock(&database).await;

        let claimed = bench.a().claim().await;

        let ids: Vec<&JobId> = claimed.jobs.iter().map(|it| &it.job.id).collect();
        assert_eq!(ids, ["free"]);
        assert!(claimed.next_due.is_some_and(|due| due <= claimed.now), "it must not sleep past what it skipped");
        let error = bench.store().remove(bench.at(), &["locked".into()]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("another transaction keeps a row locked"), "{error}");

        run(&mut other, "ROLLBACK").await;
        other.close().await.unwrap();
        bench.b().claim_one("locked").await;
    });
}

/// A process that is stopped in the middle of a call, or whose machine is gone: the server undoes what the call has begun
/// before those that wait for its rows give up.
#[test]
fn a_call_that_stops_in_the_middle_holds_nobody_up_for_long() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        bench.due_job("locked").await;
        let mut lock = lock(&database).await;
        let ids = ["locked".into()];
        let (stopped, other) = (bench.a().store, bench.b().store);

        let mut call = Box::pin(stopped.remove(bench.at(), &ids));
        while database.number(WAITING).await == 0 {
            assert!(futures_lite::future::poll_once(&mut call).await.is_none(), "it waits for the row");
        }
        // Now the call gets the row, and stops.
        run(&mut lock, "ROLLBACK").await;
        let removed = other.remove(bench.at(), &ids).await.unwrap();

        assert_eq!(removed.value[0].running(), Some(0));
        assert_eq!(call.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    });
}

/// Calls of one node about different jobs go on side by side: the row of the node is locked last.
#[test]
fn a_record_that_waits_for_its_job_holds_up_no_other_record_of_its_node() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        let node = bench.a();
        bench.due_job("free").await;
        let free = node.start("free").await;
        bench.due_job("locked").await;
        let locked = node.start("locked").await;
        let mut other = lock(&database).await;

        let mut waiting = Box::pin(node.end(&locked, Verdict::Ok));
        while database.number(WAITING).await == 0 {
            assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "it waits for the row");
        }

        assert!(node.end(&free, Verdict::Ok).await.is_written());
        run(&mut other, "ROLLBACK").await;
        other.close().await.unwrap();
        assert!(waiting.await.is_written());
    });
}

/// What is only shown waits for no lock and takes none.
#[test]
fn nodes_are_shown_while_someone_keeps_their_rows_locked() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        for id in ["free", "locked"] {
            bench.due_job(id).await;
            bench.a().start(id).await;
        }
        let other = lock(&database).await;

        let nodes = bench.store().nodes().await.unwrap();

        let running: BTreeSet<&str> = nodes[0].running.iter().map(|found| found.job.as_str()).collect();
        assert_eq!(running, BTreeSet::from(["free", "locked"]));
        other.close().await.unwrap();
    });
}

#[test]
fn a_takeover_waits_for_nobody() {
    block_on(async {
        let database = Database::new(Clock::Caller);
        let bench = Bench::new(database.clone().setup().await);
        for id in ["free", "locked"] {
            bench.due_job(id).await;
            bench.a().start(id).await;
        }
        bench.advance(Duration::from_secs(1)).await;
        let mut other = lock(&database).await;

        let claimed = bench.b().adopt().await;

        assert_eq!(claimed.jobs.iter().map(|it| &it.job.id).collect::<Vec<_>>(), ["free"]);
        assert!(claimed.more, "a run is left");
        run(&mut other, "ROLLBACK").await;
        other.close().await.unwrap();
        let claimed = bench.b().adopt().await;
        assert!(claimed.jobs.iter().any(|it| it.job.id == "locked" && it.waiting_count == 1));
        assert!(!claimed.more);
    });
}

#[test]
fn runs_without_a_job_hold_up_no_takeover() {
    block_on(async {
        let database = Database::new(Clock::Caller);
        let bench = Bench::new(database.clone().setup().await);
        bench.due_job("deleted").await;
        bench.a().start("deleted").await;
        database.run("DELETE FROM {p}jobs WHERE id = 'deleted'").await;
        bench.advance(Duration::from_secs(1)).await;
        let claimed = bench.b().adopt().await;
        assert_eq!((claimed.jobs.len(), claimed.more, claimed.next_due), (0, false, None));
    });
}

/// Two first claims of a node, which has no row that one of them could lock: the earlier one comes second.
#[test]
fn a_first_claim_that_a_later_one_has_overtaken_takes_nothing() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        bench.due_job("report").await;
        let node = bench.a();
        let mut later = connection().await;
        run(&mut later, "BEGIN").await;
        let into = format!("INSERT INTO {}nodes (id, lease_until, last_claim_seq)", database.prefix());
        run(&mut later, &format!("{into} VALUES ('{}', 1, 1000000)", node.id)).await;

        let claim = node.claim_call();
        let mut call = Box::pin(node.send(&claim));
        while database.number(WAITING_FOR_A_NODE).await == 0 {
            assert!(futures_lite::future::poll_once(&mut call).await.is_none(), "it waits for the row");
        }
        run(&mut later, "COMMIT").await;

        assert_eq!(call.await.jobs, []);
        bench.b().claim_one("report").await;
    });
}

/// Four nodes drain one store at once: each job runs exactly once, and no call fails.
#[test]
fn nodes_that_claim_at_once_take_each_job_once() {
    const JOBS: usize = 400;
    let database = Database::new(Clock::Server);
    let bench = block_on(async { Bench::new(database.clone().setup().await) });
    block_on(async {
        for n in 0..JOBS {
            bench.due_job(&format!("job-{n}")).await;
        }
    });
    let done: Mutex<Vec<Uid>> = Mutex::default();
    thread::scope(|scope| {
        for n in 0..4 {
            let (bench, done) = (&bench, &done);
            scope.spawn(move || {
                block_on(async {
                    let node = if n % 2 == 0 { bench.a() } else { bench.b() }.renamed(&format!("node-{n}"));
                    while done.lock().unwrap().len() < JOBS {
                        let claimed = node.send(&node.claim_call().with_limit(16)).await;
                        for it in &claimed.jobs {
                            let mut to = moved(it).with_state(JobState::Kept);
                            to.runs.push(RunChange::Insert(nth_run(it, 1, RunState::Ended(Verdict::Ok))));
                            let outcome = node.settle_one(&to).await;
                            assert!(matches!(outcome, SettleOutcome::Applied { .. }), "{outcome:?}");
                            done.lock().unwrap().push(it.job.uid);
                        }
                    }
                });
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert_eq!((done.len(), done.iter().collect::<BTreeSet<_>>().len()), (JOBS, JOBS));
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let store = database.open().await;
        let bench = Bench::new(StoreUnderTest::new(store.clone(), database.open().await));
        for n in 0..30 {
            let job = bench.job(&format!("job-{n}"), bench.now().await);
            let call = async {
                store.insert(bench.at(), std::slice::from_ref(&job)).await.unwrap();
            };
            let mut call = Box::pin(call);
            for _ in 0..n {
                if futures_lite::future::poll_once(&mut call).await.is_some() {
                    break;
                }
                thread::yield_now();
            }
            drop(call);
        }
        bench.due_job("after all").await;
        assert!(bench.b().claim().await.jobs.iter().any(|it| it.job.id == "after all"));
    });
}

/// Leaves a transaction open that has changed the job `locked`.
async fn lock(database: &Database) -> Connection {
    let mut other = connection().await;
    run(&mut other, "BEGIN").await;
    let change = format!("UPDATE {}jobs SET reason = 'mine' WHERE {}", database.prefix(), is_live("'locked'"));
    run(&mut other, &change).await;
    other
}
