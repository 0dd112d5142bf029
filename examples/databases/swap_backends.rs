//! One test of a service, run on memory, SQLite and PostgreSQL: where jobs are kept is a value.
//!
//!     cargo run -p examples-databases --bin swap_backends
//!     DATABASE_URL=postgres://user:password@host/database cargo run -p examples-databases --bin swap_backends
//!     cargo test -p examples-databases --bin swap_backends
//!
//! The service reminds people of things. Its test knows nothing of stores: it is given one, as the service is, and so holds
//! for each of them. You see which stores passed it; without a `DATABASE_URL` it goes without PostgreSQL, and says so. On
//! PostgreSQL the jobs are in tables that begin with `swap_backends_`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{env, error::Error, time::Duration};

use apscheduler::{
    JobStore,
    prelude::*,
    stores::{PostgresOptions, SqliteOptions, Synchronous},
};
use chrono::{DateTime, Utc};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The service: it keeps reminders in whichever store it is given.
struct Reminders {
    scheduler: Scheduler,
}

impl Reminders {
    async fn open(store: impl JobStore, deliver: impl Fn(String) + Clone + Send + Sync + 'static) -> Result<Self> {
        let scheduler = Scheduler::builder(TokioRuntime::current())
            .store("default", store)
            .task("remind", move |text: String| {
                let deliver = deliver.clone();
                async move { deliver(text) }
            })
            .build()?;
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    /// Reminds somebody of something, once.
    async fn remind(&self, id: &str, at: DateTime<Utc>, text: &str) -> Result<()> {
        self.scheduler.add_job(JobSpec::new("remind", Date::at(at)).id(id).args(text)).await?;
        Ok(())
    }

    /// Forgets a reminder. False if there is none.
    async fn forget(&self, id: &str) -> Result<bool> {
        match self.scheduler.remove_job(id).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The ids of the reminders to come, by their time.
    async fn pending(&self) -> Result<Vec<String>> {
        Ok(self.scheduler.jobs().await?.iter().map(|job| job.id.to_string()).collect())
    }

    async fn close(self) -> Result<()> {
        Ok(self.scheduler.shutdown(ShutdownMode::Wait).await?)
    }
}

/// The test: what the service promises, whatever the store.
async fn reminders_are_delivered_once_survive_a_restart_and_can_be_forgotten(
    store: impl JobStore + Clone,
) -> Result<()> {
    let (sender, mut delivered) = tokio::sync::mpsc::unbounded_channel();
    let deliver = move |text| sender.send(text).expect("the test listens");
    let tomorrow = Utc::now() + Duration::from_secs(24 * 3600);

    let service = Reminders::open(store.clone(), deliver.clone()).await?;
    service.remind("tea", Utc::now(), "the tea is ready").await?;
    assert_eq!(delivered.recv().await.as_deref(), Some("the tea is ready"));
    service.remind("bins", tomorrow, "put out the bins").await?;
    service.remind("plants", tomorrow + Duration::from_secs(1), "water the plants").await?;
    let refused = service.remind("bins", tomorrow, "once more").await.expect_err("the id is taken");
    assert!(refused.to_string().contains("`bins`"), "{refused}");
    service.close().await?;

    let service = Reminders::open(store, deliver).await?;
    assert_eq!(service.pending().await?, ["bins", "plants"], "they survive, and what was delivered is gone");
    assert!(service.forget("bins").await?);
    assert!(!service.forget("bins").await?);
    assert_eq!(service.pending().await?, ["plants"]);
    service.forget("plants").await?;
    service.close().await?;
    assert_eq!(delivered.recv().await, None, "nothing was delivered twice");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    on_memory().await?;
    println!("memory      the service does what it promises");
    on_sqlite().await?;
    println!("sqlite      the service does what it promises");
    match postgres_url() {
        Some(url) => {
            on_postgres(&url).await?;
            println!("postgres    the service does what it promises");
        }
        None => println!("postgres    left out, since DATABASE_URL is not set"),
    }
    Ok(())
}

async fn on_memory() -> Result<()> {
    reminders_are_delivered_once_survive_a_restart_and_can_be_forgotten(MemoryStore::new()).await
}

async fn on_sqlite() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("reminders.db").display());
    // A test does not care about power failures.
    let store = SqliteOptions::new().synchronous(Synchronous::Normal).connect(&url).await?;
    reminders_are_delivered_once_survive_a_restart_and_can_be_forgotten(store).await
}

async fn on_postgres(url: &str) -> Result<()> {
    let store = PostgresOptions::new().table_prefix("swap_backends_")?.connect(url).await?;
    // What a test that failed has left there.
    store.remove_all(Utc::now()).await?;
    reminders_are_delivered_once_survive_a_restart_and_can_be_forgotten(store).await
}

/// Where PostgreSQL is. The second variable is set by this repository's own test run, which starts a server.
fn postgres_url() -> Option<String> {
    ["DATABASE_URL", "SCHEDULER_TEST_POSTGRES"].into_iter().find_map(|variable| env::var(variable).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory() {
        on_memory().await.expect("the service does what it promises");
    }

    #[tokio::test]
    async fn sqlite() {
        on_sqlite().await.expect("the service does what it promises");
    }

    #[tokio::test]
    async fn postgres() {
        let url = postgres_url().expect("DATABASE_URL says where PostgreSQL is");
        on_postgres(&url).await.expect("the service does what it promises");
    }
}
