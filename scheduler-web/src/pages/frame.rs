//! What is around each page: its title, the way to the others, the time, and a word on what was done.

use std::borrow::{Borrow, Cow};

use chrono::{DateTime, Utc};

use super::{links, rows::When};
use crate::{assets, operation::Operation, operator::Operator};

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Now,
    Upcoming,
    Jobs,
    Job,
    Runs,
    PutAside,
    Nodes,
    /// The form that adds a job.
    Add,
    /// No page, but the stream that tells one that something has changed.
    Changes,
    None,
}

impl Page {
    pub(super) fn named(name: &str) -> Self {
        let pages = [
            Self::Now,
            Self::Upcoming,
            Self::Jobs,
            Self::Job,
            Self::Runs,
            Self::PutAside,
            Self::Nodes,
            Self::Add,
            Self::Changes,
        ];
        pages.into_iter().find(|page| page.name() == name).unwrap_or(Self::None)
    }

    /// The word in links.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Upcoming => "upcoming",
            Self::Jobs => "jobs",
            Self::Job => "job",
            Self::Runs => "runs",
            Self::PutAside => "put-aside",
            Self::Nodes => "nodes",
            Self::Add => "add",
            Self::Changes => "changes",
            Self::None => "none",
        }
    }

    /// The words for people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Upcoming => "Upcoming",
            Self::Jobs => "Jobs",
            Self::Job => "Job",
            Self::Runs => "Runs",
            Self::PutAside => "Put aside",
            Self::Nodes => "Nodes and stores",
            Self::Add => "Add a job",
            Self::Changes => "Changes",
            Self::None => "Not there",
        }
    }

    /// What has to be permitted for it to be of any use.
    fn operations(self) -> &'static [Operation] {
        match self {
            Self::Now => &[Operation::ListJobs, Operation::ReadRuns, Operation::ReadNodes],
            Self::Upcoming => &[Operation::ReadUpcoming],
            Self::Jobs => &[Operation::ListJobs],
            Self::Job => &[Operation::ReadJob],
            Self::Runs => &[Operation::ReadRuns],
            Self::PutAside => &[Operation::ReadPutAside],
            Self::Nodes => &[Operation::ReadNodes],
            Self::Add => &[Operation::AddJob],
            Self::Changes => &[Operation::WatchChanges],
            Self::None => &[],
        }
    }
}

/// A link to another page.
pub(super) struct Way {
    pub(super) label: &'static str,
    pub(super) link: String,
    pub(super) is_here: bool,
}

/// What is around a page.
pub(super) struct Frame<'a> {
    operator: &'a Operator<'a>,
    pub(super) title: &'a str,
    pub(super) page: Page,
    pub(super) ways: Vec<Way>,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) sign: String,
    /// The link to the first page.
    pub(super) home: String,
    /// The link to the stream of changes, if it is permitted.
    pub(super) changes: Option<String>,
    now: DateTime<Utc>,
    pub(super) clock: When,
    pub(super) notice: Option<Cow<'static, str>>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(operator: &'a Operator<'a>, title: &'a str, page: Page) -> Self {
        let listed = [Page::Now, Page::Upcoming, Page::Jobs, Page::Runs, Page::PutAside, Page::Nodes];
        let is_of_use = |page: &Page| page.operations().iter().any(|it| operator.permits(*it));
        let ways = listed.into_iter().filter(is_of_use).map(|it| Way {
            label: it.label(),
            link: links::page(it.name()),
            is_here: it == page || it == Page::Jobs && matches!(page, Page::Job | Page::Add),
        });
        let asset = |name| links::to(&[("asset", name), ("v", assets::version())]);
        let now = operator.now();
        Self {
            operator,
            title,
            page,
            ways: ways.collect(),
            style: asset("style.css"),
            script: asset("script.js"),
            sign: asset("sign.svg"),
            home: links::page(Page::Now.name()),
            changes: operator.permits(Operation::WatchChanges).then(|| links::page(Page::Changes.name())),
            now,
            clock: When::new(now, now),
            notice: None,
        }
    }

    /// As it is at a path below the dashboard's, where there is no page: its links lead up from there.
    pub(super) fn below(mut self, path: &str) -> Self {
        let up = match path.matches('/').count() {
            0 | 1 => "./".to_owned(),
            parts => "../".repeat(parts - 1),
        };
        let links = [&mut self.style, &mut self.script, &mut self.sign, &mut self.home];
        for link in links.into_iter().chain(&mut self.changes).chain(self.ways.iter_mut().map(|way| &mut way.link)) {
            link.insert_str(0, &up);
        }
        self
    }

    /// With a word on what was done, and to how many jobs, which the address says. Only these words and a number, and no text of the
    /// address, are shown.
    pub(super) fn with_notice(self, done: Option<&str>, count: Option<&str>) -> Self {
        let operation = Operation::ALL.into_iter().find(|it| Some(it.name()) == done);
        let count = count.and_then(|count| count.parse::<u64>().ok());
        let notice = operation.and_then(|operation| {
            if let Some(count) = count {
                let (jobs, are) = if count == 1 { ("job", "is") } else { ("jobs", "are") };
                return match operation {
                    Operation::RunJob => Some(format!("{count} {jobs} {are} asked to run now.").into()),
                    Operation::PauseJob => Some(format!("{count} {jobs} {are} paused now.").into()),
                    Operation::ResumeJob => Some(format!("{count} {jobs} {are} resumed.").into()),
                    Operation::RemoveJob => Some(format!("{count} {jobs} {are} removed.").into()),
                    _ => None,
                };
            }
            Some(Cow::Borrowed(match operation {
                Operation::RunJob => "It has been asked to run now. Its run is below as soon as a node has taken it.",
                Operation::PauseJob => "It is paused.",
                Operation::ResumeJob => "It goes on.",
                Operation::RescheduleJob => "It has another trigger.",
                Operation::AddJob => "The job is added.",
                Operation::ChangeJob => "It is changed. Runs that have begun go on as they were.",
                Operation::RemoveJob => "The job is removed.",
                Operation::CancelRun => "The run has been asked to stop.",
                Operation::RemovePutAside => "The job that was put aside is removed.",
                _ => return None,
            }))
        });
        Self { notice, ..self }
    }

    pub(super) fn may(&self, operation: impl Borrow<Operation>) -> bool {
        self.operator.permits(*operation.borrow())
    }

    pub(super) fn who(&self) -> Option<&str> {
        self.operator.who()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub(super) fn when(&self, at: DateTime<Utc>) -> When {
        When::new(self.now, at)
    }
}
