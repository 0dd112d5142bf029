//! Jobs, as an operator looks at them and steers them.
//!
//! A trigger is written as it is displayed: `every 10s`, `crontab 0 9 * * mon-fri in Europe/Berlin`, `date 2027-01-01T00:00:00Z`.
//! Without one, the job runs at once.

use std::time::Duration;

use apscheduler::prelude::*;
use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    App,
    refusal::{Refusal, unprocessable},
};

/// Work that takes a while. Who cancels its run ends it between two seconds.
#[task]
pub(crate) async fn count_down(context: RunContext, seconds: u32) {
    println!("{}: {seconds} seconds", context.job_id);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("{}: time is up", context.job_id);
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/jobs", get(list).post(add))
        .route("/jobs/{id}", get(show).delete(remove))
        .route("/jobs/{id}/pause", post(pause))
        .route("/jobs/{id}/resume", post(resume))
        .route("/jobs/{id}/run", post(run))
        .route("/jobs/{id}/runs", get(runs))
        .route("/jobs/{id}/runs/{run}/cancel", post(cancel))
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
