//! What is read without being changed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join;
use scheduler_core::{
    JobId, Listed, NodeId, Run,
    store::{FoundRun, JobQuery, NodeRow, RunQuery, StoreError},
};

use super::{
    backend::{Access, HoldKind, Session},
    job::LoadedJob,
};

pub(super) async fn job(session: &dyn Session, id: &JobId) -> Result<Option<Listed>, StoreError> {
    let jobs = session.by_live_id(&BTreeSet::from([id.clone()]), Access::Show).await?;
    Ok(jobs.into_iter().next().and_then(listed))
}

pub(super) async fn jobs(session: &dyn Session, page: &JobQuery) -> Result<Vec<Listed>, StoreError> {
    let jobs = session.list(page.after.as_ref(), page.limit, Access::Show).await?;
    Ok(jobs.into_iter().filter_map(listed).collect())
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

/// The nodes that have a row or run something, by name.
pub(super) async fn nodes(session: &dyn Session) -> Result<Vec<NodeRow>, StoreError> {
    let (found, mut infos) = try_join(session.nodes(), session.node_infos()).await?;
    let without_row = found.running.into_iter().map(|id| (id, None));
    // A row says more than that a node runs something.
    let mut leases: BTreeMap<NodeId, _> = without_row.collect();
    leases.extend(found.known.into_iter().map(|node| (node.id, node.lease_until)));
    let mut nodes = Vec::with_capacity(leases.len());
    for (id, lease_until) in leases {
        let jobs = session.held_by(&id, HoldKind::Run, NodeRow::RUNNING_LIMIT, Access::Show).await?;
        let running = jobs.iter().flat_map(|job| {
            let of_job = |run: &Run| FoundRun { job: job.id().clone(), task: job.task().clone(), run: run.clone() };
            job.runs().running_on(&id).map(of_job)
        });
        // What another program has written there is not shown.
        let info = infos.remove(&id).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        nodes.push(NodeRow::new(id.clone(), lease_until, running.collect()).with_info(info));
    }
    Ok(nodes)
}

/// A job as a listing shows it.
pub(super) fn listed(mut job: LoadedJob) -> Option<Listed> {
    job.take_row().map(|job| job.map_or_else(Listed::Raw, Listed::Job))
}
