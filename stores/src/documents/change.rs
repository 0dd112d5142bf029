//! How a call changes documents that others change at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    Run, Uid,
    store::{Fate, StoreError, StoreErrorKind},
};

use super::{
    caller::Caller,
    sheet::Sheet,
    shelf::{Document, Replace, Shelf},
};
use crate::head::Runs;

/// How often a call tries again when others were faster. Each time somebody else got on; so many losses in a row are no race.
pub(super) const ROUNDS: usize = 32;

/// A call of a verb.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) shelf: &'a dyn Shelf,
    /// The time by which everything in it is decided.
    pub(super) now: DateTime<Utc>,
}

/// What a call is to change.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The documents, also those that are not there.
    keys: BTreeSet<String>,
    /// Those that are.
    documents: Vec<Document>,
    /// Runs that the steps look at, whether they are open or not.
    runs: BTreeSet<(Uid, u64)>,
}

/// For how long what a node holds after a change is to be left alone.
pub(super) struct Cover<'c, 'a> {
    pub(super) caller: &'c mut Caller<'a>,
    pub(super) lease: Duration,
}

/// What a verb does to each document, or learns of one that is not there. What it said last of a document holds.
pub(super) type Step<'s> = &'s mut (dyn FnMut(&str, Option<&mut Sheet>) + Send);

impl Batch {
    /// The documents of jobs by uid.
    pub(super) async fn load(shelf: &dyn Shelf, keys: BTreeSet<String>) -> Result<Self, StoreError> {
        let documents = if keys.is_empty() { Vec::new() } else { shelf.by_key(&keys).await? };
        Ok(Self { keys, documents, runs: BTreeSet::new() })
    }

    /// Documents that have been found in another way.
    pub(super) fn of(documents: Vec<Document>) -> Self {
        let keys = documents.iter().map(|document| document.key.clone()).collect();
        Self { keys, documents, runs: BTreeSet::new() }
    }

    /// Shows the steps these runs too.
    pub(super) fn with_runs(mut self, runs: BTreeSet<(Uid, u64)>) -> Self {
        self.runs = runs;
        self
    }
}

impl<'a> Call<'a> {
    pub(super) async fn begin(shelf: &'a dyn Shelf, at: DateTime<Utc>) -> Result<Self, StoreError> {
        Ok(Self { shelf, now: shelf.now(at).await? })
    }

    /// Lets a step change documents and writes them, once more from the start for each that somebody else has changed in
    /// the meantime.
    pub(super) async fn change(
        self,
        batch: Batch,
        mut cover: Option<Cover<'_, 'a>>,
        step: Step<'_>,
    ) -> Result<(), StoreError> {
        let Batch { mut keys, mut documents, runs } = batch;
        for _ in 0..ROUNDS {
            let mut sheets = self.open(documents, &runs).await?;
            for key in &keys {
                step(key, sheets.get_mut(key));
            }
            keys = self.write(sheets.into_values().collect(), &mut cover).await?;
            if keys.is_empty() {
                return Ok(());
            }
            documents = self.shelf.by_key(&keys).await?;
        }
        Err(self.crowded(&format!("{} jobs", keys.len())))
    }

    /// Reads documents. Those of jobs that are over are not there any more; they are deleted on the occasion.
    async fn open(
        self,
        documents: Vec<Document>,
        runs: &BTreeSet<(Uid, u64)>,
    ) -> Result<BTreeMap<String, Sheet>, StoreError> {
        let sheets = documents.into_iter().map(Sheet::new);
        let (over, sheets): (Vec<Sheet>, Vec<Sheet>) = sheets.partition(Sheet::is_over);
        self.delete(over).await?;
        let mut sheets: BTreeMap<String, Sheet> =
            sheets.into_iter().map(|sheet| (sheet.document().key.clone(), sheet)).collect();
        let is_filed =
            |(uid, seq): &&(Uid, u64)| sheets.get(&uid.to_string()).is_some_and(|sheet| sheet.book.run(*seq).is_none());
        let filed: BTreeSet<(Uid, u64)> = runs.iter().filter(is_filed).copied().collect();
        if !filed.is_empty() {
            for run in self.shelf.filed(&filed).await? {
                if let Some(sheet) = sheets.get_mut(&run.id.uid.to_string()) {
                    sheet.book.show(run);
                }
            }
        }
        Ok(sheets)
    }

    /// Writes what has changed of documents, each if nobody has written it since it was read, and gives back the keys of
    /// the others.
    pub(super) async fn write(
        self,
        mut sheets: Vec<Sheet>,
        cover: &mut Option<Cover<'_, 'a>>,
    ) -> Result<BTreeSet<String>, StoreError> {
        sheets.retain(Sheet::is_changed);
        if sheets.is_empty() {
            return Ok(BTreeSet::new());
        }
        try_join(self.file(&sheets), renew(&sheets, cover)).await?;
        let replacements: Vec<Replace> = sheets.iter().map(|sheet| sheet.replace(self.now)).collect();
        let written = self.shelf.replace(&replacements).await?;
        let (written, lost): (Vec<_>, Vec<_>) =
            sheets.into_iter().zip(written).partition(|(_, is_written)| *is_written);
        let written: Vec<Sheet> = written.into_iter().map(|(sheet, _)| sheet).collect();
        try_join(self.prune(&written), self.delete_over(&written)).await?;
        Ok(lost.into_iter().map(|(sheet, _)| sheet.document().key.clone()).collect())
    }

    /// Files the runs that had ended before: a document keeps only those that end with its last write.
    async fn file(self, sheets: &[Sheet]) -> Result<(), StoreError> {
        let runs: Vec<Run> = sheets.iter().flat_map(Sheet::unfiled).cloned().collect();
        if runs.is_empty() { Ok(()) } else { self.shelf.file(&runs).await }
    }

    async fn prune(self, written: &[Sheet]) -> Result<(), StoreError> {
        let staying = written.iter().filter(|sheet| sheet.fate == Fate::Stays);
        let cuts: Vec<(Uid, u64)> = staying.filter_map(|sheet| Some((sheet.uid()?, sheet.cut()?))).collect();
        if cuts.is_empty() { Ok(()) } else { self.shelf.prune(&cuts).await }
    }

    /// Deletes the jobs that are over and still there because of their files.
    async fn delete_over(self, written: &[Sheet]) -> Result<(), StoreError> {
        let over = written.iter().filter(|sheet| sheet.fate == Fate::Deleted && sheet.is_filed());
        let keys: BTreeSet<String> = over.map(|sheet| sheet.document().key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let sheets = self.shelf.by_key(&keys).await?.into_iter().map(Sheet::new);
        self.delete(sheets.filter(Sheet::is_over).collect()).await
    }

    /// Deletes jobs that are over, first their files. Who loses a race here finds it done.
    async fn delete(self, over: Vec<Sheet>) -> Result<(), StoreError> {
        if over.is_empty() {
            return Ok(());
        }
        let files: Vec<(Uid, u64)> = over.iter().filter_map(|sheet| Some((sheet.uid()?, u64::MAX))).collect();
        self.shelf.prune(&files).await?;
        let deletions = over.into_iter().map(|sheet| Replace { old: sheet.into_document(), new: None });
        self.shelf.replace(&deletions.collect::<Vec<_>>()).await.map(drop)
    }

    pub(super) fn crowded(self, what: &str) -> StoreError {
        let place = self.shelf.place();
        let message = format!("{place}: others changed {what} {ROUNDS} times in a row; the call will be repeated");
        StoreError::new(StoreErrorKind::Unavailable, message)
    }
}

/// Before a node holds something, its lease covers it.
async fn renew(sheets: &[Sheet], cover: &mut Option<Cover<'_, '_>>) -> Result<(), StoreError> {
    match cover {
        Some(Cover { caller, lease }) if sheets.iter().any(|sheet| sheet.is_held_by(caller.owner())) => {
            caller.renew(*lease).await
        }
        _ => Ok(()),
    }
}
