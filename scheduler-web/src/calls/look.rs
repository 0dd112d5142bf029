//! The operations that read.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    JobId, JobState, StoreName, Trigger,
    store::{JobCounts, JobFilter, JobOrder, JobStateKind, RunFilter},
};
use scheduler_runtime::{Cursor, Page};
use serde::{Serialize, Serializer};

use crate::{
    changes::Changes,
    clock_changes::{self, ClockChange},
    operation::Operation,
    operator::{At, Call, Desk},
    problem::Problem,
    upcoming::{self, Listed, Upcoming},
    views::{ExplanationView, JobView, NodeView, NodesView, PutAsideView, RunView},
};

/// A page of jobs.
#[derive(Debug, Serialize)]
pub(crate) struct JobsPage {
    pub(crate) jobs: Vec<JobView>,
    /// The ids of those on the page that cannot be read.
    pub(crate) unreadable: Vec<String>,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

pub(crate) struct ListJobs {
    pub(crate) store: Option<StoreName>,
    pub(crate) filter: JobFilter,
    pub(crate) order: JobOrder,
    pub(crate) page: Page,
}

impl Call for ListJobs {
    const OPERATION: Operation = Operation::ListJobs;
    type Answer = JobsPage;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobsPage, Problem> {
        let scheduler = desk.scheduler_in(self.store.as_ref());
        let found = scheduler.search_jobs(self.filter, self.order, self.page).await?;
        Ok(JobsPage {
            jobs: found.jobs.iter().map(|job| desk.view(job)).collect(),
            unreadable: found.unreadable.iter().map(|(_, raw)| raw.id.to_string()).collect(),
            next: found.next,
        })
    }
}

pub(crate) struct CountJobs {
    pub(crate) store: Option<StoreName>,
    pub(crate) filter: JobFilter,
}

impl Call for CountJobs {
    const OPERATION: Operation = Operation::ListJobs;
    type Answer = JobCounts;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobCounts, Problem> {
        Ok(desk.scheduler_in(self.store.as_ref()).count_jobs(self.filter).await?)
    }
}

/// A job with its next fire times.
#[derive(Debug, Serialize)]
pub(crate) struct JobDetail {
    #[serde(flatten)]
    pub(crate) job: JobView,
    pub(crate) fire_times: Vec<DateTime<Utc>>,
    /// Why the fire times cannot be told.
    pub(crate) trigger_error: Option<String>,
    /// What the changes of the clocks in the next 13 months do to it.
    pub(crate) clock_changes: Vec<ClockChange>,
}

pub(crate) struct ReadJob {
    pub(crate) at: At,
    pub(crate) fire_times: usize,
}

impl Call for ReadJob {
    const OPERATION: Operation = Operation::ReadJob;
    type Answer = JobDetail;

    fn about(&self) -> Option<&JobId> {
        Some(&self.at.id)
    }

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<JobDetail, Problem> {
        let job = desk.job(&self.at).await?;
        let (fire_times, trigger_error) = match job.fire_times(self.fire_times) {
            Ok(fire_times) => (fire_times, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let clock_changes = match job.state {
            JobState::Active | JobState::Paused => clock_changes::of(&job.body.trigger, desk.scheduler.now()),
            _ => Vec::new(),
        };
        Ok(JobDetail { job: desk.view(&job), fire_times, trigger_error, clock_changes })
    }
}

pub(crate) struct ExplainJob {
    pub(crate) at: At,
    pub(crate) time: DateTime<Utc>,
}

impl Call for ExplainJob {
    const OPERATION: Operation = Operation::ExplainJob;
    type Answer = ExplanationView;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<ExplanationView, Problem> {
        let job = desk.job(&self.at).await?;
        let explanation = job.explain(self.time).await?;
        Ok(ExplanationView::of(explanation, desk.hidden(&job.body.task)))
    }
}

pub(crate) struct ReadUpcoming {
    pub(crate) hours: usize,
    pub(crate) limit: usize,
    pub(crate) listed: Listed,
}

impl Call for ReadUpcoming {
    const OPERATION: Operation = Operation::ReadUpcoming;
    type Answer = Upcoming;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<Upcoming, Problem> {
        upcoming::read(&desk.scheduler, self.hours, self.limit, self.listed).await
    }
}

/// When a job would run with another trigger.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    pub(crate) trigger: String,
    pub(crate) trigger_in_words: String,
    #[serde(serialize_with = "zone_name")]
    pub(crate) zone: Option<Tz>,
    pub(crate) fire_times: Vec<DateTime<Utc>>,
    /// What may be meant otherwise.
    pub(crate) hints: Vec<String>,
    /// What the changes of the clocks in the next 13 months would do to it.
    pub(crate) clock_changes: Vec<ClockChange>,
}

pub(crate) struct PreviewTrigger {
    /// The job whose trigger it would be: an interval, or an `H` of a cron expression, goes by it.
    pub(crate) id: JobId,
    pub(crate) trigger: Trigger,
    pub(crate) fire_times: usize,
}

impl Call for PreviewTrigger {
    const OPERATION: Operation = Operation::PreviewTrigger;
    type Answer = Preview;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<Preview, Problem> {
        let Self { id, trigger, fire_times } = self;
        let goes_by = trigger.zone();
        Ok(Preview {
            trigger: trigger.to_string(),
            trigger_in_words: trigger.describe(),
            zone: goes_by.or_else(|| Some(desk.scheduler.timezone())),
            hints: trigger.lint(),
            clock_changes: {
                let now = desk.scheduler.now();
                clock_changes::of(&trigger.clone().bind(now, desk.scheduler.timezone(), id.as_str()), now)
            },
            fire_times: desk.scheduler.preview(id, trigger, fire_times)?,
        })
    }
}

/// A page of runs.
#[derive(Debug, Serialize)]
pub(crate) struct RunsPage {
    pub(crate) runs: Vec<RunView>,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

pub(crate) struct ReadRuns {
    pub(crate) store: Option<StoreName>,
    pub(crate) filter: RunFilter,
    pub(crate) page: Page,
}

impl Call for ReadRuns {
    const OPERATION: Operation = Operation::ReadRuns;
    type Answer = RunsPage;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<RunsPage, Problem> {
        let found = desk.scheduler_in(self.store.as_ref()).search_runs(self.filter, self.page).await?;
        let runs = found.runs.iter().map(|(store, run)| RunView::of(store, run, desk.hidden(&run.task)));
        Ok(RunsPage { runs: runs.collect(), next: found.next })
    }
}

/// As [`ReadRuns`], of one job, which has to be there.
pub(crate) struct ReadHistory {
    pub(crate) at: At,
    pub(crate) filter: RunFilter,
    pub(crate) page: Page,
}

impl Call for ReadHistory {
    const OPERATION: Operation = Operation::ReadRuns;
    type Answer = RunsPage;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<RunsPage, Problem> {
        let job = desk.job(&self.at).await?;
        let filter = self.filter.job(job.id.clone());
        ReadRuns { store: Some(job.store().clone()), filter, page: self.page }.perform(desk, None).await
    }
}

pub(crate) struct ReadNodes;

impl Call for ReadNodes {
    const OPERATION: Operation = Operation::ReadNodes;
    type Answer = NodesView;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<NodesView, Problem> {
        let health = desk.scheduler.health().await;
        // That a store is away is what this is to show.
        let (nodes, nodes_error) = match desk.scheduler.nodes().await {
            Ok(nodes) => (nodes, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let nodes = nodes.into_iter().map(|(store, node)| NodeView::of(&store, node)).collect();
        Ok(NodesView { health, nodes, nodes_error })
    }
}

pub(crate) struct WatchChanges;

impl Call for WatchChanges {
    const OPERATION: Operation = Operation::WatchChanges;
    type Answer = Changes;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<Changes, Problem> {
        Ok(desk.streams.open(&desk.scheduler))
    }
}

/// A page of jobs that are put aside.
#[derive(Debug, Serialize)]
pub(crate) struct PutAsidePage {
    pub(crate) put_aside: Vec<PutAsideView>,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

pub(crate) struct ReadPutAside {
    pub(crate) store: Option<StoreName>,
    pub(crate) page: Page,
}

impl Call for ReadPutAside {
    const OPERATION: Operation = Operation::ReadPutAside;
    type Answer = PutAsidePage;

    async fn perform(self, desk: &Desk, _: Option<&str>) -> Result<PutAsidePage, Problem> {
        let filter = JobFilter::new().state(JobStateKind::Quarantined);
        let scheduler = desk.scheduler_in(self.store.as_ref());
        let found = scheduler.search_jobs(filter, JobOrder::Id, self.page).await?;
        let jobs = found.jobs.iter().map(|job| PutAsideView::of_job(desk.view(job)));
        let hidden = desk.hidden_of_raw();
        let raw = found.unreadable.iter().map(|(store, raw)| PutAsideView::of_raw(store, raw, hidden));
        let mut put_aside: Vec<PutAsideView> = jobs.chain(raw).collect();
        put_aside.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(PutAsidePage { put_aside, next: found.next })
    }
}

fn zone_name<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
    zone.map(Tz::name).serialize(serializer)
}
