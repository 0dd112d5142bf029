//! A web service on PostgreSQL with a scheduler in it: reminders of users, added in the transaction that writes them, on a pool of the
//! service's own; jobs that an operator looks at and steers; probes; and an end that loses no run. Start it twice on one database.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@host/database cargo run -p axum_service
//! ```
//!
//! It prints its address, and then:
//!
//! ```sh
//! curl $URL/users/ann/reminders --json '{"text": "tea", "in_seconds": 60}'
//! curl $URL/users/ann/reminders
//! curl -X DELETE $URL/users/ann/reminders/1
//! curl $URL/users/ann/delivered
//!
//! curl $URL/jobs
//! curl $URL/jobs --json '{"id": "eggs", "task": "count_down", "args": 300, "trigger": "every 1h"}'
//! curl -X POST $URL/jobs/eggs/run
//! curl $URL/jobs/eggs/runs
//! curl -X POST $URL/jobs/eggs/runs/$RUN/cancel
//! curl -X POST $URL/jobs/eggs/pause
//! curl -X DELETE $URL/jobs/eggs
//! curl $URL/readyz
//! ```
//!
//! `/healthz` and `/readyz` are for the probes of the platform that runs the service. SIGTERM or Ctrl-C ends it in good order: requests
//! are answered first, running tasks end, and what has not ended within the time is given back to the other processes.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `DATABASE_URL` | the database of the service | must be given |
//! | `LISTEN` | where it listens; port 0 is any that is free | `127.0.0.1:0` |
//! | `GRACE` | how many seconds running tasks have at the end | 20 |
//! | `LEASE` | after how many seconds others take over what a dead process ran | 15 |
//! | `SENDING` | how many seconds it takes to deliver a reminder | 0 |
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod jobs;
mod refusal;
mod reminders;

use std::{env, io, time::Duration};

use apscheduler::{prelude::*, stores::PostgresOptions};
use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::IntoResponse,
    routing::get,
};
use sqlx::PgPool;
use tokio::net::TcpListener;

use self::refusal::Refusal;

/// What the handlers of requests share. The tasks have the pool as well.
#[derive(Debug, Clone, FromRef)]
struct App {
    scheduler: Scheduler,
    pool: PgPool,
}

/// A job that the service brings along. It is there whenever the service runs.
#[scheduled(every = "1h")]
async fn tidy() {
    println!("tidied up");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("DATABASE_URL").map_err(|_| "give the URL of a PostgreSQL database in DATABASE_URL")?;
    let pool = PgPool::connect(&url).await?;
    reminders::create_table(&pool).await?;

    // The tables of the scheduler are in the same database, so that jobs can be added in transactions of the service.
    let store = PostgresOptions::new().from_pool(&pool).await?;
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .store("default", store)
        .lease(seconds("LEASE", 15)?)
        .state(pool.clone())
        .state(reminders::Sending(seconds("SENDING", 0)?))
        .register(reminders::remind::task())
        .register(jobs::count_down::task())
        .scheduled(tidy::scheduled())
        .build()?;
    scheduler.start().await?;

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&address).await.map_err(|error| format!("listening on {address}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let (grace, end) = (seconds("GRACE", 20)?, end()?);
    axum::serve(listener, routes(App { scheduler: scheduler.clone(), pool })).with_graceful_shutdown(end).await?;

    println!("no more requests; running tasks end");
    scheduler.shutdown(ShutdownMode::within(grace)).await?;
    println!("ended");
    Ok(())
}

fn routes(app: App) -> Router {
    Router::new()
        .merge(reminders::routes())
        .merge(jobs::routes())
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing at this path".to_owned()) })
        .method_not_allowed_fallback(|| async {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods".to_owned())
        })
        .with_state(app)
}

/// Whether the scheduler answers. If not, a restart of the service is the remedy.
async fn healthz(State(scheduler): State<Scheduler>) -> impl IntoResponse {
    let health = scheduler.health().await;
    (probed(health.is_live()), Json(health))
}

/// Whether the scheduler is started and has its store in reach.
async fn readyz(State(scheduler): State<Scheduler>) -> impl IntoResponse {
    let health = scheduler.health().await;
    (probed(health.is_ready()), Json(health))
}

fn probed(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// A number of seconds from the environment.
fn seconds(variable: &str, default: u64) -> Result<Duration, String> {
    match env::var(variable) {
        Err(_) => Ok(Duration::from_secs(default)),
        Ok(text) => text
            .parse()
            .map(Duration::from_secs)
            .map_err(|error| format!("{variable}: `{text}`: {error}; give seconds")),
    }
}

/// A future that ends when the service is told to end. It listens from this call on.
#[cfg(unix)]
fn end() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => println!("terminated"),
            _ = interrupted.recv() => println!("interrupted"),
        }
    })
}

#[cfg(not(unix))]
fn end() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            println!("Ctrl-C cannot be heard ({error}), so that this ends now");
        }
    })
}
