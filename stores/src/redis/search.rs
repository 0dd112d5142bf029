//! Where the sorted sets have jobs and runs, for searches.
//!
//! Each set has its members in the order in which they are found, all with score 0, so that a page begins behind a text. What a member
//! does not say is read of the job or the run.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use redis::{Cmd, Value, cmd};
use scheduler_core::{
    JobId, JobState, Run, RunId, Tags, TaskName, Uid, Verdict,
    store::{JobCounts, JobKey, JobOrder, JobStateKind, RunFilter, RunKey, RunStateKind, StoreError},
};

use super::{
    backend::Keyspace,
    failure::Misread,
    names::{
        Index, fired_member, id_member, next_member, of_fired_member, of_id_member, of_next_member, run_of_member,
        sortable,
    },
    reply::{fixed, items, number, optional, text, texts, time},
    row::read_run,
};
use crate::kit::{GroupFinder, JobFinder, JobGroup, JobPlace, RunFinder, RunGroup, RunPlace};

#[async_trait]
impl JobFinder for &Keyspace {
    async fn group(&self, group: JobGroup<'_>, tags: &Tags, limit: usize) -> Result<Option<Vec<JobPlace>>, StoreError> {
        let index = index_of(group);
        let [size] = self.sizes([&index]).await?;
        // Of more than are asked for only that is of use.
        if size >= limit {
            return Ok(None);
        }
        let members = self.range(&index, "-", limit).await?;
        self.places(of_ids(members), tags).await.map(Some)
    }

    async fn walk(
        &self,
        order: JobOrder,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        if order == JobOrder::Id {
            let members = self.range(&Index::Ids, &behind_live(prefix, after), limit).await?;
            return self.places(of_ids(members), tags).await;
        }
        let from = after.map_or_else(
            || "-".to_owned(),
            |after| format!("[{}\x01", next_member(after.next_fire_time, &after.id, "").trim_end_matches('\0')),
        );
        let members = self.range(&Index::Next, &from, limit).await?;
        let found = members.iter().map(|member| {
            let (time, id, uid) = of_next_member(member);
            (id, uid, Some(time))
        });
        self.places(found.collect(), tags).await
    }

    async fn walk_finished(
        &self,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let after = after.filter(|after| after.id.as_str() >= prefix);
        let from = after
            .map_or_else(|| format!("[{prefix}"), |after| format!("({}", id_member(&after.id, &after.uid.to_string())));
        let members = self.range(&Index::Over, &from, limit).await?;
        let place = |(id, uid, _): (JobId, String, _)| JobPlace {
            uid: uid.parse().unwrap_or(JobKey::BEHIND_ALL),
            key: uid,
            id,
            next_fire_time: None,
            task: TaskName::from(""),
            state: JobStateKind::Finished,
            has_tags: tags.is_empty().then_some(true),
        };
        let places: Vec<JobPlace> = of_ids(members).into_iter().map(place).collect();
        self.with_tasks(places).await
    }

    async fn counts(&self, group: Option<JobGroup<'_>>) -> Result<Option<JobCounts>, StoreError> {
        let all = group.map_or(Index::Ids, index_of);
        let rare = JobStateKind::LIVE.into_iter().filter(|kind| *kind != JobStateKind::Active);
        let mut calls = vec![self.of_set("ZCARD", &all)];
        for kind in rare.clone() {
            let mut both = cmd("ZINTERCARD");
            both.arg(2).arg(all.key(&self.link.names)).arg(Index::State(kind).key(&self.link.names));
            calls.push(both);
        }
        let replies = self.link.read(calls).await?.into_iter().map(size).collect::<Result<Vec<_>, _>>();
        let sizes = self.understood(replies)?;
        let mut counts = JobCounts::default();
        rare.zip(sizes.iter().skip(1)).for_each(|(kind, size)| counts.add(kind, *size as u64));
        let total = sizes.first().map_or(0, |size| *size as u64);
        counts.add(JobStateKind::Active, total.saturating_sub(counts.total()));
        Ok(Some(counts))
    }

    async fn count_finished(&self) -> Result<u64, StoreError> {
        let [size] = self.sizes([&Index::Over]).await?;
        Ok(size as u64)
    }

    fn group_finder(&self) -> Option<&dyn GroupFinder> {
        Some(self)
    }
}

#[async_trait]
impl GroupFinder for &Keyspace {
    async fn narrowest(&self, groups: &[JobGroup<'_>]) -> Result<Option<usize>, StoreError> {
        if groups.len() < 2 {
            return Ok((!groups.is_empty()).then_some(0));
        }
        let calls = groups.iter().map(|group| self.of_set("ZCARD", &index_of(*group)));
        let replies = self.link.read(calls.collect()).await?.into_iter().map(size).collect::<Result<Vec<_>, _>>();
        Ok(self.understood(replies)?.into_iter().enumerate().min_by_key(|(_, size)| *size).map(|(at, _)| at))
    }

    async fn walk_group(
        &self,
        group: JobGroup<'_>,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError> {
        let members = self.range(&index_of(group), &behind_live(prefix, after), limit).await?;
        self.places(of_ids(members), tags).await
    }
}

#[async_trait]
impl RunFinder for &Keyspace {
    async fn run_group(&self, group: RunGroup<'_>, limit: usize) -> Result<Option<Vec<RunPlace>>, StoreError> {
        let runs = match group {
            RunGroup::Jobs(uids) => self.runs_of_jobs(uids, limit).await?,
            RunGroup::Open(RunStateKind::Waiting) => {
                let [size] = self.sizes([&Index::Waiting]).await?;
                if size >= limit {
                    return Ok(None);
                }
                let members = self.range(&Index::Waiting, "-", limit).await?;
                self.runs(&members.iter().filter_map(|member| Some(of_fired_member(member)?.run)).collect()).await?
            }
            RunGroup::Open(_) => self.running(limit).await?,
        };
        let places = runs.iter().take(limit).map(place_of).collect();
        self.with_jobs(places).await.map(Some)
    }

    async fn run_walk(
        &self,
        verdict: Option<Verdict>,
        filter: &RunFilter,
        after: Option<RunKey>,
        limit: usize,
    ) -> Result<Vec<RunPlace>, StoreError> {
        let index = verdict.map_or(Index::Runs, Index::Verdict);
        let mut look = self.of_set("ZREVRANGEBYLEX", &index);
        let member = |key: RunKey| fired_member(key.fire_time, &key.run.uid.to_string(), key.run.seq);
        look.arg(after.map_or_else(|| "+".to_owned(), |after| format!("({}", member(after))));
        look.arg(filter.since.map_or_else(|| "-".to_owned(), |since| format!("[{}", sortable(since))));
        look.arg(&["LIMIT", "0"]).arg(limit);
        let members = self.understood(texts(self.one(look).await?))?;
        let ended = verdict.map(|_| RunStateKind::Ended);
        let place = |key| RunPlace { key, state: ended, verdict, node: None, job: None };
        let mut places: Vec<RunPlace> =
            members.iter().filter_map(|member| of_fired_member(member)).map(place).collect();
        // Most searches ask for no more than the member says.
        if filter.node.is_some() || verdict.is_none() && (filter.state.is_some() || filter.verdict.is_some()) {
            let runs = self.runs(&places.iter().map(|place| place.key.run).collect()).await?;
            let mut read: BTreeMap<RunId, RunPlace> = runs.iter().map(|run| (run.id, place_of(run))).collect();
            for place in &mut places {
                // One that has moved on is not at another place, since its fire time stays.
                *place = read
                    .remove(&place.key.run)
                    .map_or_else(|| place.clone(), |read| RunPlace { key: place.key, ..read });
            }
        }
        self.with_jobs(places).await
    }

    async fn runs(&self, ids: &BTreeSet<RunId>) -> Result<Vec<Run>, StoreError> {
        // A run that ends meanwhile goes where is looked later.
        let looks = ids.iter().flat_map(|RunId { uid, seq }| {
            let mut open = cmd("HGET");
            open.arg(self.link.names.of("open", &uid.to_string())).arg(seq);
            let mut ended = cmd("ZRANGEBYSCORE");
            ended.arg(self.link.names.of("ended", &uid.to_string())).arg(seq).arg(seq).arg(&["LIMIT", "0", "1"]);
            [open, ended]
        });
        let mut found = self.link.read(looks.collect()).await?.into_iter();
        let mut runs = Vec::with_capacity(ids.len());
        for id in ids {
            let (open, ended) = (found.next().unwrap_or(Value::Nil), found.next().unwrap_or(Value::Nil));
            let ended = self.understood(optional(ended, items))?.and_then(|ended| ended.into_iter().next());
            let found = ended.or(Some(open).filter(|open| *open != Value::Nil));
            // One that cannot be read is not shown.
            runs.extend(found.and_then(|run| read_run(&id.uid.to_string(), run).ok()).filter(|run| run.id == *id));
        }
        Ok(runs)
    }
}

impl Keyspace {
    fn of_set(&self, command: &str, index: &Index) -> Cmd {
        let mut call = cmd(command);
        call.arg(index.key(&self.link.names));
        call
    }

    async fn sizes<const N: usize>(&self, indexes: [&Index; N]) -> Result<[usize; N], StoreError> {
        let replies = self.link.read(indexes.map(|index| self.of_set("ZCARD", index)).into()).await?;
        let sizes = replies.into_iter().map(size).collect::<Result<Vec<_>, _>>();
        self.understood(sizes.and_then(|sizes| sizes.try_into().map_err(|_| Misread("a list of another length"))))
    }

    async fn range(&self, index: &Index, from: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut look = self.of_set("ZRANGEBYLEX", index);
        look.arg(from).arg(&["+", "LIMIT", "0"]).arg(limit);
        self.understood(texts(self.one(look).await?))
    }

    /// What is read of live jobs to find them: of each the id, the uid, and the next fire time if it was found by that.
    async fn places(&self, found: Vec<Member>, tags: &Tags) -> Result<Vec<JobPlace>, StoreError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut calls: Vec<Cmd> = found.iter().map(|(_, uid, _)| self.fields(uid)).collect();
        for tag in tags.iter() {
            let mut scores = self.of_set("ZMSCORE", &Index::Tag(tag.to_owned()));
            for (id, uid, _) in &found {
                scores.arg(id_member(id, uid));
            }
            calls.push(scores);
        }
        let mut rows = self.link.read(calls).await?;
        let scores = rows.split_off(found.len().min(rows.len()));
        let scores = self.understood(scores.into_iter().map(items).collect::<Result<Vec<_>, _>>())?;
        let mut places = Vec::with_capacity(found.len());
        for (at, ((id, uid, found_by), row)) in found.into_iter().zip(rows).enumerate() {
            let fields = self.understood(Fields::of(row))?;
            let has = |scores: &Vec<Value>| scores.get(at).is_some_and(|score| *score != Value::Nil);
            // What has moved on since has another place.
            let is_here = found_by.is_none_or(|time| time == fields.next_fire_time);
            places.push(JobPlace {
                uid: uid.parse().unwrap_or(JobKey::BEHIND_ALL),
                key: uid,
                id,
                next_fire_time: found_by.unwrap_or(fields.next_fire_time),
                state: fields.state(),
                task: fields.task.into(),
                has_tags: Some(is_here && scores.iter().all(has)),
            });
        }
        Ok(places)
    }

    fn fields(&self, uid: &str) -> Cmd {
        let mut get = cmd("HMGET");
        get.arg(self.link.names.of("job", uid)).arg(&["id", "task", "state", "next_fire_time", "retained_until"]);
        get
    }

    /// Says of jobs that are over which tasks they have.
    async fn with_tasks(&self, mut places: Vec<JobPlace>) -> Result<Vec<JobPlace>, StoreError> {
        let rows = self.link.read(places.iter().map(|place| self.fields(&place.key)).collect()).await?;
        for (place, row) in places.iter_mut().zip(rows) {
            place.task = self.understood(Fields::of(row))?.task.into();
        }
        Ok(places)
    }

    /// Says of runs which jobs they are of.
    async fn with_jobs(&self, mut places: Vec<RunPlace>) -> Result<Vec<RunPlace>, StoreError> {
        let uids: BTreeSet<Uid> = places.iter().map(|place| place.key.run.uid).collect();
        let rows = self.link.read(uids.iter().map(|uid| self.fields(&uid.to_string())).collect()).await?;
        let rows = self.understood(rows.into_iter().map(Fields::of).collect::<Result<Vec<_>, _>>())?;
        let jobs: BTreeMap<Uid, Fields> = uids.into_iter().zip(rows).collect();
        for place in &mut places {
            place.job = jobs.get(&place.key.run.uid).and_then(Fields::known_job);
        }
        Ok(places)
    }

    /// The runs of jobs, of which more than so many are of no use.
    async fn runs_of_jobs(&self, uids: &BTreeSet<Uid>, limit: usize) -> Result<Vec<Run>, StoreError> {
        let mut runs = Vec::new();
        for uid in uids {
            let mut before = u64::MAX;
            while runs.len() < limit {
                let page = self.page_of_runs(*uid, before, Self::BATCH).await?;
                runs.extend(page.runs);
                match page.rest {
                    Some(rest) => before = rest,
                    None => break,
                }
            }
        }
        Ok(runs)
    }

    /// The runs that nodes run, of which more than so many are of no use.
    async fn running(&self, limit: usize) -> Result<Vec<Run>, StoreError> {
        let nodes = self.understood(texts(self.one(self.command("SMEMBERS", "runners")).await?))?;
        let look = |node: String| {
            let mut look = self.of_set("ZRANGE", &Index::Running(node.into()));
            look.arg(0).arg(limit.saturating_sub(1));
            look
        };
        let found = self.link.read(nodes.into_iter().map(look).collect()).await?;
        let members = self.understood(found.into_iter().map(texts).collect::<Result<Vec<_>, _>>())?.concat();
        let ids = members.iter().filter_map(|member| run_of_member(member)).take(limit).collect();
        (&self).runs(&ids).await
    }
}

/// The id and the uid of a job, and its next fire time if it was found by that.
type Member = (JobId, String, Option<Option<chrono::DateTime<chrono::Utc>>>);

fn of_ids(members: Vec<String>) -> Vec<Member> {
    let member = |member: String| {
        let (id, uid) = of_id_member(&member);
        (id, uid, None)
    };
    members.into_iter().map(member).collect()
}

/// Where a walk by id goes on.
fn behind_live(prefix: &str, after: Option<&JobKey>) -> String {
    match after.map(|after| after.id.as_str()).filter(|id| *id >= prefix) {
        Some(id) => format!("[{id}\x01"),
        None => format!("[{prefix}"),
    }
}

fn index_of(group: JobGroup<'_>) -> Index {
    match group {
        JobGroup::Tag(tag) => Index::Tag(tag.to_owned()),
        JobGroup::Task(task) => Index::Task(task.to_string()),
        JobGroup::State(kind) => Index::State(kind),
    }
}

fn size(reply: Value) -> Result<usize, Misread> {
    Ok(usize::try_from(number(reply)?).unwrap_or_default())
}

fn place_of(run: &Run) -> RunPlace {
    RunPlace {
        key: RunKey::of(run),
        state: Some(RunStateKind::of(run.state)),
        verdict: run.verdict(),
        node: run.owner.clone(),
        job: None,
    }
}

/// What a search reads of a job that it does not load.
#[derive(Debug)]
struct Fields {
    id: Option<String>,
    task: String,
    state: Option<String>,
    next_fire_time: Option<chrono::DateTime<chrono::Utc>>,
    is_retained: bool,
}

impl Fields {
    fn of(row: Value) -> Result<Self, Misread> {
        let [id, task, state, next, retained_until] = fixed(row)?;
        Ok(Self {
            id: optional(id, text)?,
            task: optional(task, text)?.unwrap_or_default(),
            state: optional(state, text)?,
            // What cannot be read is shown as none.
            next_fire_time: optional(next, time).ok().flatten(),
            is_retained: retained_until != Value::Nil,
        })
    }

    fn state(&self) -> JobStateKind {
        let Some(word) = &self.state else { return JobStateKind::Active };
        JobState::parse(word, None).and_then(|state| JobStateKind::of(&state)).unwrap_or(JobStateKind::Quarantined)
    }

    /// The id and the task of a job that is live or stays known.
    fn known_job(&self) -> Option<(JobId, TaskName)> {
        let is_known = match self.state.as_deref() {
            Some("ending") => self.is_retained,
            Some("removed") => false,
            _ => true,
        };
        let id = self.id.as_deref().filter(|_| is_known)?;
        Some((id.into(), self.task.as_str().into()))
    }
}
