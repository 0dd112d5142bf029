//! Where runs are, for searches: in the documents of their jobs, while they are open or ended last, and in the collection of ended ones.
//!
//! A job's document names its runs in `fired`, by fire time, uid and number, so that an index over these has the runs of all documents in
//! one order; and in `marked` those that wait or did not end well, by the word for that, too. An element of either is 64 characters, in the
//! order of which the newest run is last, behind a word and a colon in `marked`. A walk merges what it finds there with what the index
//! of the other collection has.

use std::collections::{BTreeMap, BTreeSet};

use ::mongodb::bson::{Bson, Document as Bsons, doc};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use scheduler_core::{
    JobId, JobState, Run, RunId, TaskName, Uid, Verdict,
    store::{RunFilter, RunKey, RunStateKind, StoreError},
};

use super::{backend::Collections, form, query, server::Page};
use crate::kit::{RunFinder, RunGroup, RunPlace, Session};

/// How many jobs are asked for at once whose runs are wanted.
const JOBS: usize = 100;

/// The field that names the runs of a job's document, and its index.
pub(super) const FIRED: &str = "fired";
/// The field that names those that wait or did not end well, and its index.
pub(super) const MARKED: &str = "marked";

/// What `fired` and `marked` say of the runs of a job's document.
pub(super) fn names_of_runs(key: &str, runs: impl Iterator<Item = (i64, i64, String)>) -> (Vec<Bson>, Vec<Bson>) {
    let (mut fired, mut marked) = (Vec::new(), Vec::new());
    let Ok(uid) = key.parse::<Uid>() else { return (fired, marked) };
    for (fire_time, seq, word) in runs {
        let name = name(fire_time, uid, seq.cast_unsigned());
        if word != Verdict::Ok.as_str() && word != RunStateKind::Running.as_str() {
            marked.push(format!("{word}:{name}").into());
        }
        fired.push(name.into());
    }
    (fired, marked)
}

/// The name of a run, in the order of fire times, uids and numbers.
fn name(fire_time: i64, uid: Uid, seq: u64) -> String {
    format!("{:016x}{uid}{seq:016x}", fire_time.cast_unsigned() ^ 1 << 63)
}

/// What a name says.
fn key_of(name: &str) -> Option<RunKey> {
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let fire_time = (number(name.get(..16)?)? ^ 1 << 63).cast_signed();
    let run = RunId { uid: name.get(16..48)?.parse().ok()?, seq: number(name.get(48..)?)? };
    Some(RunKey { fire_time: DateTime::from_timestamp_micros(fire_time)?, run })
}

fn name_of(key: RunKey) -> String {
    name(key.fire_time.timestamp_micros(), key.run.uid, key.run.seq)
}

#[async_trait]
impl RunFinder for &Collections {
    async fn run_group(&self, group: RunGroup<'_>, limit: usize) -> Result<Option<Vec<RunPlace>>, StoreError> {
        match group {
            RunGroup::Jobs(uids) => self.places_of_jobs(uids, limit).await.map(Some),
            RunGroup::Open(_) => self.open_places(limit).await.map(Some),
        }
    }

    async fn run_walk(
        &self,
        verdict: Option<Verdict>,
        filter: &RunFilter,
        after: Option<RunKey>,
        limit: usize,
    ) -> Result<Vec<RunPlace>, StoreError> {
        let (mut places, mut after) = (Vec::new(), after);
        loop {
            let (known, end) = self.step(verdict, after, filter.since, limit).await?;
            places.extend(known);
            if places.len() >= limit || end.is_none() {
                places.truncate(limit);
                return Ok(places);
            }
            after = end;
        }
    }

    async fn runs(&self, ids: &BTreeSet<RunId>) -> Result<Vec<Run>, StoreError> {
        let uids: BTreeSet<Uid> = ids.iter().map(|run| run.uid).collect();
        let page = Page { projection: Some(doc! { "runs": 1, "ended": 1 }), ..Page::default() };
        let found = self.server.find(&self.server.jobs, query::with_uids(&uids), page).await?;
        let own = found.iter().flat_map(runs_in).filter_map(|run| form::run_of_archived(run.clone()));
        let mut runs: BTreeMap<RunId, Run> = own.filter(|run| ids.contains(&run.id)).map(|run| (run.id, run)).collect();
        let others: BTreeSet<(Uid, u64)> =
            ids.iter().filter(|id| !runs.contains_key(id)).map(|run| (run.uid, run.seq)).collect();
        if !others.is_empty() {
            runs.extend(self.ended(&others).await?.into_iter().map(|run| (run.id, run)));
        }
        Ok(runs.into_values().collect())
    }
}

impl Collections {
    /// Runs behind a place, and up to which one all are there; none if there are no more.
    async fn step(
        &self,
        verdict: Option<Verdict>,
        after: Option<RunKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<(Vec<RunPlace>, Option<RunKey>), StoreError> {
        // A run moves from its job's document to the other collection and never back, so that it is found if that is read later.
        let (mut places, end) = self.walk_documents(verdict, after, since, limit).await?;
        let (archived, end_of_archive) = self.walk_archive(verdict, after, since, limit).await?;
        places.extend(archived.into_iter().map(|place| (place.key, place)));
        let end = end.into_iter().chain(end_of_archive).min();
        let known = places.into_values().take_while(|place| end.is_none_or(|end| place.key <= end));
        Ok((known.collect(), end))
    }

    /// The runs in the documents of jobs behind a place, and up to which one all are there; none if there are no more.
    async fn walk_documents(
        &self,
        verdict: Option<Verdict>,
        after: Option<RunKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<(BTreeMap<RunKey, RunPlace>, Option<RunKey>), StoreError> {
        let (field, word) = match verdict {
            Some(verdict) => (MARKED, format!("{}:", verdict.as_str())),
            None => (FIRED, String::new()),
        };
        let first = since.map_or(i64::MIN, |since| since.timestamp_micros());
        let first = format!("{word}{}", name(first, Uid(0), 0));
        // No name is behind this letter.
        let last = after.map_or_else(|| format!("{word}g"), |after| format!("{word}{}", name_of(after)));
        let ahead = doc! { field: { "$elemMatch": { "$gte": &first, "$lt": &last } } };
        // The index gives the documents in the order of the last name of each that is asked for; a sort by a list would read all of them.
        let found = self.documents(ahead, Some(query::by_name(field)), Some(field), limit).await?;
        let is_ahead = |place: &RunPlace| {
            after.is_none_or(|after| after < place.key)
                && since.is_none_or(|since| since <= place.key.fire_time)
                && verdict.is_none_or(|verdict| place.verdict == Some(verdict))
        };
        let places = found.iter().flat_map(places_in).filter(is_ahead).map(|place| (place.key, place)).collect();
        // The document that came last came for its newest run behind the place.
        let newest = |document: &Bsons| {
            let names = document.get_array(field).ok()?.iter().filter_map(Bson::as_str);
            let name = names.filter(|name| (first.as_str()..last.as_str()).contains(name)).max()?;
            key_of(name.strip_prefix(&*word)?)
        };
        let end = found.iter().filter_map(newest).max();
        Ok((places, end.filter(|_| found.len() >= limit)))
    }

    /// The ended runs in their own collection behind a place, newest first, and up to which one all are there.
    async fn walk_archive(
        &self,
        verdict: Option<Verdict>,
        after: Option<RunKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<(Vec<RunPlace>, Option<RunKey>), StoreError> {
        let index = if verdict.is_some() { query::by_verdict() } else { query::by_fire_time() };
        let asked = |mut query: Bsons| {
            query.extend(verdict.map(|verdict| ("verdict".to_owned(), verdict.as_str().into())));
            query
        };
        let page = |limit| Page { sort: Some(index.clone()), limit: Some(limit), hint: Some(index.clone()), ..seen() };
        let runs = &self.server.runs;
        let mut found = Vec::new();
        let mut time = doc! { "$gte": since.map_or(i64::MIN, |since| since.timestamp_micros()) };
        if let Some(RunKey { fire_time, run }) = after {
            if since.is_none_or(|since| since <= fire_time) {
                let below = doc! { "$lt": form::archived_id(run) };
                let tied = asked(doc! { "fire_time": fire_time.timestamp_micros(), "_id": below });
                found = self.server.find(runs, tied, page(limit)).await?;
            }
            time.insert("$lt", fire_time.timestamp_micros());
        }
        if found.len() < limit {
            let earlier = asked(doc! { "fire_time": time });
            found.extend(self.server.find(runs, earlier, page(limit - found.len())).await?);
        }
        let places: Vec<RunPlace> = found.iter().filter_map(place).collect();
        let end = places.last().map(|place| place.key).filter(|_| found.len() >= limit);
        Ok((self.with_jobs(places).await?, end))
    }

    /// Says of archived runs which jobs they are of.
    async fn with_jobs(&self, mut places: Vec<RunPlace>) -> Result<Vec<RunPlace>, StoreError> {
        let uids: BTreeSet<Uid> = places.iter().map(|place| place.key.run.uid).collect();
        if uids.is_empty() {
            return Ok(places);
        }
        let page = Page { projection: Some(job_fields()), ..Page::default() };
        let found = self.server.find(&self.server.jobs, query::with_uids(&uids), page).await?;
        let known = |bsons: &Bsons| Some((form::key_of(bsons.get("_id")?)?.parse().ok()?, known_job(bsons)?));
        let jobs: BTreeMap<Uid, (JobId, TaskName)> = found.iter().filter_map(known).collect();
        for place in &mut places {
            place.job = jobs.get(&place.key.run.uid).cloned();
        }
        Ok(places)
    }

    /// The runs of jobs, in any order.
    async fn places_of_jobs(&self, uids: &BTreeSet<Uid>, limit: usize) -> Result<Vec<RunPlace>, StoreError> {
        let uids: Vec<Uid> = uids.iter().copied().collect();
        let mut places: BTreeMap<RunKey, RunPlace> = BTreeMap::new();
        for uids in uids.chunks(JOBS) {
            let found = self.documents(query::with_uids(uids), None, None, JOBS).await?;
            places.extend(found.iter().flat_map(places_in).map(|place| (place.key, place)));
            let ranges: Vec<Bsons> =
                uids.iter().map(|uid| doc! { "_id": form::archived_below(*uid, u64::MAX) }).collect();
            let page = Page { limit: Some(limit), ..seen() };
            let archived = self.server.find(&self.server.runs, doc! { "$or": ranges }, page).await?;
            let archived = self.with_jobs(archived.iter().filter_map(place).collect()).await?;
            places.extend(archived.into_iter().map(|place| (place.key, place)));
            if places.len() >= limit {
                break;
            }
        }
        Ok(places.into_values().take(limit).collect())
    }

    /// The runs that have not ended, in any order: those that run, by the nodes of their jobs, and those that wait.
    async fn open_places(&self, limit: usize) -> Result<Vec<RunPlace>, StoreError> {
        let waiting = RunStateKind::Waiting.as_str();
        let (from, till) = (format!("{waiting}:"), format!("{waiting}:g"));
        let waiting = doc! { MARKED: { "$elemMatch": { "$gte": from, "$lt": till } } };
        let running = doc! { "running": { "$gt": "" } };
        let (running, waiting) = try_join(
            self.documents(running, Some(query::by_running()), None, limit),
            self.documents(waiting, Some(query::by_name(MARKED)), None, limit),
        )
        .await?;
        let places = running.iter().chain(&waiting).flat_map(places_in);
        let open = places.filter(|place| place.state != Some(RunStateKind::Ended));
        let open: BTreeMap<RunKey, RunPlace> = open.map(|place| (place.key, place)).collect();
        Ok(open.into_values().take(limit).collect())
    }

    /// What documents of jobs say of their runs.
    async fn documents(
        &self,
        query: Bsons,
        hint: Option<Bsons>,
        names: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Bsons>, StoreError> {
        let mut projection = job_fields();
        projection.extend(names.map(|names| (names.to_owned(), 1.into())));
        for list in ["runs", "ended"] {
            projection.extend(RUN.iter().map(|field| (format!("{list}.{field}"), 1.into())));
        }
        let page = Page { limit: Some(limit), projection: Some(projection), hint, ..Page::default() };
        self.server.find(&self.server.jobs, query, page).await
    }
}

/// What a place says of a run.
const RUN: [&str; 6] = ["uid", "seq", "fire_time", "state", "verdict", "owner"];

/// What is read of an archived run.
fn seen() -> Page {
    Page { projection: Some(RUN.iter().map(|field| ((*field).to_owned(), 1.into())).collect()), ..Page::default() }
}

fn job_fields() -> Bsons {
    doc! { "id": 1, "task": 1, "state": 1, "retained_until": 1 }
}

/// The id and the task of a job that is live or stays known.
fn known_job(bsons: &Bsons) -> Option<(JobId, TaskName)> {
    let is_known = match bsons.get_str("state").ok().and_then(|word| JobState::parse(word, None)) {
        Some(JobState::Ending) => bsons.contains_key("retained_until"),
        Some(JobState::Removed) => false,
        _ => true,
    };
    let job = (bsons.get_str("id").ok()?.into(), bsons.get_str("task").unwrap_or_default().into());
    is_known.then_some(job)
}

/// The runs in a job's document.
fn places_in(document: &Bsons) -> Vec<RunPlace> {
    let job = known_job(document);
    runs_in(document).filter_map(place).map(|place| RunPlace { job: job.clone(), ..place }).collect()
}

fn runs_in(document: &Bsons) -> impl Iterator<Item = &Bsons> {
    let lists = ["runs", "ended"].into_iter().filter_map(|name| document.get_array(name).ok());
    lists.flatten().filter_map(Bson::as_document)
}

/// What of a run is in a document; none if that is no run.
fn place(bsons: &Bsons) -> Option<RunPlace> {
    let text = |name: &str| bsons.get_str(name).ok();
    let uid = text("uid")?.parse().ok()?;
    let seq = u64::try_from(form::whole(bsons.get("seq")?)?).ok()?;
    let fire_time = DateTime::from_timestamp_micros(form::whole(bsons.get("fire_time")?)?)?;
    let state = match text("state")? {
        "waiting" => RunStateKind::Waiting,
        "running" => RunStateKind::Running,
        "ended" => RunStateKind::Ended,
        _ => return None,
    };
    Some(RunPlace {
        key: RunKey { fire_time, run: RunId { uid, seq } },
        state: Some(state),
        verdict: text("verdict").and_then(Verdict::parse),
        node: text("owner").map(Into::into),
        job: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_runs() {
        let key = |at: i64, uid: u128, seq: u64| RunKey {
            fire_time: DateTime::from_timestamp_micros(at).unwrap(),
            run: RunId { uid: Uid(uid), seq },
        };
        let newest_first =
            [key(i64::from(i32::MAX), 1, 1), key(7, 2, 1), key(7, 1, 30), key(7, 1, 4), key(0, 9, 9), key(-1, 9, 9)];
        for pair in newest_first.windows(2) {
            assert!(pair[0] < pair[1] && name_of(pair[0]) > name_of(pair[1]), "{pair:?}");
        }
        for key in newest_first {
            assert_eq!(key_of(&name_of(key)), Some(key));
        }
    }

    #[test]
    fn a_run_that_waits_or_did_not_end_well_is_marked() {
        let runs = [(1, 1, "ok"), (2, 2, "running"), (3, 3, "waiting"), (4, 4, "error")];
        let (fired, marked) =
            names_of_runs(&Uid(7).to_string(), runs.into_iter().map(|(at, seq, word)| (at, seq, word.to_owned())));
        let words: Vec<_> = marked.iter().filter_map(|name| name.as_str()?.split(':').next()).collect();
        assert_eq!((fired.len(), words), (4, vec!["waiting", "error"]));
    }
}
