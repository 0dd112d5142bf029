//! What is read without being changed.

use std::collections::{BTreeMap, BTreeSet};

use scheduler_core::{
    JobId, Listed, Run,
    store::{JobQuery, RunQuery, StoreError},
};

use super::{
    sheet::Sheet,
    shelf::{Document, Shelf},
};

pub(super) async fn job(shelf: &dyn Shelf, id: &JobId) -> Result<Option<Listed>, StoreError> {
    Ok(shelf.by_live_id(&BTreeSet::from([id.clone()])).await?.first().map(listed))
}

pub(super) async fn jobs(shelf: &dyn Shelf, page: &JobQuery) -> Result<Vec<Listed>, StoreError> {
    Ok(shelf.list(page.after.as_ref(), page.limit).await?.iter().map(listed).collect())
}

/// A run moves from the document into the files and never back, so that it is found if the document is read first.
pub(super) async fn runs(shelf: &dyn Shelf, page: &RunQuery) -> Result<Vec<Run>, StoreError> {
    let documents = shelf.by_key(&BTreeSet::from([page.uid.to_string()])).await?;
    let sheet = documents.into_iter().next().map(Sheet::new);
    let Some(sheet) = sheet.filter(|sheet| !sheet.is_over()) else { return Ok(Vec::new()) };
    let before = page.before.unwrap_or(u64::MAX);
    let filed = shelf.filed_page(page.uid, before, page.limit).await?;
    let own = sheet.book.into_runs().filter(|run| run.id.seq < before);
    let runs: BTreeMap<u64, Run> = own.chain(filed).map(|run| (run.id.seq, run)).collect();
    Ok(runs.into_values().rev().take(page.limit).collect())
}

/// A job as a listing shows it.
pub(super) fn listed(document: &Document) -> Listed {
    document.job().1.map_or_else(Listed::Raw, Listed::Job)
}
