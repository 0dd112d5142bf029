//! What is read without being changed.

use scheduler_core::{
    BODY_VERSION, JobId, Listed, RawJob, Run,
    store::{JobQuery, RunQuery},
};

use super::index::{Slot, Table};
use crate::kit::rules::newer;

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

    pub(super) fn listed(&self, slot: Slot) -> Listed {
        let entry = self.entry(slot);
        let row = entry.row();
        if row.body.v <= BODY_VERSION {
            return Listed::Job(row);
        }
        let body = serde_json::to_string(&row.body).unwrap_or_default();
        Listed::Raw(RawJob { uid: row.uid.to_string(), id: row.id, body, reason: newer(row.body.v) })
    }
}
