//! Where the indexes of the jobs' collection have jobs, for searches.

use ::mongodb::bson::{Bson, Document as Bsons, doc};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, Tags,
    store::{JobCounts, JobKey, JobOrder, JobStateKind, StoreError},
};

use super::{backend::Collections, form, query, server::Page};
use crate::kit::{JobFinder, JobGroup, JobPlace};

#[async_trait]
impl JobFinder for &Collections {
    async fn group(&self, group: JobGroup<'_>, tags: &Tags, limit: usize) -> Result<Option<Vec<JobPlace>>, StoreError> {
        let (query, hint) = grouped(group);
        self.places(query, hint, None, tags, limit).await.map(Some)
    }

    async fn walk(
        &self,
        order: JobOrder,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let id = after.map(|after| after.id.as_str());
        if order == JobOrder::Id {
            let from = match id {
                Some(id) if id >= prefix => doc! { "$gt": id },
                _ => doc! { "$gte": prefix },
            };
            let by_id = doc! { "live_id": 1 };
            return self.places(doc! { "live_id": from }, by_id.clone(), Some(by_id), tags, limit).await;
        }
        let (hint, sort) = (query::by_next(), Some(query::by_next()));
        let mut places = Vec::new();
        let mut never_after = id.unwrap_or_default();
        if after.is_none_or(|after| after.next_fire_time.is_some()) {
            let time = after.and_then(|after| after.next_fire_time).map(|time| time.timestamp_micros());
            if let Some(time) = time {
                let tied = doc! { "next_fire_time": time, "live_id": { "$gt": never_after } };
                places = self.places(tied, hint.clone(), sort.clone(), tags, limit).await?;
            }
            if places.len() < limit {
                let later = doc! {
                    "next_fire_time": { "$gt": time.unwrap_or(i64::MIN) }, "live_id": { "$exists": true }
                };
                places.extend(self.places(later, hint.clone(), sort.clone(), tags, limit - places.len()).await?);
            }
            never_after = "";
        }
        if places.len() < limit {
            let never = doc! { "next_fire_time": Bson::Null, "live_id": { "$gt": never_after } };
            places.extend(self.places(never, hint, sort, tags, limit - places.len()).await?);
        }
        Ok(places)
    }

    async fn walk_finished(
        &self,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let sort = Some(query::by_over());
        let mut places = Vec::new();
        let mut later = doc! { "$gte": prefix };
        if let Some(after) = after.filter(|after| after.id.as_str() >= prefix) {
            let mut tied = query::over(after.id.as_str());
            tied.insert("_id", doc! { "$gt": after.uid.to_string() });
            places = self.places(tied, query::by_over(), sort.clone(), tags, limit).await?;
            later = doc! { "$gt": after.id.as_str() };
        }
        if places.len() < limit {
            let rest = limit - places.len();
            places.extend(self.places(query::over(later), query::by_over(), sort, tags, rest).await?);
        }
        let over = |place| JobPlace { next_fire_time: None, state: JobStateKind::Finished, ..place };
        Ok(places.into_iter().map(over).collect())
    }

    async fn counts(&self, group: Option<JobGroup<'_>>) -> Result<Option<JobCounts>, StoreError> {
        let all = match group {
            None => (doc! { "live_id": { "$gte": "" } }, doc! { "live_id": 1 }),
            Some(group) => grouped(group),
        };
        let mut counts = JobCounts::default();
        for kind in JobStateKind::LIVE.into_iter().filter(|kind| *kind != JobStateKind::Active) {
            let (mut query, hint) = in_state(kind);
            query.extend(all.0.clone());
            query.insert("live_id", doc! { "$exists": true });
            counts.add(kind, self.count(query, if group.is_none() { hint } else { all.1.clone() }).await?);
        }
        let total = self.count(all.0, all.1).await?;
        // A document of another program needs no state to be active.
        counts.add(JobStateKind::Active, total.saturating_sub(counts.total()));
        Ok(Some(counts))
    }

    async fn count_finished(&self) -> Result<u64, StoreError> {
        self.count(query::over(doc! { "$gte": "" }), query::by_over()).await
    }
}

impl Collections {
    async fn places(
        &self,
        query: Bsons,
        hint: Bsons,
        sort: Option<Bsons>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let mut projection = doc! { "id": 1, "next_fire_time": 1, "task": 1, "state": 1 };
        if !tags.is_empty() {
            projection.insert(form::TAGS, 1);
        }
        let page = Page { sort, limit: Some(limit), projection: Some(projection), hint: Some(hint) };
        Ok(self.server.find(&self.server.jobs, query, page).await?.iter().map(|bsons| place(bsons, tags)).collect())
    }

    async fn count(&self, query: Bsons, hint: Bsons) -> Result<u64, StoreError> {
        let jobs = self.server.jobs.clone();
        let hint = ::mongodb::options::Hint::Keys(hint);
        self.server.run(async move { jobs.count_documents(query).hint(hint).await }).await
    }
}

/// The live jobs of a group, and the index that has them.
fn grouped(group: JobGroup<'_>) -> (Bsons, Bsons) {
    let by = |field: &str, word: &str| (doc! { field: word, "live_id": { "$exists": true } }, doc! { field: 1 });
    match group {
        JobGroup::Tag(tag) => by(form::TAGS, tag),
        JobGroup::Task(task) => by("task", task.as_str()),
        JobGroup::State(kind) => in_state(kind),
    }
}

fn in_state(kind: JobStateKind) -> (Bsons, Bsons) {
    (doc! { "state": kind.as_str(), "live_id": { "$exists": true } }, doc! { "state": 1 })
}

/// What cannot be read is shown as none, as a document of it is.
fn place(bsons: &Bsons, tags: &Tags) -> JobPlace {
    let text = |field: &str| bsons.get_str(field).unwrap_or_default();
    let micros = bsons.get("next_fire_time").and_then(form::whole);
    let has_tag = |tag| bsons.get_array(form::TAGS).is_ok_and(|tags| tags.iter().any(|it| it.as_str() == Some(tag)));
    let state = bsons.get("state").map(|state| {
        let state = state.as_str().and_then(|word| JobState::parse(word, None));
        state.and_then(|state| JobStateKind::of(&state)).unwrap_or(JobStateKind::Quarantined)
    });
    let key = bsons.get("_id").and_then(form::key_of).unwrap_or_default();
    JobPlace {
        uid: key.parse().unwrap_or(JobKey::BEHIND_ALL),
        key,
        id: text("id").into(),
        next_fire_time: micros.and_then(DateTime::<Utc>::from_timestamp_micros),
        task: text("task").into(),
        state: state.unwrap_or(JobStateKind::Active),
        has_tags: Some(tags.iter().all(has_tag)),
    }
}
