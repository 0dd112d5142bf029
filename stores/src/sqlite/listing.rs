//! What is read without being changed.

use scheduler_core::{
    JobId, Listed, Run,
    store::{JobQuery, RunQuery, StoreError},
};
use serde_json::json;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    Database,
    connection::{Statement, list, query},
};
use crate::codec::{decode_job, decode_run};

pub(super) async fn job(
    database: &Database,
    reader: &mut SqliteConnection,
    id: &JobId,
) -> Result<Option<Listed>, StoreError> {
    let statement = query(&database.sql.jobs_by_id).bind(list([json!(id)]));
    Ok(rows(database, reader, statement).await?.first().map(listed))
}

pub(super) async fn jobs(
    database: &Database,
    reader: &mut SqliteConnection,
    page: &JobQuery,
) -> Result<Vec<Listed>, StoreError> {
    let after = page.after.as_ref().map_or("", JobId::as_str).to_owned();
    let statement = query(&database.sql.jobs).bind(after).bind(count(page.limit));
    Ok(rows(database, reader, statement).await?.iter().map(listed).collect())
}

pub(super) async fn runs(
    database: &Database,
    reader: &mut SqliteConnection,
    page: &RunQuery,
) -> Result<Vec<Run>, StoreError> {
    let before = page.before.and_then(|it| i64::try_from(it).ok()).unwrap_or(i64::MAX);
    let statement = query(&database.sql.runs).bind(page.uid.to_string()).bind(before).bind(count(page.limit));
    Ok(rows(database, reader, statement).await?.iter().filter_map(|row| decode_run(row).ok()).collect())
}

/// A job as a listing shows it.
pub(super) fn listed(row: &SqliteRow) -> Listed {
    decode_job(row).1.map_or_else(Listed::Raw, Listed::Job)
}

/// A limit as SQLite counts.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

async fn rows(
    database: &Database,
    reader: &mut SqliteConnection,
    statement: Statement,
) -> Result<Vec<SqliteRow>, StoreError> {
    statement.fetch_all(reader).await.map_err(|error| database.failures.of(error))
}
