//! Where the indexes of the tables have jobs and runs, for searches.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobState, Run, RunId, Tags, Uid, Verdict,
    store::{JobCounts, JobKey, JobOrder, JobStateKind, RunFilter, RunKey, RunStateKind, StoreError},
};

use super::{RowOf, SqlSession, Statement, Transaction, statement};
use crate::kit::{JobFinder, JobGroup, JobPlace, RunFinder, RunGroup, RunPlace, Session, columns::Columns};

#[async_trait]
impl<Tx: Transaction> JobFinder for SqlSession<'_, Tx> {
    async fn group(&self, group: JobGroup<'_>, tags: &Tags, limit: usize) -> Result<Option<Vec<JobPlace>>, StoreError> {
        let sql = self.sql();
        let (more, sql, word) = match group {
            JobGroup::Tag(tag) => (&sql.more_by_tag, &sql.found_by_tag, tag),
            JobGroup::Task(task) => (&sql.more_by_task, &sql.found_by_task, task.as_str()),
            JobGroup::State(kind) => (&sql.more_by_state, &sql.found_by_state, kind.as_str()),
        };
        // To count along an index takes a twentieth of the time that it takes to read as many places, which are of no use then.
        if self.first(statement(more).text(word).count(limit.saturating_sub(1))).await?.is_some() {
            return Ok(None);
        }
        self.places(statement(sql).list(tags.iter()).text(word).count(limit), tags).await.map(Some)
    }

    async fn walk(
        &self,
        order: JobOrder,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let sql = self.sql();
        let asked = |sql| statement(sql).list(tags.iter());
        let id = after.map(|after| after.id.as_str());
        if order == JobOrder::Id {
            // No id is empty, and an index goes from the first id on, whether or not that is left out.
            let first = id.filter(|id| *id > prefix).unwrap_or(prefix);
            let left_out = id.unwrap_or_default();
            return self.places(asked(&sql.found_by_id).text(first).text(left_out).count(limit), tags).await;
        }
        let mut places = Vec::new();
        let mut never_after = id.unwrap_or_default();
        if after.is_none_or(|after| after.next_fire_time.is_some()) {
            let time = after.and_then(|after| after.next_fire_time);
            if time.is_some() {
                let tied = asked(&sql.found_tied).time(time).text(never_after).count(limit);
                places = self.places(tied, tags).await?;
            }
            if places.len() < limit {
                let behind = time.map_or(i64::MIN, |time| time.timestamp_micros());
                let later = asked(&sql.found_later).integer(behind).count(limit - places.len());
                places.extend(self.places(later, tags).await?);
            }
            never_after = "";
        }
        if places.len() < limit {
            let never = asked(&sql.found_never).text(never_after).count(limit - places.len());
            places.extend(self.places(never, tags).await?);
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
        let after = after.filter(|after| after.id.as_str() >= prefix);
        let id = after.map_or(prefix, |after| after.id.as_str());
        let uid = after.map(|after| after.uid.to_string()).unwrap_or_default();
        let asked = |sql| statement(sql).list(tags.iter()).text(id);
        let mut places = Vec::new();
        // No id is empty.
        if !id.is_empty() {
            places = self.places(asked(&self.sql().over_tied).text(uid).count(limit), tags).await?;
        }
        if places.len() < limit {
            let later = asked(&self.sql().over_later).count(limit - places.len());
            places.extend(self.places(later, tags).await?);
        }
        let over = |place| JobPlace { next_fire_time: None, state: JobStateKind::Finished, ..place };
        Ok(places.into_iter().map(over).collect())
    }

    async fn having_text(&self, keys: &BTreeSet<String>, text: &str) -> Result<Option<BTreeSet<String>>, StoreError> {
        let found = statement(&self.sql().having_text).list(keys.iter().map(String::as_str)).text(text);
        self.texts(found).await.map(Some)
    }

    async fn counts(&self, group: Option<JobGroup<'_>>) -> Result<Option<JobCounts>, StoreError> {
        let counts = match group {
            None => statement(&self.sql().counts),
            Some(JobGroup::Tag(tag)) => statement(&self.sql().counts_by_tag).text(tag),
            Some(JobGroup::Task(task)) => statement(&self.sql().counts_by_task).text(task.as_str()),
            Some(JobGroup::State(_)) => return Ok(None),
        };
        let (mut counts_of, mut live) = (JobCounts::default(), None);
        for row in &self.all(counts).await? {
            let (word, number) = (self.text(row, 0, "state")?, self.number(row, 1, "count")?);
            match word.as_str() {
                "live" => live = Some(number),
                _ => counts_of.add(kind_of(&word), number),
            }
        }
        if let Some(live) = live {
            counts_of.add(JobStateKind::Active, live.saturating_sub(counts_of.total()));
        }
        Ok(Some(counts_of))
    }

    async fn count_finished(&self) -> Result<u64, StoreError> {
        let row = self.first(statement(&self.sql().count_over)).await?;
        row.map_or(Ok(0), |row| self.number(&row, 0, "count"))
    }
}

#[async_trait]
impl<Tx: Transaction> RunFinder for SqlSession<'_, Tx> {
    async fn run_group(&self, group: RunGroup<'_>, limit: usize) -> Result<Option<Vec<RunPlace>>, StoreError> {
        let found = match group {
            RunGroup::Jobs(uids) => {
                let uids: Vec<String> = uids.iter().map(Uid::to_string).collect();
                statement(&self.sql().fired_by_job).list(uids.iter().map(String::as_str)).count(limit)
            }
            RunGroup::Open(_) => statement(&self.sql().fired_open).count(limit),
        };
        self.run_places(found).await.map(Some)
    }

    async fn run_walk(
        &self,
        verdict: Option<Verdict>,
        filter: &RunFilter,
        after: Option<RunKey>,
        limit: usize,
    ) -> Result<Vec<RunPlace>, StoreError> {
        let (sql, since) = (self.sql(), filter.since);
        let asked = |any, judged| match verdict {
            Some(verdict) => statement(judged).text(verdict.as_str()),
            None => statement(any),
        };
        let mut places = Vec::new();
        if let Some(RunKey { fire_time, run: RunId { uid, seq } }) = after
            && since.is_none_or(|since| since <= fire_time)
        {
            let tied = asked(&sql.fired_tied, &sql.judged_tied).time(Some(fire_time)).text(uid.to_string());
            places = self.run_places(tied.count(seq).count(limit)).await?;
        }
        if places.len() < limit {
            let before = after.map_or(i64::MAX, |after| after.fire_time.timestamp_micros());
            let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
            let earlier = asked(&sql.fired, &sql.judged).integer(before).integer(since);
            places.extend(self.run_places(earlier.count(limit - places.len())).await?);
        }
        Ok(places)
    }

    async fn runs(&self, ids: &BTreeSet<RunId>) -> Result<Vec<Run>, StoreError> {
        self.ended(&ids.iter().map(|run| (run.uid, run.seq)).collect()).await
    }
}

impl<Tx: Transaction> SqlSession<'_, Tx> {
    async fn places(&self, found: Statement, tags: &Tags) -> Result<Vec<JobPlace>, StoreError> {
        let wanted = tags.len() as u64;
        // What cannot be read is shown as none, as a row of it is.
        let text = |row: &RowOf<Tx>, at| self.text(row, at, "column").unwrap_or_default();
        let integer = |row: &RowOf<Tx>, at| row.integer(at).ok().flatten();
        let place = |row: &RowOf<Tx>| JobPlace {
            key: text(row, 0),
            uid: text(row, 0).parse().unwrap_or(JobKey::BEHIND_ALL),
            id: text(row, 1).into(),
            next_fire_time: integer(row, 2).and_then(DateTime::from_timestamp_micros),
            task: text(row, 3).into(),
            state: kind_of(&text(row, 4)),
            has_tags: Some(integer(row, 5).and_then(|count| u64::try_from(count).ok()) >= Some(wanted)),
        };
        Ok(self.all(found).await?.iter().map(place).collect())
    }

    async fn run_places(&self, found: Statement) -> Result<Vec<RunPlace>, StoreError> {
        Ok(self.all(found).await?.iter().map(run_place).collect())
    }
}

/// The place of a run. That of one that cannot be read keeps the walk going, and no run is found there.
fn run_place<R: Columns>(row: &R) -> RunPlace {
    let text = |at| row.bytes(at).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let integer = |at| row.integer(at).ok().flatten().unwrap_or_default();
    let (uid, seq) = (text(0).and_then(|uid| uid.parse().ok()), u64::try_from(integer(1)));
    let fire_time = DateTime::from_timestamp_micros(integer(2)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let state = match text(3).as_deref() {
        Some("waiting") => Some(RunStateKind::Waiting),
        Some("running") => Some(RunStateKind::Running),
        Some("ended") => Some(RunStateKind::Ended),
        _ => None,
    };
    RunPlace {
        key: RunKey { fire_time, run: RunId { uid: uid.unwrap_or(Uid(0)), seq: seq.unwrap_or_default() } },
        state,
        verdict: text(4).and_then(|word| Verdict::parse(&word)),
        node: text(5).map(R::node),
        job: text(6).zip(text(7)).map(|(id, task)| (id.into(), task.into())),
    }
}

/// The kind of a state by its word; what is no word for one is shown as quarantined.
fn kind_of(word: &str) -> JobStateKind {
    JobState::parse(word, None).and_then(|state| JobStateKind::of(&state)).unwrap_or(JobStateKind::Quarantined)
}
