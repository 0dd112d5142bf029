//! One job in memory: small until it is claimed for the first time.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use scheduler_core::{JobId, JobRow, Run, RunState, Uid};

use super::shape::{Definition, Shape};
use crate::head::{Head, Runs, is_time_to_prune};

/// A job.
#[derive(Debug)]
pub(super) struct Entry {
    uid: [u64; 2], // in halves, since a u128 would align the whole entry to 16 bytes
    pub(super) id: JobId,
    pub(super) definition: Definition,
    life: Life,
}

/// How far a job is.
#[derive(Debug)]
enum Life {
    /// It waits for its first claim.
    Fresh { next_fire_time: Stamp, due: Stamp },
    /// It has been touched.
    Lived(Box<Lived>),
}

/// A job that has been claimed or changed, with its runs.
#[derive(Debug)]
pub(super) struct Lived {
    pub(super) head: Head,
    pub(super) book: Book,
}

/// The runs of a job.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Those that have not ended, by number.
    open: Vec<Run>,
    /// Those that have ended, by number.
    ended: VecDeque<Run>,
    /// Whether enough rows have come since the last pruning.
    is_full: bool,
}

/// An optional time in eight bytes.
#[derive(Debug, Clone, Copy)]
struct Stamp(i64);

impl Entry {
    pub(super) fn new(row: &JobRow, definition: Definition) -> Self {
        let head = Head::inserted(row);
        let life = if head == Head::active(head.next_fire_time, head.due) {
            Life::Fresh { next_fire_time: Stamp::new(head.next_fire_time), due: Stamp::new(head.due) }
        } else {
            Life::Lived(Box::new(Lived { head, book: Book::default() }))
        };
        Self { uid: [(row.uid.0 >> 64) as u64, row.uid.0 as u64], id: row.id.clone(), definition, life }
    }

    pub(super) fn uid(&self) -> Uid {
        Uid(u128::from(self.uid[0]) << 64 | u128::from(self.uid[1]))
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.definition.shape
    }

    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        match &self.life {
            Life::Fresh { due, .. } => due.time(),
            Life::Lived(lived) => lived.head.due,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.lived().is_none_or(|lived| lived.head.state.is_live())
    }

    /// The head and the runs, unless nothing has touched the job yet.
    pub(super) fn lived(&self) -> Option<&Lived> {
        match &self.life {
            Life::Fresh { .. } => None,
            Life::Lived(lived) => Some(lived),
        }
    }

    /// The head and the runs, to be changed.
    pub(super) fn live_on(&mut self) -> &mut Lived {
        if let Life::Fresh { next_fire_time, due } = self.life {
            let head = Head::active(next_fire_time.time(), due.time());
            self.life = Life::Lived(Box::new(Lived { head, book: Book::default() }));
        }
        match &mut self.life {
            Life::Lived(lived) => lived,
            Life::Fresh { .. } => unreachable!("it has just been replaced"),
        }
    }

    pub(super) fn row(&self) -> JobRow {
        let fresh;
        let head = match &self.life {
            Life::Lived(lived) => &lived.head,
            Life::Fresh { next_fire_time, due } => {
                fresh = Head::active(next_fire_time.time(), due.time());
                &fresh
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

impl Book {
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
        if std::mem::take(&mut self.is_full) {
            let surplus = self.ended.len().saturating_sub(history as usize);
            self.ended.drain(..surplus);
        }
    }
}

impl Runs for Book {
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
                self.is_full |= is_time_to_prune(&run);
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
