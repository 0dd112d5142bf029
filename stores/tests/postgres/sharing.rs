//! Nodes that meet, and what they let each other know.

use std::{sync::Arc, thread};

use scheduler_core::{
    Verdict,
    store::{Clock, Hint, Inserted, RecordOutcome, RunChange, StoreCall},
};
use scheduler_stores::Transaction;
use scheduler_testkit::store::{Bench, block_on, moved};
use sqlx::Connection as _;

use crate::{
    dialect::WAITING,
    sql_servers::database::{Database, connection, run},
};

/// PostgreSQL ends one of two transactions that wait for each other, after a second. Here that is the store's, which
/// waited first.
#[test]
fn a_call_that_a_deadlock_ends_is_repeated_by_itself() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        let (first, second) = (bench.due_job("first").await, bench.due_job("second").await);
        assert!(first.uid < second.uid, "jobs are locked in the order of their uids");
        let mut other = connection().await;
        let lock = |id| format!("SELECT 1 FROM {}jobs WHERE id = '{id}' FOR UPDATE", database.prefix());
        run(&mut other, "BEGIN; SET LOCAL deadlock_timeout = '20s'").await;
        run(&mut other, &lock("second")).await;

        let removed = thread::scope(|scope| {
            let ids = [first.id, second.id];
            let store = bench.a().store;
            let at = bench.at();
            let call = scope.spawn(move || block_on(store.remove(at, &ids)));
            block_on(async {
                while database.number(WAITING).await == 0 {}
                run(&mut other, &lock("first")).await;
                run(&mut other, "COMMIT").await;
            });
            call.join().unwrap()
        });

        assert!(removed.unwrap().value.iter().all(|removed| removed.running() == Some(0)));
    });
}

#[test]
fn a_change_tells_what_it_is() {
    block_on(async {
        let database = Database::new(Clock::Caller);
        let bench = Bench::new(database.clone().setup().await);
        let [a, b] = [bench.a().store, bench.b().store];
        let mut seen = b.changed(0).await.unwrap().seen;
        let mut next = async || {
            let change = b.changed(seen).await.unwrap();
            seen = change.seen;
            change.hint
        };

        let job = bench.job("report", bench.at());
        assert_eq!(a.insert(bench.at(), std::slice::from_ref(&job)).await.unwrap().value, [Inserted::Added]);
        assert_eq!(next().await, Some(Hint::Due(job.due.unwrap())));

        let started = bench.a().start_and("report", |to| to.due = Some(bench.at())).await;
        let mut to = moved(&bench.b().claim_one("report").await);
        to.runs.push(RunChange::Cancel { seq: started.run.seq });
        bench.b().settle_one(&to).await;
        assert_eq!(next().await, Some(Hint::Cancel(bench.a().id)));

        assert_eq!(bench.a().end(&started, Verdict::Cancelled).await, RecordOutcome::Done);
        a.remove(bench.at(), &[job.id]).await.unwrap();
        assert_eq!(next().await, Some(Hint::Resync));
    });
}

#[test]
fn a_change_in_a_transaction_of_an_application_is_told_by_its_commit() {
    block_on(async {
        let database = Database::new(Clock::Caller);
        let bench = Bench::new(database.clone().setup().await);
        let [a, b] = [bench.a().store, bench.b().store];
        let seen = b.changed(0).await.unwrap().seen;
        let job = bench.job("report", bench.at());
        let mut connection = connection().await;
        let mut transaction = connection.begin().await.unwrap();

        let call = StoreCall::Insert(bench.at(), Arc::new(vec![job.clone()]));
        a.perform_in(transaction.connection(), call).await.unwrap();
        let mut changed = b.changed(seen);
        assert!(futures_lite::future::poll_once(&mut changed).await.is_none(), "it is told before the commit");
        transaction.commit().await.unwrap();

        assert_eq!(changed.await.unwrap().hint, Some(Hint::Due(job.due.unwrap())));
    });
}

#[test]
fn an_idle_claim_writes_nothing() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        bench.add(&bench.job("report", bench.now().await + chrono::TimeDelta::hours(1))).await;
        let written = "SELECT count(*) FROM {p}nodes";
        let version = "SELECT max(xmin::text::bigint + xmax::text::bigint) FROM {p}jobs";
        let before = database.number(version).await;
        for _ in 0..3 {
            bench.a().adopt().await;
            bench.b().adopt().await;
        }
        assert_eq!((database.number(written).await, database.number(version).await), (0, before));
    });
}
