//! A service with a database, under tokio's paused clock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use apscheduler::{
    Builder, ErrorKind, EventMask, JobSpec, JobStore, Scheduler, ShutdownMode, TokioRuntime, Verdict,
    store::Clock,
    stores::{MemoryStore, PostgresOptions, PostgresStore, SqliteStore},
    trigger::Interval,
};
use chrono::{DateTime, Utc};
use test_support::{server, test_store::TestStore};

const HOUR: Duration = Duration::from_secs(3_600);

fn midnight() -> DateTime<Utc> {
    "2026-12-24T00:00:00Z".parse().unwrap()
}

async fn postgres(clock: Clock) -> PostgresStore {
    let options = PostgresOptions::new().table_prefix(&server::prefix()).unwrap().clock(clock);
    options.connect(&server::url("postgres")).await.unwrap()
}

/// Six hours of an hourly job, whose task takes a minute of the test's time.
async fn six_hours_are_over_at_once(store: impl JobStore) {
    six_hours_with(|builder| builder.store("default", store)).await;
}

async fn six_hours_with(with_store: impl FnOnce(Builder) -> Builder) {
    let scheduler = with_store(Scheduler::builder(TokioRuntime::paused_at(midnight())))
        .task("sync", || tokio::time::sleep(Duration::from_secs(60)))
        .build()
        .unwrap();
    let troubles = EventMask::STORE_FAILED | EventMask::RUN_LOST | EventMask::RUN_TAKEN_AWAY;
    let mut troubles = scheduler.events(troubles);
    // A store that is opened at the start is there then.
    scheduler.start_paused().await.unwrap();
    scheduler.add_job(JobSpec::new("sync", Interval::hours(1)).id("hourly")).await.unwrap();
    scheduler.resume().await.unwrap();

    tokio::time::sleep(6 * HOUR + Duration::from_secs(90)).await;

    scheduler.pause().await.unwrap();
    let job = scheduler.job("hourly").await.unwrap().unwrap();
    assert_eq!(job.totals.of(Verdict::Ok), 6);
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    assert!(troubles.next().await.is_none(), "its lease has held all the time");
}

#[tokio::test(start_paused = true)]
async fn jobs_in_memory_share_the_time_of_the_test() {
    six_hours_are_over_at_once(MemoryStore::new()).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_in_sqlite_share_the_time_of_the_test() {
    let test_store = TestStore::new("sqlite");
    six_hours_are_over_at_once(test_store.open().await).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_in_a_store_that_is_opened_at_the_start_share_it() {
    let test_store = TestStore::new("sqlite");
    let url = test_store.parts()[1].to_owned();
    six_hours_with(move |builder| {
        builder.open_store("default", move || {
            let url = url.clone();
            async move { SqliteStore::connect(&url).await }
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn jobs_in_postgres_share_it_if_their_store_goes_by_the_clock_of_its_caller() {
    six_hours_are_over_at_once(postgres(Clock::Caller).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_by_the_clock_of_its_server_is_refused_with_what_to_do() {
    let build = Scheduler::builder(TokioRuntime::current()).store("jobs", postgres(Clock::Server).await).build();
    let error = build.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "store `jobs` goes by the clock of its server, and the runtime's time is virtual (a simulation, or tokio's paused \
         clock): open the store with `Clock::Caller`, take a `MemoryStore`, or test on a runtime in real time"
    );
    let scheduler = Scheduler::builder(TokioRuntime::current()).build().unwrap();
    let error = scheduler.add_store("jobs", postgres(Clock::Server).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
