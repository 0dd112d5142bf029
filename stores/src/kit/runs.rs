//! The runs of a job while a verb works on it.

use scheduler_core::{NodeId, Run, RunState};

use super::rules::{Runs, is_time_to_prune};

/// Runs of one job, by number. Most jobs have one or none, for which a list costs less than a tree.
#[derive(Debug, Default)]
pub(super) struct RunMap(Vec<Run>);

/// The runs of a loaded job.
#[derive(Debug, Default)]
pub(super) struct LoadedRuns {
    pub(super) open: RunMap,
    /// Why an open run cannot be read.
    pub(super) unreadable: Option<String>,
    /// Those that had ended when the record was written last, and are still in it.
    pub(super) unarchived: RunMap,
    /// Those that have ended since.
    pub(super) ended: RunMap,
    /// Those that had ended before and were loaded because a step looks at them.
    pub(super) earlier: RunMap,
    pub(super) changed: Vec<u64>,
    /// The changed ones that were open, as they were loaded.
    pub(super) before: RunMap,
    pub(super) is_to_be_pruned: bool,
}

impl RunMap {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Run> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Run> {
        self.0.get(self.find(seq).ok()?)
    }

    /// Puts a run in, and gives back the one that it replaces.
    pub(super) fn insert(&mut self, run: Run) -> Option<Run> {
        match self.find(run.id.seq) {
            Ok(at) => self.0.get_mut(at).map(|old| std::mem::replace(old, run)),
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, run);
                None
            }
        }
    }

    fn remove(&mut self, seq: u64) -> Option<Run> {
        Some(self.0.remove(self.find(seq).ok()?))
    }

    fn find(&self, seq: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&seq, |run| run.id.seq)
    }
}

impl IntoIterator for RunMap {
    type Item = Run;
    type IntoIter = std::vec::IntoIter<Run>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl LoadedRuns {
    /// What has changed was written.
    pub(super) fn forget_changes(&mut self) {
        let Self { open, unreadable, ended, .. } = std::mem::take(self);
        *self = Self { open, unreadable, unarchived: ended, ..Self::default() };
    }

    /// The running runs of a node, by number.
    pub(super) fn running_on(&self, node: &NodeId) -> impl Iterator<Item = &Run> {
        self.open.iter().filter(move |run| run.state == RunState::Running && run.owner.as_ref() == Some(node))
    }
}

impl Runs for LoadedRuns {
    fn run(&self, seq: u64) -> Option<&Run> {
        let kinds = [&self.open, &self.ended, &self.unarchived, &self.earlier];
        kinds.into_iter().find_map(|runs| runs.get(seq))
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.iter()
    }

    fn put(&mut self, run: Run) {
        let seq = run.id.seq;
        let old = if run.is_open() {
            self.open.insert(run)
        } else {
            self.is_to_be_pruned |= is_time_to_prune(&run);
            self.ended.insert(run);
            self.open.remove(seq)
        };
        if let Err(at) = self.changed.binary_search(&seq) {
            self.changed.insert(at, seq);
            if let Some(old) = old {
                self.before.insert(old);
            }
        }
    }
}
