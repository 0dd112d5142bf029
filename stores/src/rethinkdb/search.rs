//! Where the indexes of the jobs' table have jobs, for searches.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, Tags,
    store::{JobCounts, JobKey, JobOrder, JobStateKind, StoreError},
};
use serde_json::{Value, json};
use unreql::{
    Command,
    cmd::options::{BetweenOptions, Status},
    func, r,
};

use super::{
    Database,
    client::array,
    rows::{TAGS, UID, restored},
    schema::{LIVE_ID, NEVER, NEXT, OVER, STATE, TASK},
};
use crate::kit::{GroupFinder, JobFinder, JobGroup, JobPlace};

#[async_trait]
impl JobFinder for &Database {
    async fn group(&self, group: JobGroup<'_>, tags: &Tags, limit: usize) -> Result<Option<Vec<JobPlace>>, StoreError> {
        self.places(self.all_of(group).limit(limit), tags).await.map(Some)
    }

    async fn walk(
        &self,
        order: JobOrder,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let jobs = match (order, after) {
            (JobOrder::Id, after) => {
                let (from, bound) = behind(prefix, after);
                self.ahead(LIVE_ID, r.expr(from), bound, r.maxval())
            }
            (JobOrder::NextFireTime, None) => self.ahead(NEXT, r.minval(), Status::Closed, r.maxval()),
            (JobOrder::NextFireTime, Some(after)) => {
                let time = after.next_fire_time.map_or_else(|| json!(NEVER), |time| json!(time.timestamp_micros()));
                self.ahead(NEXT, r.expr(json!([time, after.id.as_str()])), Status::Open, r.maxval())
            }
        };
        self.places(jobs.limit(limit), tags).await
    }

    async fn walk_finished(
        &self,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let after = after.filter(|after| after.id.as_str() >= prefix);
        let (from, bound) = match after {
            Some(after) => (json!([after.id.as_str(), after.uid.to_string()]), Status::Open),
            None => (json!([prefix]), Status::Closed),
        };
        let found = self.places(self.ahead(OVER, r.expr(from), bound, r.maxval()).limit(limit), tags).await?;
        let over = |place| JobPlace { next_fire_time: None, state: JobStateKind::Finished, ..place };
        Ok(found.into_iter().map(over).collect())
    }

    async fn counts(&self, group: Option<JobGroup<'_>>) -> Result<Option<JobCounts>, StoreError> {
        let rare = JobStateKind::LIVE.into_iter().filter(|kind| *kind != JobStateKind::Active);
        let all = || group.map_or_else(|| self.between(LIVE_ID, r.expr(""), r.maxval()), |group| self.all_of(group));
        let in_state = |kind: JobStateKind| match group {
            None => self.all_of(JobGroup::State(kind)),
            Some(_) => {
                let word = kind.as_str();
                all().filter(func!(move |job| job.g("state").default("active").eq(word)))
            }
        };
        let queries = rare.clone().map(in_state).chain([all()]);
        let found = self.client.rows(array(queries.map(|jobs| jobs.count(())))).await?;
        let mut sizes = found.iter().map(|size| size.as_f64().unwrap_or_default() as u64);
        let mut counts = JobCounts::default();
        for kind in rare {
            counts.add(kind, sizes.next().unwrap_or_default());
        }
        // A document of another program needs no state to be active.
        counts.add(JobStateKind::Active, sizes.next().unwrap_or_default().saturating_sub(counts.total()));
        Ok(Some(counts))
    }

    async fn count_finished(&self) -> Result<u64, StoreError> {
        let size = self.client.value(self.between(OVER, r.expr(json!([""])), array([r.maxval()])).count(())).await?;
        Ok(size.as_f64().unwrap_or_default() as u64)
    }

    fn group_finder(&self) -> Option<&dyn GroupFinder> {
        Some(self)
    }
}

#[async_trait]
impl GroupFinder for &Database {
    /// Those with a tag are in no order, since a job has several; and few of them are read sooner than all of a task.
    async fn narrowest(&self, groups: &[JobGroup<'_>]) -> Result<Option<usize>, StoreError> {
        if groups.iter().any(|group| matches!(group, JobGroup::Tag(_))) {
            return Ok(None);
        }
        let of_state = groups.iter().position(|group| matches!(group, JobGroup::State(_)));
        Ok(of_state.or_else(|| (!groups.is_empty()).then_some(0)))
    }

    async fn walk_group(
        &self,
        group: JobGroup<'_>,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let (from, bound) = behind(prefix, after);
        let (index, word) = match group {
            JobGroup::Tag(_) => return Ok(Vec::new()),
            JobGroup::Task(task) => (TASK, task.as_str()),
            JobGroup::State(kind) => (STATE, kind.as_str()),
        };
        let jobs = self.ahead(index, r.expr(json!([word, from])), bound, array([r.expr(word), r.maxval()]));
        self.places(jobs.limit(limit), tags).await
    }
}

impl Database {
    fn all_of(&self, group: JobGroup<'_>) -> Command {
        let (index, word) = match group {
            JobGroup::Tag(tag) => {
                return self.tables.jobs().get_all(r.with_opt(r.args([tag.to_owned()]), r.index(TAGS)));
            }
            JobGroup::Task(task) => (TASK, task.as_str()),
            JobGroup::State(kind) => (STATE, kind.as_str()),
        };
        self.between(index, r.expr(json!([word])), array([r.expr(word), r.maxval()]))
    }

    /// Nulls are in no index, but reqlite compares them like other values: no bounds enclose them.
    fn between(&self, index: &'static str, left: Command, right: Command) -> Command {
        let bounds = BetweenOptions::new().index(index.to_owned());
        self.tables.jobs().between(left, right, r.with_opt((), bounds))
    }

    /// The jobs from a place on, in the order of an index.
    fn ahead(&self, index: &'static str, left: Command, bound: Status, right: Command) -> Command {
        let bounds = BetweenOptions::new().index(index.to_owned()).left_bound(bound);
        self.tables.jobs().between(left, right, r.with_opt((), bounds)).order_by(r.index(index))
    }

    async fn places(&self, jobs: Command, tags: &Tags) -> Result<Vec<JobPlace>, StoreError> {
        let fields = [UID, "id", "next_fire_time", "task", "state", TAGS];
        let found = self.client.rows(jobs.pluck(r.args(fields))).await?;
        Ok(found.into_iter().map(|row| place(&restored(row), tags)).collect())
    }
}

/// Where a walk by id goes on.
fn behind<'p>(prefix: &'p str, after: Option<&'p JobKey>) -> (String, Status) {
    match after.map(|after| after.id.as_str()).filter(|id| *id >= prefix) {
        Some(id) => (id.to_owned(), Status::Open),
        None => (prefix.to_owned(), Status::Closed),
    }
}

/// What cannot be read is shown as none, as a document of it is.
fn place(row: &Value, tags: &Tags) -> JobPlace {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let has = |tag: &str| row.get(TAGS).and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|it| it == tag));
    let state = match row.get("state") {
        None => JobStateKind::Active,
        Some(state) => state
            .as_str()
            .and_then(|word| JobState::parse(word, None))
            .and_then(|state| JobStateKind::of(&state))
            .unwrap_or(JobStateKind::Quarantined),
    };
    JobPlace {
        key: text(UID).to_owned(),
        uid: text(UID).parse().unwrap_or(JobKey::BEHIND_ALL),
        id: text("id").into(),
        next_fire_time: row
            .get("next_fire_time")
            .and_then(Value::as_i64)
            .and_then(DateTime::<Utc>::from_timestamp_micros),
        task: text("task").into(),
        state,
        has_tags: Some(tags.iter().all(has)),
    }
}
