//! Jobs in transactions of an application's own, through its own pool: `<what it shows>::<store>`.
//!
//! ```text
//! begin · insert order 7 · add job "remind-7" · commit    →  the order is there, and the job runs
//! begin · insert order 8 · add job "remind-8" · rollback  →  neither
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod applications;
mod errors;
mod killed;
mod prepared;
mod scenarios;

use std::{future::Future, time::Duration};

use apscheduler::{
    EventKind, EventMask, EventStream, JobSpec, JobStore, RunContext, Scheduler, ShutdownMode, TokioRuntime,
    trigger::Interval,
};
use test_support::test_store::TestStore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A service with a scheduler, whose task tells for which job it was called, and with which order.
pub(crate) struct Service {
    pub(crate) scheduler: Scheduler,
    pub(crate) events: EventStream,
    pub(crate) reminded: UnboundedReceiver<(String, u32)>,
}

impl Service {
    /// A service whose scheduler has not been started.
    pub(crate) async fn new(test_store: &TestStore) -> Self {
        Self::on(test_store.open().await)
    }

    pub(crate) fn on(store: impl JobStore) -> Self {
        let (told, reminded) = unbounded_channel();
        let remind = move |context: RunContext, order: u32| {
            // A test that is over does not listen any more.
            drop(told.send((context.job_id.to_string(), order)));
            async {}
        };
        let scheduler = Scheduler::builder(TokioRuntime::current())
            .store("default", store)
            .store("scratch", apscheduler::stores::MemoryStore::new())
            .task("remind", remind)
            .build()
            .unwrap();
        let events = scheduler.events(EventMask::ALL);
        Self { scheduler, events, reminded }
    }

    pub(crate) async fn started(test_store: &TestStore) -> Self {
        let service = Self::new(test_store).await;
        service.scheduler.start().await.unwrap();
        service
    }

    /// The next job that the task was called for.
    pub(crate) async fn reminded(&mut self) -> (String, u32) {
        within(self.reminded.recv()).await.unwrap()
    }

    pub(crate) async fn has(&self, job: &str) -> bool {
        self.scheduler.job(job).await.unwrap().is_some()
    }

    /// Ends the scheduler, and gives the jobs that it has told to be added.
    pub(crate) async fn end(mut self) -> Vec<String> {
        self.scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
        let mut added = Vec::new();
        while let Some(event) = within(self.events.next()).await {
            if let EventKind::JobAdded(job) = event.unwrap().kind.clone() {
                added.push(job.id.to_string());
            }
        }
        added
    }
}

/// A job that reminds of an order at once.
pub(crate) fn reminder(order: u32) -> JobSpec {
    JobSpec::now("remind").id(format!("remind-{order}")).args(order)
}

/// A job that reminds of an order each hour, first in an hour.
pub(crate) fn hourly(order: u32) -> JobSpec {
    JobSpec::new("remind", Interval::hours(1)).id(format!("hourly-{order}")).args(order)
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens in time")
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    within(async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A test for each store that takes part in transactions.
macro_rules! on_stores {
    ($($module:ident::$scenario:ident => $name:ident;)*) => {$(
        mod $name {
            use test_support::test_store::TestStore;

            use crate::applications::{OnMongoDb, OnMySql, OnPostgres, OnSqlite};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                crate::$module::$scenario::<OnSqlite>(&TestStore::new("sqlite")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                crate::$module::$scenario::<OnPostgres>(&TestStore::new("postgres")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mysql() {
                crate::$module::$scenario::<OnMySql>(&TestStore::new("mysql")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mongodb() {
                crate::$module::$scenario::<OnMongoDb>(&TestStore::new("mongodb")).await;
            }
        }
    )*};
}

on_stores! {
    scenarios::commits_and_rolls_back => a_job_is_there_and_runs_exactly_if_the_application_commits;
    scenarios::adds_many => many_jobs_of_one_transaction_are_there_together;
    scenarios::removes => a_job_is_removed_exactly_if_the_application_commits;
    scenarios::runs_now => a_run_is_asked_for_exactly_if_the_application_commits;
    scenarios::replaces_and_keeps => the_conflict_policies_hold_within_the_transaction;
    scenarios::adds_from_many_transactions_at_once => transactions_that_add_jobs_at_once_do_not_disturb_each_other;
    scenarios::is_not_told_before => nodes_that_are_not_asked_hear_of_the_job_when_it_is_committed;
    errors::are_those_of_add_job => what_is_wrong_with_a_job_is_the_same_error_as_without_a_transaction;
    errors::of_the_transaction => a_transaction_that_does_not_fit_is_refused;
    killed::leaves_nothing => a_process_that_is_killed_before_its_commit_leaves_nothing;
}

/// As in the handlers of a web server, whose futures go from thread to thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_are_for_tasks_that_move_between_threads() {
    use apscheduler::stores::clients::sqlx::{Connection, SqliteConnection};

    let test_store = TestStore::new("sqlite");
    let service = Service::new(&test_store).await;
    let (scheduler, url) = (service.scheduler.clone(), test_store.parts()[1].to_owned());
    let handler = tokio::spawn(async move {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        scheduler.add_job_in(&mut tx, hourly(1)).await.unwrap();
        scheduler.run_job_now_in(&mut tx, "hourly-1").await.unwrap();
        scheduler.add_jobs_in(&mut *tx, vec![hourly(2), hourly(3)]).await;
        scheduler.remove_job_in(&mut tx, "hourly-2").await.unwrap();
        scheduler.prepare(reminder(4)).await.unwrap();
        tx.commit().await.unwrap();
    });
    handler.await.unwrap();
    assert!(service.has("hourly-1").await && !service.has("hourly-2").await && service.has("hourly-3").await);
}

/// What a process does that is killed; nothing in a run of the tests.
#[test]
#[ignore = "it is what another test runs in a process of its own"]
fn child() {
    killed::child();
}
