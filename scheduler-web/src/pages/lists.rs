//! The pages that are lists: jobs, runs, what is put aside, nodes and stores.

use askama::Template;
use scheduler_core::{
    Verdict,
    store::{JobCounts, JobFilter, JobStateKind},
};
use scheduler_runtime::{Health, LoopState, SchedulerState, StoreLink};

use super::{
    frame::Frame,
    groups, links, page as shown,
    rows::{Choice, JobRow, Mark, RunRow, When, choices, next_page},
};
use crate::{
    answer::Answer,
    calls::{CountJobs, JobsPage, ListJobs, ReadNodes, ReadPutAside, ReadRuns},
    operation::Operation,
    operator::Operator,
    params::Params,
    problem::Problem,
    views::{NodeView, PutAsideView},
};

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs<'a> {
    frame: &'a Frame<'a>,
    /// None where they would be counted one by one.
    counts: Option<JobCounts>,
    /// To the same page with the number of all of them.
    counted: String,
    text: &'a str,
    task: &'a str,
    tag: &'a str,
    states: Vec<Choice>,
    orders: Vec<Choice>,
    is_filtered: bool,
    rows: Vec<JobRow>,
    /// What can be done to many of them, by its name and its word.
    many: Vec<(&'static str, &'static str)>,
    /// What the form goes to that does it.
    action: String,
    unreadable: usize,
    put_aside: String,
    all: String,
    next: Option<String>,
}

pub(super) async fn jobs(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    let filter = params.job_filter()?;
    let is_filtered = filter != JobFilter::new();
    let list =
        ListJobs { store: params.store(), filter: filter.clone(), order: params.job_order()?, page: params.page()? };
    let found = operator.perform(list).await?;
    let is_whole = found.next.is_none() && params.one("cursor").is_none();
    // Stores have the number of all jobs, and of those in a state, at hand. Others are counted one by one, on demand.
    let is_at_hand = filter.state.map_or_else(JobFilter::new, |state| JobFilter::new().state(state)) == filter;
    let counts = match is_whole {
        true => Some(count(&found)),
        false if is_at_hand || params.one("count") == Some("all") => {
            Some(operator.perform(CountJobs { store: params.store(), filter }).await?)
        }
        false => None,
    };
    // Nothing can be done to jobs that are over.
    let is_over = params.one("state") == Some(JobStateKind::Finished.as_str());
    let many = groups::OPERATIONS.into_iter().filter(|it| !is_over && frame.may(it));
    shown(&Jobs {
        frame,
        many: many.map(|it| (it.name(), groups::words(it).0)).collect(),
        action: groups::list(params, &[]),
        counted: groups::list(params, &[("count", "all")]),
        counts,
        text: params.one("text").unwrap_or_default(),
        task: params.one("task").unwrap_or_default(),
        tag: params.one("tag").unwrap_or_default(),
        states: choices(&JobStateKind::ALL.map(JobStateKind::as_str), params.one("state")),
        orders: choices(&["next_fire_time", "id"], params.one("order")),
        is_filtered,
        rows: found.jobs.into_iter().map(|job| JobRow::new(frame, job)).collect(),
        unreadable: found.unreadable.len(),
        put_aside: links::page("put-aside"),
        all: links::page("jobs"),
        next: next_page(params, &groups::OF_LIST, "jobs", found.next.as_ref()),
    })
}

/// How many jobs a page has, in each state.
fn count(page: &JobsPage) -> JobCounts {
    let of = |state: JobStateKind| page.jobs.iter().filter(|job| job.state == state.as_str()).count() as u64;
    let mut counts = JobCounts::default();
    counts.active = of(JobStateKind::Active);
    counts.paused = of(JobStateKind::Paused);
    counts.kept = of(JobStateKind::Kept);
    counts.quarantined = of(JobStateKind::Quarantined) + page.unreadable.len() as u64;
    counts.finished = of(JobStateKind::Finished);
    counts
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs<'a> {
    frame: &'a Frame<'a>,
    id: &'a str,
    task: &'a str,
    node: &'a str,
    since: &'a str,
    until: &'a str,
    states: Vec<Choice>,
    verdicts: Vec<Choice>,
    runs: Vec<RunRow>,
    all: String,
    next: Option<String>,
}

pub(super) async fn runs(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    let read = ReadRuns { store: params.store(), filter: params.run_filter()?, page: params.page()? };
    let found = operator.perform(read).await?;
    let names = ["id", "task", "node", "state", "verdict", "since", "until", "store", "limit"];
    let field = |name| params.one(name).unwrap_or_default();
    shown(&Runs {
        frame,
        id: field("id"),
        task: field("task"),
        node: field("node"),
        since: field("since"),
        until: field("until"),
        states: choices(&["waiting", "running", "ended"], params.one("state")),
        verdicts: choices(&Verdict::ALL.map(Verdict::as_str), params.one("verdict")),
        runs: found.runs.into_iter().map(|run| RunRow::new(frame, run)).collect(),
        all: links::page("runs"),
        next: next_page(params, &names, "runs", found.next.as_ref()),
    })
}

#[derive(Template)]
#[template(path = "put_aside.html")]
struct PutAside<'a> {
    frame: &'a Frame<'a>,
    rows: Vec<PutAsideRow>,
    next: Option<String>,
}

struct PutAsideRow {
    view: PutAsideView,
    /// To the job, if it can be read.
    link: Option<String>,
    /// What the form goes to that removes it.
    action: String,
}

pub(super) async fn put_aside(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    let found = operator.perform(ReadPutAside { store: params.store(), page: params.page()? }).await?;
    let row = |view: PutAsideView| PutAsideRow {
        link: view.task.as_ref().map(|_| links::job(&view.store, &view.id)),
        action: links::to(&[("page", "put-aside"), ("store", &view.store), ("id", &view.id)]),
        view,
    };
    let rows = found.put_aside.into_iter().map(row).collect();
    let next = next_page(params, &["store", "limit"], "put-aside", found.next.as_ref());
    shown(&PutAside { frame, rows, next })
}

#[derive(Template)]
#[template(path = "nodes.html")]
struct Nodes<'a> {
    frame: &'a Frame<'a>,
    scheduler: Mark,
    node: Option<String>,
    failure: Option<&'a str>,
    stores: Vec<StoreRow>,
    nodes: Vec<NodeRow>,
    nodes_error: Option<&'a str>,
}

/// A store, as this node sees it.
pub(super) struct StoreRow {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) error: Option<String>,
    pub(super) since: Option<When>,
    pub(super) running: usize,
    pub(super) waiting: usize,
    pub(super) unreported: usize,
    pub(super) next_due: Option<When>,
}

struct NodeRow {
    view: NodeView,
    is_this_one: bool,
    lease: Option<When>,
    runs: String,
}

pub(super) async fn nodes(operator: &Operator<'_>, frame: &Frame<'_>) -> Result<Answer, Problem> {
    let told = operator.perform(ReadNodes).await?;
    let health = &told.health;
    let node = health.node.as_ref().map(ToString::to_string);
    let rows = told.nodes.into_iter().map(|view| NodeRow {
        is_this_one: node.as_deref() == Some(view.id.as_str()),
        lease: view.lease_until.map(|until| frame.when(until)),
        runs: links::to(&[("page", "runs"), ("node", &view.id)]),
        view,
    });
    shown(&Nodes {
        frame,
        scheduler: scheduler_mark(health),
        failure: health.failure.as_deref(),
        stores: store_rows(frame, health),
        nodes: rows.collect(),
        nodes_error: told.nodes_error.as_deref(),
        node,
    })
}

/// What the scheduler is doing, in a word.
pub(super) fn scheduler_mark(health: &Health) -> Mark {
    Mark::of(match (health.event_loop, health.state) {
        (LoopState::Stuck, _) => "stuck",
        (LoopState::Gone, _) => "gone",
        (_, Some(SchedulerState::Running)) => "running",
        (_, Some(SchedulerState::Paused)) => "paused",
        (_, Some(SchedulerState::Stopped)) => "stopped",
        _ => "shut down",
    })
}

pub(super) fn store_rows(frame: &Frame<'_>, health: &Health) -> Vec<StoreRow> {
    let rows = health.stores.iter().map(|store| {
        let (word, since, error) = match &store.link {
            StoreLink::Untried => ("untried", None, None),
            StoreLink::Up => ("up", None, None),
            StoreLink::Silent { since } => ("silent", Some(*since), None),
            StoreLink::Down { since, error } => ("down", Some(*since), Some(error.clone())),
            StoreLink::Unusable { since, error } => ("unusable", Some(*since), Some(error.clone())),
            _ => ("unknown", None, None),
        };
        StoreRow {
            name: store.name.to_string(),
            mark: Mark::of(word),
            error,
            since: since.map(|since| frame.when(since)),
            running: store.running,
            waiting: store.waiting,
            unreported: store.unreported,
            next_due: store.next_due.map(|due| frame.when(due)),
        }
    });
    rows.collect()
}
