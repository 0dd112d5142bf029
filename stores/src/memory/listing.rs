//! What is read without being changed.

use scheduler_core::{
    BODY_VERSION, JobId, Listed, NodeId, RawJob, Run,
    store::{
        FoundRun, JobCounts, JobFilter, JobKey, JobPage, JobQuery, JobSearch, JobStateKind, NodeInfo, NodeRow, RunQuery,
    },
};

use super::index::{Node, Slot, Table};
use crate::kit::rules::{Runs, newer};

impl Table {
    pub(super) fn job(&self, id: &JobId) -> Option<Listed> {
        self.live_slot(id).map(|slot| self.listed(slot))
    }

    pub(super) fn jobs(&self, query: &JobQuery) -> Vec<Listed> {
        self.live_slots(query.after.as_ref()).take(query.limit).map(|slot| self.listed(slot)).collect()
    }

    pub(super) fn runs(&self, query: &RunQuery) -> Vec<Run> {
        let Some(expanded) = self.slot(query.uid).and_then(|slot| self.entry(slot).expanded()) else {
            return Vec::new();
        };
        let mut open = expanded.runs.open_runs().iter().rev().peekable();
        let mut ended = expanded.runs.ended().iter().rev().peekable();
        let newest_first = std::iter::from_fn(|| match (open.peek(), ended.peek()) {
            (Some(a), Some(b)) if a.id.seq > b.id.seq => open.next(),
            (_, Some(_)) => ended.next(),
            (_, None) => open.next(),
        });
        newest_first
            .filter(|run| query.before.is_none_or(|before| run.id.seq < before))
            .take(query.limit)
            .cloned()
            .collect()
    }

    /// A page of the jobs that are over and stay known. It looks at all of them, which are not many.
    pub(super) fn finished_page(&self, search: &JobSearch) -> JobPage {
        let mut found: Vec<Listed> = self.finished().filter(|job| search.is_ahead(job)).collect();
        found.sort_by(|a, b| search.order.compare(&JobKey::of(a), &JobKey::of(b)));
        let limit = search.limit.max(1);
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(JobKey::of).filter(|_| is_more);
        JobPage::new(found, next)
    }

    /// How many of them a filter means.
    pub(super) fn finished_counts(&self, filter: &JobFilter) -> JobCounts {
        let mut counts = JobCounts::default();
        self.finished().filter(|job| filter.matches(job)).for_each(|_| counts.add(JobStateKind::Finished, 1));
        counts
    }

    fn finished(&self) -> impl Iterator<Item = Listed> {
        self.retained_slots().map(|slot| self.listed(slot))
    }

    /// The nodes that have a row or run something, by name.
    pub(super) fn node_rows(&self) -> Vec<NodeRow> {
        let without_row = self.running.nodes().filter(|id| !self.nodes.contains_key(*id)).map(|id| (id, None));
        let known = self.nodes.iter().map(|(id, node)| (id, Some(node)));
        let row = |(id, node): (&NodeId, Option<&Node>)| {
            let row = NodeRow::new(id.clone(), node.and_then(|node| node.lease_until), self.running_on(id));
            row.with_info(node.map(|node| NodeInfo::clone(&node.info)).unwrap_or_default())
        };
        let mut rows: Vec<NodeRow> = known.chain(without_row).map(row).collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    }

    fn running_on(&self, node: &NodeId) -> Vec<FoundRun> {
        let run_of = |run: scheduler_core::RunId| {
            let entry = self.entry(self.slot(run.uid)?);
            let found = entry.expanded()?.runs.run(run.seq)?.clone();
            Some(FoundRun { job: entry.id.clone(), task: entry.shape().task.clone(), run: found })
        };
        self.running.of(node).filter_map(run_of).take(NodeRow::RUNNING_LIMIT).collect()
    }

    pub(super) fn listed(&self, slot: Slot) -> Listed {
        let entry = self.entry(slot);
        let row = entry.row();
        if row.body.v <= BODY_VERSION {
            return Listed::Job(row);
        }
        let body = serde_json::to_string(&row.body).unwrap_or_default();
        let (next_fire_time, reason) = (row.next_fire_time, newer(row.body.v));
        Listed::Raw(RawJob { uid: row.uid.to_string(), id: row.id, body, next_fire_time, reason })
    }
}
