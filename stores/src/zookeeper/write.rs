//! Writing a document with the nodes that it is found by, in one transaction.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};
use scheduler_core::{
    JobId,
    store::{StoreError, StoreErrorKind},
};
use zookeeper_client::{CreateMode, Error, MultiWriteError};

use super::call::{Call, Via};
use crate::kit::Document;

/// What is to become of a document.
#[derive(Debug)]
pub(super) struct Write {
    key: String,
    id: Option<JobId>,
    head: Head,
    /// The nodes that it is found by, before and after, with their data.
    old: BTreeMap<String, String>,
    new: BTreeMap<String, String>,
}

/// The first operation of the transaction, which decides who wins a race.
#[derive(Debug)]
enum Head {
    Create(String),
    Set(String, i32),
    Delete(i32),
    /// The document stays as it is.
    Check(i32),
    /// There is none, and there shall be none.
    Absent,
}

/// Another operation.
#[derive(Debug)]
enum Step {
    Create {
        path: String,
        data: String,
    },
    /// The node belonged to a document that is gone.
    Set {
        path: String,
        data: String,
        version: i32,
    },
    Delete {
        path: String,
    },
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// The document is not as it was read, or there already if it is new.
    Lost,
    /// Its id belongs to another document.
    IdIsTaken,
}

/// The longest text of a document: a packet may have a mebibyte, with all else that is in it.
const TEXT: usize = 1_040_000;
/// From here on a document is not begun with: what a verb adds to it would not fit.
pub(super) const FULL_TEXT: usize = 1_030_000;

/// More than are needed by someone who adds while the server sweeps empty folders, or who repairs.
const ATTEMPTS: usize = 4;

/// Far more than there are at a time; forgetting one costs a call.
const FOLDERS: usize = 4_096;

/// Whether another call was faster, or the nodes are not as they should be.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::NoNode | Error::NodeExists | Error::BadVersion)
}

impl Write {
    pub(super) fn add(call: &Call<'_>, document: &Document) -> Result<Self, StoreError> {
        let head = Head::Create(text(call, document)?);
        let new = call.names().index(document);
        Ok(Self { key: document.key.clone(), id: document.index().live_id, head, old: BTreeMap::new(), new })
    }

    pub(super) fn replace(call: &Call<'_>, old: &Document, new: Option<&Document>) -> Result<Self, StoreError> {
        let version = version_of(old.version);
        let head = match new {
            Some(new) => Head::Set(text(call, new)?, version),
            None => Head::Delete(version),
        };
        let new = new.map_or_else(BTreeMap::new, |new| call.names().index(new));
        Ok(Self { key: old.key.clone(), id: old.index().live_id, head, old: call.names().index(old), new })
    }

    /// Moves an entry to where its document has it, or away if there is none.
    pub(super) fn mend(call: &Call<'_>, key: &str, document: Option<&Document>, entry: String) -> Self {
        let head = document.map_or(Head::Absent, |document| Head::Check(version_of(document.version)));
        let new = document.map_or_else(BTreeMap::new, |document| call.names().index(document));
        let id = document.and_then(|document| document.index().live_id);
        Self { key: key.to_owned(), id, head, old: BTreeMap::from([(entry, String::new())]), new }
    }

    fn steps(&self) -> Vec<Step> {
        let gone = self.old.keys().filter(|path| !self.new.contains_key(*path));
        let come = self.new.iter().filter(|(path, _)| !self.old.contains_key(*path));
        let deletes = gone.map(|path| Step::Delete { path: path.clone() });
        let creates = come.map(|(path, data)| Step::Create { path: path.clone(), data: data.clone() });
        deletes.chain(creates).collect()
    }
}

/// A document's version as the server has it, which counts from 0.
pub(super) fn version_of(version: u64) -> i32 {
    (version as u32).wrapping_sub(1).cast_signed()
}

/// A version of the server's as that of a document or a node, where 0 means that it was not read.
pub(super) fn version_from(version: i32) -> u64 {
    u64::from(version.cast_unsigned().wrapping_add(1))
}

fn text(call: &Call<'_>, document: &Document) -> Result<String, StoreError> {
    let text = document.text();
    if text.len() > TEXT {
        let what = format!(
            "job {} has {} bytes with its open runs, more than the {TEXT} that one node takes",
            document.key,
            text.len()
        );
        return Err(call.failures().new_error(StoreErrorKind::TooLarge, what));
    }
    Ok(text)
}

impl Call<'_> {
    /// Writes documents, each by itself. The transactions are under way at the same time, in this order.
    pub(super) async fn write(&self, writes: &[Write]) -> Result<Vec<Written>, StoreError> {
        let steps: Vec<_> = writes.iter().map(Write::steps).collect();
        let created = steps.iter().flatten().filter_map(|step| match step {
            Step::Create { path, .. } => Some(path.as_str()),
            _ => None,
        });
        self.make_folders(created).await?;
        let written = writes.iter().zip(steps).map(|(write, steps)| self.write_one(write, steps));
        // All are awaited, so that none is left to be applied after the failure of another is known.
        join_all(written).await.into_iter().collect()
    }

    async fn write_one(&self, write: &Write, mut steps: Vec<Step>) -> Result<Written, StoreError> {
        for _ in 0..ATTEMPTS {
            match self.commit(write, &steps).await {
                Ok(()) => return Ok(Written::Done),
                Err(MultiWriteError::OperationFailed { index, source }) if is_lost(&source) => {
                    if index == 0 {
                        return Ok(Written::Lost);
                    }
                    let Some(repaired) = self.repair(write).await? else { return Ok(Written::IdIsTaken) };
                    steps = repaired;
                }
                Err(error) => return Err(self.failures().of(error.into())),
            }
        }
        let what = format!("the nodes that job {} is found by change all the time", write.key);
        Err(self.failures().new_error(StoreErrorKind::Unavailable, what))
    }

    async fn commit(&self, write: &Write, steps: &[Step]) -> Result<(), MultiWriteError> {
        let options = CreateMode::Persistent.with_acls(self.acls());
        let job = self.names().job(&write.key);
        let mut multi = self.client.new_multi_writer();
        match &write.head {
            Head::Create(text) => multi.add_create(&job, text.as_bytes(), &options)?,
            Head::Set(text, version) => multi.add_set_data(&job, text.as_bytes(), Some(*version))?,
            Head::Delete(version) => multi.add_delete(&job, Some(*version))?,
            Head::Check(version) => multi.add_check_version(&job, *version)?,
            Head::Absent => {
                // Within a transaction this is how to see that a node is not there.
                multi.add_create(&job, &[], &options)?;
                multi.add_delete(&job, None)?;
            }
        }
        for step in steps {
            match step {
                Step::Create { path, data } => multi.add_create(path, data.as_bytes(), &options)?,
                Step::Set { path, data, version } => multi.add_set_data(path, data.as_bytes(), Some(*version))?,
                Step::Delete { path } => multi.add_delete(path, None)?,
            }
        }
        multi.commit().await.map(drop)
    }

    /// The steps for the nodes as they are, since they are not as the document has it: a folder was swept away, or
    /// another program has written one without the other. None if the id belongs to another document.
    async fn repair(&self, write: &Write) -> Result<Option<Vec<Step>>, StoreError> {
        self.shared.forget_folders();
        self.make_folders(write.new.keys().map(String::as_str)).await?;
        let mut steps = Vec::new();
        for (path, found) in self.look(write.old.keys().filter(|path| !write.new.contains_key(*path))).await? {
            steps.extend(found.is_some().then(|| Step::Delete { path: path.clone() }));
        }
        for (path, found) in self.look(write.new.keys()).await? {
            let data = &write.new[path];
            match found {
                None => steps.push(Step::Create { path: path.clone(), data: data.clone() }),
                // Only the nodes of ids have data, which says whose the id is.
                Some((other, _)) if data.is_empty() || other == *data => {}
                Some((other, version)) => {
                    let holder = write.id.as_ref().map(|id| (other, Via::Id(id)));
                    if !self.documents(holder).await?.is_empty() {
                        return Ok(None);
                    }
                    steps.push(Step::Set { path: path.clone(), data: data.clone(), version });
                }
            }
        }
        Ok(Some(steps))
    }

    /// The data and the versions of nodes that may be there.
    async fn look<'p>(
        &self,
        paths: impl Iterator<Item = &'p String>,
    ) -> Result<Vec<(&'p String, Option<(String, i32)>)>, StoreError> {
        let found = paths.map(|path| async move {
            let found = self.data(path).await?;
            Ok((path, found.map(|(data, stat)| (String::from_utf8_lossy(&data).into_owned(), stat.version))))
        });
        try_join_all(found).await
    }

    /// Creates the folders of nodes, unless this store has done so lately. The server deletes those that are empty.
    pub(super) async fn make_folders<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Result<(), StoreError> {
        let mut missing: Vec<String> = Vec::new();
        {
            let mut known = self.shared.folders.lock().expect("nothing panics while it holds the folders");
            if known.len() > FOLDERS {
                known.clear();
            }
            for path in paths {
                let folders = path.match_indices('/').map(|(at, _)| &path[..at]).skip(self.names().depth() + 2);
                missing.extend(folders.filter(|folder| known.insert((*folder).to_owned())).map(str::to_owned));
            }
        }
        let options = CreateMode::Container.with_acls(self.acls());
        let created = missing.iter().map(|folder| self.client.create(folder, &[], &options));
        for result in join_all(created).await {
            match result {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => {
                    self.shared.forget_folders();
                    return Err(self.failures().of(error));
                }
            }
        }
        Ok(())
    }
}
