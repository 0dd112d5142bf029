//! A web service with a scheduler in it: jobs are added, listed, paused, resumed, run and removed over HTTP, and runs cancelled.
//!
//!     cargo run -p axum_service
//!     cargo run -p axum_service -- sqlite://service.db
//!     LISTEN=127.0.0.1:3000 cargo run -p axum_service -- memory:
//!
//! It prints its address, and then:
//!
//!     curl $URL/jobs --json '{"id": "tea", "task": "remind", "args": {"whom": "ann", "of": "tea"}, "trigger": "every 10s"}'
//!     curl $URL/jobs
//!     curl -X POST $URL/jobs/tea/pause
//!     curl -X POST $URL/jobs/tea/run
//!     curl $URL/jobs/tea/runs
//!     curl $URL/reminded
//!     curl -X DELETE $URL/jobs/tea
//!
//!     curl $URL/jobs --json '{"id": "eggs", "task": "count_down", "args": 300}'
//!     curl -X POST $URL/jobs/eggs/runs/$RUN/cancel
//!     curl $URL/readyz
//!
//! A trigger is written as it is displayed: `every 10s`, `crontab 0 9 * * mon-fri in Europe/Berlin`, `date 2027-01-01T00:00:00Z`.
//! Without one, the job runs at once. `/healthz` and `/readyz` are for the probes of the platform that runs the service. SIGTERM or Ctrl-C ends it in good order: requests are answered first, and then running
//! tasks have 20 s to end.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    collections::BTreeMap,
    env, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use apscheduler::prelude::*;
use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize)]
struct Reminder {
    whom: String,
    of: String,
}

/// How often each has been reminded: what the tasks of this service share with its handlers. A pool of connections goes the same way.
#[derive(Clone, Default)]
struct Reminded(Arc<Mutex<BTreeMap<String, u32>>>);

/// The work of the service. The arguments of a job are checked against its type when a client adds one. The `State` of tasks is not
/// that of axum.
#[task]
async fn remind(apscheduler::State(reminded): apscheduler::State<Reminded>, context: RunContext, reminder: Reminder) {
    *reminded.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reminder.whom.clone()).or_default() += 1;
    println!("{}: {}, think of {}", context.job_id, reminder.whom, reminder.of);
}

/// Work that takes a while. Who cancels its run ends it between two seconds.
#[task]
async fn count_down(context: RunContext, seconds: u32) {
    println!("{}: {seconds} seconds", context.job_id);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("{}: time is up", context.job_id);
}

/// A job that the service brings along. It is there whenever the service runs.
#[scheduled(every = "1h")]
async fn tidy() {
    println!("tidied up");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reminded = Reminded::default();
    let builder = Scheduler::builder(TokioRuntime::current())
        .state(reminded.clone())
        .register(remind::task())
        .register(count_down::task())
        .scheduled(tidy::scheduled());
    let url = env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let scheduler = match url.as_str() {
        "memory:" => builder,
        url if url.starts_with("sqlite:") => builder.store("default", SqliteStore::connect(url).await?),
        other => return Err(format!("no store at `{other}`: give `memory:` or `sqlite://FILE`").into()),
    }
    .build()?;
    scheduler.start().await?;

    // Port 0 is any that is free.
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&address).await.map_err(|error| format!("listening on {address}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let end = end()?;
    axum::serve(listener, routes(scheduler.clone(), reminded)).with_graceful_shutdown(end).await?;

    println!("no more requests; running tasks end");
    // A platform such as Kubernetes kills what is not gone after 30 s. What has not ended before is given back to the store.
    scheduler.shutdown(ShutdownMode::within(Duration::from_secs(20))).await?;
    println!("ended");
    Ok(())
}

fn routes(scheduler: Scheduler, reminded: Reminded) -> Router {
    Router::new()
        .route("/jobs", get(list).post(add))
        .route("/jobs/{id}", get(show).delete(remove))
        .route("/jobs/{id}/pause", post(pause))
        .route("/jobs/{id}/resume", post(resume))
        .route("/jobs/{id}/run", post(run))
        .route("/jobs/{id}/runs", get(runs))
        .route("/jobs/{id}/runs/{run}/cancel", post(cancel))
        .route("/reminded", get(show_reminded).with_state(reminded))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing at this path".to_owned()) })
        .method_not_allowed_fallback(|| async {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods".to_owned())
        })
        .with_state(scheduler)
}

/// A job as clients describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJob {
    task: String,
    #[serde(default)]
    args: Value,
    trigger: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    paused: bool,
}

impl NewJob {
    fn spec(self) -> Result<JobSpec, Refusal> {
        let mut spec = match self.trigger {
            Some(text) => JobSpec::new(self.task, text.parse::<Trigger>().map_err(|error| unprocessable(&error))?),
            None => JobSpec::now(self.task),
        };
        spec = spec.args(self.args);
        if let Some(id) = self.id {
            spec = spec.id(id);
        }
        if let Some(name) = self.name {
            spec = spec.name(name);
        }
        Ok(if self.paused { spec.paused() } else { spec })
    }
}

async fn add(
    State(scheduler): State<Scheduler>,
    job: Result<Json<NewJob>, JsonRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Json(job) = job?;
    let job = scheduler.add_job(job.spec()?).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/jobs/{}", escaped(job.id.as_str())))], Json(shown(&job))))
}

async fn list(State(scheduler): State<Scheduler>) -> Result<Json<Value>, Refusal> {
    Ok(Json(scheduler.jobs().await?.iter().map(shown).collect()))
}

async fn show(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    match scheduler.job(id.as_str()).await? {
        Some(job) => Ok(Json(shown(&job))),
        None => Err(Refusal(StatusCode::NOT_FOUND, format!("job `{id}` is not there"))),
    }
}

async fn pause(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(shown(&scheduler.pause_job(id).await?)))
}

async fn resume(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(shown(&scheduler.resume_job(id).await?)))
}

async fn remove(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    scheduler.remove_job(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a job now, beside its fire times. The answer says which run that is, not how it ends.
async fn run(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<impl IntoResponse, Refusal> {
    let run = scheduler.run_job_now(id).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"run": run.to_string()}))))
}

/// Asks a run to stop. How it has ended is in the list of runs.
async fn cancel(
    State(scheduler): State<Scheduler>,
    Path((id, run)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let run = run.parse().map_err(|error| unprocessable(&error))?;
    scheduler.cancel_run(id, run).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn runs(State(scheduler): State<Scheduler>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let runs = scheduler.runs(id, 20).await?;
    let shown = |run: &Run| {
        let verdict = run.verdict().map(|verdict| verdict.as_str());
        json!({
            "run": run.id.to_string(),
            "fire_time": run.fire_time,
            "attempt": run.attempt,
            "verdict": verdict,
            "error": run.error,
        })
    };
    Ok(Json(runs.iter().map(shown).collect()))
}

async fn show_reminded(State(reminded): State<Reminded>) -> Json<Value> {
    Json(json!(*reminded.0.lock().unwrap_or_else(PoisonError::into_inner)))
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

/// A job as clients see it.
fn shown(job: &Job) -> Value {
    json!({
        "id": job.id,
        "name": job.body.display_name(),
        "task": job.body.task,
        "args": job.body.args,
        "trigger": job.body.trigger.to_string(),
        "state": job.state.as_str(),
        "next_fire_time": job.next_fire_time,
    })
}

/// An id as it stands in a path.
fn escaped(id: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    id.bytes().map(escape).collect()
}

/// What the service answers when it does not do what it was asked: `{"error": ".."}`.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Arguments
            | ErrorKind::Job
            | ErrorKind::NeverFires
            | ErrorKind::TooLarge
            | ErrorKind::Trigger
            | ErrorKind::UnknownTask => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Busy | ErrorKind::ShutDown | ErrorKind::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

fn unprocessable(error: &impl ToString) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
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
