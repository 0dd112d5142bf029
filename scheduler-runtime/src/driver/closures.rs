//! The closures of jobs, which go with their jobs.

use std::collections::{HashMap, HashSet};

use scheduler_core::{
    Error, StoreName, TaskName, Uid,
    engine::{CallId, Reply},
};

/// Which closure belongs to which job.
#[derive(Debug, Default)]
pub(super) struct Closures {
    /// Those of jobs that are being added, in the order of the call.
    asked: HashMap<CallId, (StoreName, Vec<Option<TaskName>>)>,
    /// Those of live jobs.
    kept: HashMap<Uid, (StoreName, TaskName)>,
    /// Jobs that were over before their adding had been answered.
    over: HashSet<Uid>,
}

impl Closures {
    /// Jobs are being added; these are their closures.
    pub(super) fn on_add(&mut self, call: CallId, store: StoreName, names: Vec<Option<TaskName>>) {
        self.asked.insert(call, (store, names));
    }

    /// Keeps the closures of the jobs that were added; gives those that no job needs any more.
    pub(super) fn on_reply(&mut self, call: CallId, result: &Result<Reply, Error>) -> Vec<TaskName> {
        let Some((store, names)) = self.asked.remove(&call) else {
            return Vec::new();
        };
        let mut unneeded = Vec::new();
        if let Ok(Reply::Added(jobs)) = result {
            for (name, job) in names.into_iter().zip(jobs) {
                match (name, job) {
                    (Some(name), Ok(job)) if job.body.task == name && !self.over.contains(&job.uid) => {
                        let replaced = self.kept.insert(job.uid, (store.clone(), name));
                        unneeded.extend(replaced.map(|(_, task)| task));
                    }
                    (name, _) => unneeded.extend(name),
                }
            }
        } else {
            unneeded.extend(names.into_iter().flatten());
        }
        if self.asked.is_empty() {
            self.over.clear();
        }
        unneeded
    }

    /// A job is over; gives its closure.
    pub(super) fn on_removed(&mut self, uid: Uid) -> Option<TaskName> {
        if !self.asked.is_empty() {
            self.over.insert(uid);
        }
        self.kept.remove(&uid).map(|(_, task)| task)
    }

    /// All jobs of a store are gone; gives their closures.
    pub(super) fn on_all_removed(&mut self, store: &StoreName) -> Vec<TaskName> {
        self.kept.extract_if(|_, (of, _)| of == store).map(|(_, (_, task))| task).collect()
    }
}
