//! One job in memory: compact until it is claimed for the first time.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use scheduler_core::{JobId, JobRow, Run, RunState, Uid};

use super::shape::{Definition, Shape};
use crate::kit::rules::{Head, Runs, is_time_to_prune};

/// A job.
#[derive(Debug)]
pub(super) struct Entry {
    uid: [u64; 2], // in halves, since a u128 would align the whole entry to 16 bytes
    pub(super) id: JobId,
    pub(super) definition: Definition,
    form: Form,
}

/// How a job is kept.
#[derive(Debug)]
enum Form {
    /// The job waits for its first claim: two times are all that differs from a new job.
    Compact { next_fire_time: Stamp, due: Stamp },
    /// The job has been claimed or changed.
    Expanded(Box<Expanded>),
}

/// A job that has been claimed or changed, with its runs.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) head: Head,
    pub(super) runs: JobRuns,
}

/// The runs of a job.
#[derive(Debug, Default)]
pub(super) struct JobRuns {
    /// Those that have not ended, by number.
    open: Vec<Run>,
    /// Those that have ended, by number.
    ended: VecDeque<Run>,
    /// Whether enough rows have come since the last pruning.
    is_to_be_pruned: bool,
}

/// An optional time in eight bytes.
#[derive(Debug, Clone, Copy)]
struct Stamp(i64);

impl Entry {
    pub(super) fn new(row: &JobRow, definition: Definition) -> Self {
        let head = Head::inserted(row);
        let new = Head { retention: head.retention, ..Head::active(head.next_fire_time, head.due) };
        let form = if head == new {
            Form::Compact { next_fire_time: Stamp::new(head.next_fire_time), due: Stamp::new(head.due) }
        } else {
            Form::Expanded(Box::new(Expanded { head, runs: JobRuns::default() }))
        };
        Self { uid: [(row.uid.0 >> 64) as u64, row.uid.0 as u64], id: row.id.clone(), definition, form }
    }

    pub(super) fn uid(&self) -> Uid {
        Uid(u128::from(self.uid[0]) << 64 | u128::from(self.uid[1]))
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.definition.shape
    }

    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        match &self.form {
            Form::Compact { due, .. } => due.time(),
            Form::Expanded(expanded) => expanded.head.due,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.expanded().is_none_or(|expanded| expanded.head.state.is_live())
    }

    /// The head and the runs, unless nothing has touched the job yet.
    pub(super) fn expanded(&self) -> Option<&Expanded> {
        match &self.form {
            Form::Compact { .. } => None,
            Form::Expanded(expanded) => Some(expanded),
        }
    }

    /// The head and the runs, to be changed.
    pub(super) fn expand(&mut self) -> &mut Expanded {
        if let Form::Compact { next_fire_time, due } = self.form {
            let head = self.compact_head(next_fire_time, due);
            self.form = Form::Expanded(Box::new(Expanded { head, runs: JobRuns::default() }));
        }
        match &mut self.form {
            Form::Expanded(expanded) => expanded,
            Form::Compact { .. } => unreachable!("the compact form has just been replaced"),
        }
    }

    fn compact_head(&self, next_fire_time: Stamp, due: Stamp) -> Head {
        Head { retention: self.shape().options.retention, ..Head::active(next_fire_time.time(), due.time()) }
    }

    /// Gives the job another definition.
    pub(super) fn define(&mut self, definition: Definition) {
        self.definition = definition;
        let retention = self.shape().options.retention;
        if let Form::Expanded(expanded) = &mut self.form {
            expanded.head.retention = retention;
        }
    }

    /// Until when the job stays known, if it is over.
    pub(super) fn retained_until(&self) -> Option<DateTime<Utc>> {
        self.expanded().and_then(|expanded| expanded.head.retained_until)
    }

    pub(super) fn row(&self) -> JobRow {
        let compact;
        let head = match &self.form {
            Form::Expanded(expanded) => &expanded.head,
            Form::Compact { next_fire_time, due } => {
                compact = self.compact_head(*next_fire_time, *due);
                &compact
            }
        };
        JobRow {
            uid: self.uid(),
            id: self.id.clone(),
            body: self.definition.body(),
            state: head.state.clone(),
            next_fire_time: head.next_fire_time,
            due: head.due,
            last_end: head.last_end,
            blocked: head.blocked,
            revision: head.revision,
            fence: head.fence,
            last_seq: head.last_seq,
            totals: head.totals,
        }
    }
}

impl JobRuns {
    /// The runs that have ended, by number.
    pub(super) fn ended(&self) -> &VecDeque<Run> {
        &self.ended
    }

    /// The runs that have not ended, by number.
    pub(super) fn open_runs(&self) -> &[Run] {
        &self.open
    }

    /// Keeps the newest `history` ended runs, if enough have come since the last time.
    pub(super) fn prune(&mut self, history: u32) {
        if std::mem::take(&mut self.is_to_be_pruned) {
            let surplus = self.ended.len().saturating_sub(history as usize);
            self.ended.drain(..surplus);
        }
    }
}

impl Runs for JobRuns {
    fn run(&self, seq: u64) -> Option<&Run> {
        if let Ok(at) = self.open.binary_search_by_key(&seq, |run| run.id.seq) {
            return Some(&self.open[at]);
        }
        self.ended.binary_search_by_key(&seq, |run| run.id.seq).ok().map(|at| &self.ended[at])
    }

    fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.iter()
    }

    fn put(&mut self, run: Run) {
        let at = self.open.binary_search_by_key(&run.id.seq, |run| run.id.seq);
        match (run.state, at) {
            (RunState::Waiting(_) | RunState::Running, Ok(at)) => self.open[at] = run,
            (RunState::Waiting(_) | RunState::Running, Err(at)) => self.open.insert(at, run),
            (RunState::Ended(_), at) => {
                if let Ok(at) = at {
                    self.open.remove(at);
                }
                self.is_to_be_pruned |= is_time_to_prune(&run);
                let at = self.ended.partition_point(|ended| ended.id.seq < run.id.seq);
                self.ended.insert(at, run);
            }
        }
    }
}

impl Stamp {
    fn new(time: Option<DateTime<Utc>>) -> Self {
        Self(time.map_or(i64::MIN, |time| time.timestamp_micros()))
    }

    fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }
}
