//! Jobs, and the row of the node, as this store has written them last.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use futures_util::lock::Mutex as AsyncMutex;
use scheduler_core::NodeId;

use super::{backend::Node, job::LoadedJob};

/// How many jobs are remembered; their definitions are not.
const LIMIT: usize = 10_000;

/// What this store's node has claimed or runs, as it has written it: a job that is moved on or whose run ends is changed from
/// there, without being read again.
///
/// The next write fails if another call has written the job since, and the job is loaded then. So only a backend whose writes
/// have a condition remembers anything.
#[derive(Debug, Default)]
pub(super) struct Recent {
    jobs: Mutex<HashMap<Arc<str>, LoadedJob>>,
    /// The row of the node. Calls of one node go on side by side, and each lengthens the lease: they write the row one after the
    /// other, since a write fails whose row another one has changed.
    pub(super) row: AsyncMutex<Option<Node>>,
}

impl Recent {
    /// Takes out the jobs that are remembered of these. A call that fails has forgotten them, and they are loaded for the next.
    pub(super) fn take(&self, keys: &mut BTreeSet<String>) -> Vec<LoadedJob> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        keys.retain(|key| match jobs.remove(key.as_str()) {
            Some(job) => {
                taken.push(job);
                false
            }
            None => true,
        });
        taken
    }

    /// Forgets all.
    pub(super) fn forget(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Remembers those of the written jobs that the node holds. `version_after` is the version that a job has once it was
    /// written.
    pub(super) fn keep(
        &self,
        written: Vec<LoadedJob>,
        owner: &NodeId,
        now: DateTime<Utc>,
        version_after: impl Fn(u64) -> Option<u64>,
    ) {
        let held = |job: &LoadedJob| !job.fate().is_over() && job.is_held_by(owner);
        let kept = written.into_iter().filter(held).filter_map(|job| {
            let version = version_after(job.version())?;
            job.into_written(version, now)
        });
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for job in kept {
            if jobs.len() >= LIMIT {
                // Also those that the node has lost to others, which nothing asks for any more.
                jobs.clear();
            }
            // Calls of one node overtake each other on their way back from the server.
            if jobs.get(job.key()).is_none_or(|known| known.version() < job.version()) {
                jobs.insert(job.shared_key(), job);
            }
        }
    }
}
