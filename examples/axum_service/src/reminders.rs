//! Reminders of users: a row of the service's own table and a job, which are there both or not at all.
//!
//! ```text
//! POST /users/ann/reminders   begin · insert the row · add its job, tagged `user:ann` · commit
//! at its time                 on any of the processes: deliver it · write that into the row, once
//! GET /users/ann/reminders    the jobs with the tag
//! DELETE ../reminders/7       begin · delete the row · remove its job · commit
//! ```

use std::time::Duration;

use apscheduler::{prelude::*, store::JobFilter};
use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    response::IntoResponse,
    routing::{delete, get},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{App, refusal::Refusal};

/// How long it takes to deliver a reminder: what a mail server may need.
#[derive(Clone, Copy)]
pub(crate) struct Sending(pub(crate) Duration);

/// The arguments of the task: the text is in the service's own table.
#[derive(Serialize, Deserialize)]
pub(crate) struct Remind {
    reminder: i64,
}

/// Delivers a reminder. The `State` of tasks is not that of axum.
///
/// A process that dies after it has delivered and before the end is recorded makes another one run this again: the row says whether it was
/// delivered, so that nobody is reminded twice.
#[task]
pub(crate) async fn remind(
    apscheduler::State(pool): apscheduler::State<PgPool>,
    apscheduler::State(Sending(time)): apscheduler::State<Sending>,
    context: RunContext,
    args: Remind,
) -> Result<(), sqlx::Error> {
    println!("{}: attempt {}", context.job_id, context.attempt);
    tokio::time::sleep(time).await;
    let delivered = sqlx::query_scalar::<_, String>(
        "UPDATE reminders SET delivered = now(), attempt = $2 WHERE id = $1 AND delivered IS NULL RETURNING text",
    );
    let text = delivered.bind(args.reminder).bind(i64::from(context.attempt)).fetch_optional(&pool).await?;
    println!("{}: {}", context.job_id, text.as_deref().unwrap_or("was delivered before, or taken back"));
    Ok(())
}

/// Makes the table of the service, unless it is there. Processes that start at once wait for each other.
pub(crate) async fn create_table(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('reminders', 0))").execute(&mut *transaction).await?;
    let table = sqlx::query(
        "CREATE TABLE IF NOT EXISTS reminders (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            username TEXT NOT NULL,
            text TEXT NOT NULL,
            delivered TIMESTAMPTZ,
            attempt BIGINT
        )",
    );
    table.execute(&mut *transaction).await?;
    transaction.commit().await
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/users/{user}/reminders", get(list).post(add))
        .route("/users/{user}/reminders/{id}", delete(take_back))
        .route("/users/{user}/delivered", get(delivered))
}

/// A reminder as users describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReminder {
    text: String,
    at: Option<DateTime<Utc>>,
    #[serde(default)]
    in_seconds: u32,
}

async fn add(
    State(App { scheduler, pool }): State<App>,
    Path(user): Path<String>,
    reminder: Result<Json<NewReminder>, JsonRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Json(reminder) = reminder?;
    let at = reminder.at.unwrap_or_else(|| Utc::now() + TimeDelta::seconds(reminder.in_seconds.into()));

    let mut transaction = pool.begin().await?;
    let row = sqlx::query_scalar::<_, i64>("INSERT INTO reminders (username, text) VALUES ($1, $2) RETURNING id");
    let id = row.bind(&user).bind(&reminder.text).fetch_one(&mut *transaction).await?;
    let job = remind::job(Date::at(at), Remind { reminder: id }).id(job_id(id)).tag(tag(&user));
    // If this fails, the transaction is dropped, and the row goes with it.
    scheduler.add_job_in(&mut transaction, job).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(json!({"reminder": id, "at": at}))))
}

/// The reminders that are still to come, found by their tag.
async fn list(State(scheduler): State<Scheduler>, Path(user): Path<String>) -> Result<Json<Value>, Refusal> {
    let jobs = scheduler.find_jobs(JobFilter::new().tag(tag(&user))).await?;
    let shown = |job: &Job| json!({"reminder": job.body.args["reminder"], "at": job.next_fire_time});
    Ok(Json(jobs.iter().map(shown).collect()))
}

async fn take_back(
    State(App { scheduler, pool }): State<App>,
    Path((user, id)): Path<(String, i64)>,
) -> Result<StatusCode, Refusal> {
    let mut transaction = pool.begin().await?;
    let row = sqlx::query("DELETE FROM reminders WHERE id = $1 AND username = $2 AND delivered IS NULL");
    if row.bind(id).bind(&user).execute(&mut *transaction).await?.rows_affected() == 0 {
        return Err(Refusal(StatusCode::NOT_FOUND, format!("`{user}` has no reminder {id} that is still to come")));
    }
    scheduler.remove_job_in(&mut transaction, job_id(id)).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a user was reminded of, and with which attempt of the run.
async fn delivered(State(pool): State<PgPool>, Path(user): Path<String>) -> Result<Json<Value>, Refusal> {
    let rows = sqlx::query_as::<_, (i64, String, i64)>(
        "SELECT id, text, attempt FROM reminders WHERE username = $1 AND delivered IS NOT NULL ORDER BY id",
    );
    let rows = rows.bind(&user).fetch_all(&pool).await?;
    Ok(Json(rows.iter().map(|(id, text, attempt)| json!({"reminder": id, "text": text, "attempt": attempt})).collect()))
}

fn job_id(reminder: i64) -> String {
    format!("reminder-{reminder}")
}

fn tag(user: &str) -> String {
    format!("user:{user}")
}
