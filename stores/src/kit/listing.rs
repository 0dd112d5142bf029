//! What is read without being changed.

use std::collections::{BTreeMap, BTreeSet};

use scheduler_core::{
    JobId, Listed, Run,
    store::{JobQuery, RunQuery, StoreError},
};

use super::{
    backend::{Access, Session},
    job::LoadedJob,
};

pub(super) async fn job(session: &dyn Session, id: &JobId) -> Result<Option<Listed>, StoreError> {
    let jobs = session.by_live_id(&BTreeSet::from([id.clone()]), Access::Show).await?;
    Ok(jobs.first().and_then(listed))
}

pub(super) async fn jobs(session: &dyn Session, page: &JobQuery) -> Result<Vec<Listed>, StoreError> {
    let jobs = session.list(page.after.as_ref(), page.limit, Access::Show).await?;
    Ok(jobs.iter().filter_map(listed).collect())
}

/// A run moves from the record of its job into the archive and never back, so that it is found if the record is read first.
pub(super) async fn runs(session: &dyn Session, page: &RunQuery) -> Result<Vec<Run>, StoreError> {
    let before = page.before.unwrap_or(u64::MAX);
    if session.archive().is_none() {
        return session.history(page.uid, before, page.limit).await;
    }
    let jobs = session.by_key(&BTreeSet::from([page.uid.to_string()]), Access::Show).await?;
    let job = jobs.into_iter().next().filter(|job| !job.is_finished());
    let Some(job) = job else { return Ok(Vec::new()) };
    let archived = session.history(page.uid, before, page.limit).await?;
    let own = job.into_runs().filter(|run| run.id.seq < before);
    let runs: BTreeMap<u64, Run> = own.chain(archived).map(|run| (run.id.seq, run)).collect();
    Ok(runs.into_values().rev().take(page.limit).collect())
}

/// A job as a listing shows it.
pub(super) fn listed(job: &LoadedJob) -> Option<Listed> {
    job.job().map(|job| job.map_or_else(Listed::Raw, Listed::Job))
}
