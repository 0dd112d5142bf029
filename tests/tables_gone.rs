//! Tables that are taken away under a running scheduler, as by a migration or a restore gone wrong, and come back: it uses
//! them again by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use apscheduler::{
    Delivery, Event, EventKind, EventMask, EventStream, JobSpec, Scheduler, ShutdownMode, StoreLink, TokioRuntime,
    Verdict,
    trigger::{First, Interval},
};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use test_support::test_store::{Contents, TestStore};
use tokio::sync::watch;

/// How long the test waits for something before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

const PERIOD: Duration = Duration::from_millis(50);

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                #[test]
                fn tables_that_come_back_are_used_again_and_nothing_is_lost() {
                    crate::tables_that_come_back_are_used_again_and_nothing_is_lost(stringify!($store));
                }
            }
        )*
    };
}

on_stores! { mysql postgres sqlite }

fn tables_that_come_back_are_used_again_and_nothing_is_lost(store: &str) {
    let test_store = TestStore::new(store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let release = watch::Sender::new(false);
        let node = node(&test_store, &release).await;
        let mut runs = node.events(EventMask::RUN_EXECUTED);
        let mut begun = node.events(EventMask::RUN_SUBMITTED);
        let mut troubles =
            node.events(EventMask::STORE_FAILED | EventMask::STORE_RECOVERED | EventMask::RUN_TAKEN_AWAY);
        let clock = JobSpec::new("tick", Interval::every(PERIOD).first(First::Now)).id("clock").history(1_000_000);
        node.add_job(clock).await.unwrap();
        // It runs before the tables go, and ends when they are back.
        let long = JobSpec::new("hold", Interval::hours(24).first(First::Now)).id("long");
        node.add_job(long.delivery(Delivery::AtLeastOnce)).await.unwrap();
        node.start().await.unwrap();
        while !is_long(&*next(&mut begun, "the long run begins").await) {}
        more_runs(&mut runs, 5).await;

        rename(&test_store, "", "gone_").await;
        let event = next(&mut troubles, "the store fails").await;
        assert!(matches!(&event.kind, EventKind::StoreFailed { retry_in: Some(_), .. }), "{event:?}");
        let link = node.health().await.stores[0].link.clone();
        assert!(matches!(link, StoreLink::Unusable { .. }), "it is known to be no outage: {link:?}");
        rename(&test_store, "gone_", "").await;

        loop {
            let event = next(&mut troubles, "the store recovers").await;
            match &event.kind {
                EventKind::StoreFailed { retry_in: Some(_), .. } => {}
                EventKind::StoreRecovered(_) => break,
                other => panic!("nothing is taken away: {other:?}"),
            }
        }
        // Those that were told before say nothing.
        while runs.try_next().is_some() {}
        more_runs(&mut runs, 5).await;
        release.send_replace(true);
        while !is_long(&*next(&mut runs, "the long run ends").await) {}
        within("a shutdown", node.shutdown(ShutdownMode::Wait)).await.unwrap();
        while let Some(event) = troubles.next().await {
            assert!(!matches!(event.unwrap().kind, EventKind::RunTakenAway(_)));
        }
    });
    let contents = Contents::read(&test_store);
    contents.assert_tiles("clock", PERIOD);
    let (job, runs) = contents.of("long");
    assert_eq!((job.totals.of(Verdict::Ok), runs.len(), runs[&1].takeovers, runs[&1].attempt), (1, 1, 0, 1));
}

async fn node(test_store: &TestStore, release: &watch::Sender<bool>) -> Scheduler {
    let released = release.subscribe();
    let hold = move || {
        let mut released = released.clone();
        async move { released.wait_for(|is_released| *is_released).await.map(drop).map_err(|error| error.to_string()) }
    };
    let builder = Scheduler::builder(TokioRuntime::current()).store("default", test_store.open().await);
    builder.task("tick", || async {}).task("hold", hold).build().unwrap()
}

/// Renames all tables of the test at once, from and to these prefixes before its own.
async fn rename(test_store: &TestStore, from: &str, to: &str) {
    let [store, url, prefix] = test_store.parts();
    let prefix = if store == "sqlite" { "scheduler_" } else { prefix };
    let names = ["jobs", "runs", "nodes", "meta", "tags"]
        .map(|table| (format!("{from}{prefix}{table}"), format!("{to}{prefix}{table}")));
    let sql = match store {
        "mysql" => format!("RENAME TABLE {}", names.map(|(from, to)| format!("{from} TO {to}")).join(", ")),
        _ => {
            format!("BEGIN; {} COMMIT", names.map(|(from, to)| format!("ALTER TABLE {from} RENAME TO {to};")).concat())
        }
    };
    let renaming = async {
        loop {
            let sql = sqlx::raw_sql(AssertSqlSafe(sql.as_str()));
            let renamed = match store {
                "mysql" => sql.execute(&mut MySqlConnection::connect(url).await.unwrap()).await.map(drop),
                "postgres" => sql.execute(&mut PgConnection::connect(url).await.unwrap()).await.map(drop),
                _ => sql.execute(&mut SqliteConnection::connect(url).await.unwrap()).await.map(drop),
            };
            if !renamed.as_ref().is_err_and(is_deadlock) {
                return renamed;
            }
        }
    };
    within("the tables are renamed", renaming).await.unwrap();
}

/// Whether the server has ended the renaming, since that and a transaction of the store waited for each other's tables.
fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40P01"))
}

fn is_long(event: &Event) -> bool {
    event.kind.run().is_some_and(|run| run.job.id == "long")
}

async fn more_runs(events: &mut EventStream, count: usize) {
    for _ in 0..count {
        next(events, "jobs run").await;
    }
}

async fn next(events: &mut EventStream, what: &str) -> Arc<Event> {
    within(what, events.next()).await.expect("the scheduler is there").expect("the reader keeps up")
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("it did not happen within {DEADLINE:?}: {what}"))
}
