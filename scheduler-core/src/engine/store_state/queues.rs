//! The runs of a store that wait until their executors have room, by priority.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, Utc};

use crate::{ExecutorName, RunId, engine::effect::Start};

/// Where a run stands among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct QueueKey {
    pub(in crate::engine) priority: Reverse<i32>,
    pub(in crate::engine) due: DateTime<Utc>,
    pub(in crate::engine) arrival: u64,
}

/// The runs of one store that wait, each for its executor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Queues(BTreeMap<ExecutorName, BTreeMap<QueueKey, Box<Start>>>);

impl Queues {
    pub(in crate::engine) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::engine) fn first(&self, executor: &ExecutorName) -> Option<QueueKey> {
        self.0.get(executor)?.first_key_value().map(|(key, _)| *key)
    }

    pub(in crate::engine) fn push(&mut self, key: QueueKey, start: Start) {
        self.0.entry(start.executor.clone()).or_default().insert(key, Box::new(start));
    }

    pub(in crate::engine) fn remove(&mut self, key: QueueKey) -> Option<Start> {
        let start = self.0.values_mut().find_map(|queue| queue.remove(&key))?;
        self.0.retain(|_, queue| !queue.is_empty());
        Some(*start)
    }

    pub(in crate::engine) fn clear(&mut self) {
        self.0.clear();
    }

    /// The runs that wait, those of each executor in the order in which they would start.
    pub(in crate::engine) fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.0.values().flat_map(BTreeMap::values).map(|start| start.run)
    }

    /// The runs that wait for an executor.
    pub(in crate::engine) fn runs_for(&self, executor: &ExecutorName) -> impl Iterator<Item = RunId> + '_ {
        self.0.get(executor).into_iter().flat_map(BTreeMap::values).map(|start| start.run)
    }
}
