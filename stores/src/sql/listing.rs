//! What is read without being changed: the statements, and what their rows say.

use scheduler_core::{
    JobId, Listed,
    store::{JobQuery, RunQuery},
};
use serde_json::json;

use super::{Statement, Statements, query};
use crate::kit::columns::{Columns, decode_job};

/// Reads the job with an id, as [`listed`] shows it.
pub(crate) fn job(sql: &Statements, id: &JobId) -> Statement {
    query(&sql.jobs_by_id).list([json!(id)])
}

/// Reads a page of jobs, as [`listed`] shows them.
pub(crate) fn jobs(sql: &Statements, page: &JobQuery) -> Statement {
    query(&sql.jobs).text(page.after.as_ref().map_or("", JobId::as_str)).count(page.limit)
}

/// Reads a page of runs.
pub(crate) fn runs(sql: &Statements, page: &RunQuery) -> Statement {
    query(&sql.runs).text(page.uid.to_string()).count(page.before.unwrap_or(u64::MAX)).count(page.limit)
}

/// A job as a listing shows it.
pub(crate) fn listed(row: &impl Columns) -> Listed {
    decode_job(row).1.map_or_else(Listed::Raw, Listed::Job)
}
