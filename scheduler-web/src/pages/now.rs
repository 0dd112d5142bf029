//! The page `Now`: what runs, waits, is late and has failed, and whether the stores are in reach.

use askama::Template;
use chrono::TimeDelta;
use scheduler_core::{
    Verdict,
    store::{JobCounts, JobFilter, JobOrder, JobStateKind, RunFilter, RunStateKind},
};
use scheduler_runtime::Page as Of;

use super::{
    frame::Frame,
    links,
    lists::{StoreRow, store_rows},
    page as shown,
    rows::{JobRow, Mark, RunRow},
};
use crate::{
    answer::Answer,
    calls::{CountJobs, ListJobs, ReadNodes, ReadRuns},
    operation::Operation,
    operator::Operator,
    problem::Problem,
};

/// The most entries of a section.
const ENTRIES: usize = 20;

#[derive(Template)]
#[template(path = "now.html")]
struct Now<'a> {
    frame: &'a Frame<'a>,
    /// Why something is not shown, as when a store is away.
    problems: Vec<String>,
    counts: Option<Counts>,
    sections: Vec<Section>,
    late: Option<Vec<JobRow>>,
    next: Vec<JobRow>,
    stores: Option<Stores>,
}

struct Counts {
    jobs: JobCounts,
    active: String,
    paused: String,
    put_aside: String,
}

struct Stores {
    scheduler: Mark,
    rows: Vec<StoreRow>,
    nodes: usize,
}

/// Runs of one kind.
struct Section {
    id: &'static str,
    heading: &'static str,
    /// What is said if there are none.
    none: &'static str,
    all: String,
    runs: Vec<RunRow>,
    is_more: bool,
}

pub(super) async fn page(operator: &Operator<'_>, frame: &Frame<'_>) -> Result<Answer, Problem> {
    let mut now = Now {
        frame,
        problems: Vec::new(),
        counts: None,
        sections: Vec::new(),
        late: None,
        next: Vec::new(),
        stores: None,
    };
    if frame.may(Operation::ReadNodes) {
        let told = operator.perform(ReadNodes).await?;
        now.stores = Some(Stores {
            scheduler: super::lists::scheduler_mark(&told.health),
            rows: store_rows(frame, &told.health),
            nodes: told.nodes.len(),
        });
    }
    if frame.may(Operation::ListJobs) {
        let jobs = jobs(operator, frame).await;
        if let Some((counts, late, next)) = now.noted(jobs) {
            (now.counts, now.late, now.next) = (Some(counts), Some(late), next);
        }
    }
    if frame.may(Operation::ReadRuns) {
        let sections = runs(operator, frame).await;
        now.sections = now.noted(sections).unwrap_or_default();
    }
    shown(&now)
}

impl Now<'_> {
    /// What was found, or a word on why not: what else is there is shown all the same.
    fn noted<T>(&mut self, found: Result<T, Problem>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(problem) => {
                if !self.problems.contains(&problem.detail) {
                    self.problems.push(problem.detail);
                }
                None
            }
        }
    }
}

/// How many jobs there are, which are late, and which come next.
async fn jobs(operator: &Operator<'_>, frame: &Frame<'_>) -> Result<(Counts, Vec<JobRow>, Vec<JobRow>), Problem> {
    let counts = counts_of(operator.perform(CountJobs { store: None, filter: JobFilter::new() }).await?);
    let filter = JobFilter::new().state(JobStateKind::Active);
    let list = ListJobs { store: None, filter, order: JobOrder::NextFireTime, page: Of::first(ENTRIES) };
    let jobs = operator.perform(list).await?.jobs.into_iter().map(|job| JobRow::new(frame, job));
    let (late, mut next): (Vec<_>, Vec<_>) = jobs.filter(|job| job.next.is_some()).partition(|job| job.is_late);
    next.truncate(5);
    Ok((counts, late, next))
}

fn counts_of(jobs: JobCounts) -> Counts {
    let state = |state| links::to(&[("page", "jobs"), ("state", state)]);
    Counts { jobs, active: state("active"), paused: state("paused"), put_aside: links::page("put-aside") }
}

async fn runs(operator: &Operator<'_>, frame: &Frame<'_>) -> Result<Vec<Section>, Problem> {
    let mut sections = Vec::new();
    for (id, heading, none, state) in [
        ("running", "Running", "Nothing runs at the moment.", RunStateKind::Running),
        ("waiting", "Waiting", "Nothing waits: for a slot, a retry, or a node.", RunStateKind::Waiting),
    ] {
        let (runs, is_more) = found(operator, frame, RunFilter::new().state(state)).await?;
        let all = links::to(&[("page", "runs"), ("state", state.as_str())]);
        sections.push(Section { id, heading, none, all, runs, is_more });
    }
    let yesterday = frame.now().checked_sub_signed(TimeDelta::hours(24)).unwrap_or_else(|| frame.now());
    let (mut failed, mut is_more) = (Vec::new(), false);
    for verdict in [Verdict::Error, Verdict::Timeout, Verdict::Lost] {
        let (runs, more) = found(operator, frame, RunFilter::new().verdict(verdict).since(yesterday)).await?;
        failed.extend(runs);
        is_more |= more;
    }
    failed.sort_by_key(|run| std::cmp::Reverse(run.view.fire_time));
    is_more |= failed.len() > ENTRIES;
    failed.truncate(ENTRIES);
    sections.push(Section {
        id: "failed",
        heading: "Failed in the last 24 hours",
        none: "No run has failed, timed out or been lost.",
        all: links::to(&[("page", "runs"), ("verdict", "error")]),
        runs: failed,
        is_more,
    });
    Ok(sections)
}

async fn found(operator: &Operator<'_>, frame: &Frame<'_>, filter: RunFilter) -> Result<(Vec<RunRow>, bool), Problem> {
    let page = operator.perform(ReadRuns { store: None, filter, page: Of::first(ENTRIES) }).await?;
    Ok((page.runs.into_iter().map(|run| RunRow::new(frame, run)).collect(), page.next.is_some()))
}
