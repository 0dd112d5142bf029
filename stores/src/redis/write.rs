//! What is written: of each job a list of commands, which the server performs if the job is as it was read.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, Utc};
use redis::{Cmd, Value};
use scheduler_core::{JobBody, JobId, JobState, Run, RunState, Verdict, store::JobStateKind};
use serde_json::json;

use super::{
    failure::Misread,
    names::{Index, Names, claim_member, fired_member, id_member, next_member, run_member},
    reply::{optional, text},
    row::{ABSENT, name_of, tags_of, write_node, write_run},
    script::{Lua, list},
};
use crate::kit::{
    Inserting, LoadedJob, NewJob, Node,
    columns::{HEAD, encode_totals, retention_column},
    rules::Head,
};

/// The version of the keys.
pub(super) const SCHEMA: i64 = 3;

/// How many jobs and bytes one call of the script carries: the server does nothing else meanwhile. A server that syncs its file with
/// each call (`appendfsync always`) does so once for all of them.
const JOBS: usize = 250;
const BYTES: usize = 4 << 20;

/// A write of one job.
#[derive(Debug)]
pub(super) struct Write {
    uid: String,
    /// As it was read.
    version: u64,
    /// The id that has to be free.
    new_id: Option<JobId>,
    /// The commands, each preceded by its length.
    commands: Words,
    entries: Vec<Entry>,
}

/// An entry of an index that goes, or comes with a score.
#[derive(Debug)]
struct Entry {
    index: Index,
    member: String,
    score: Option<i64>,
}

/// Words of commands, one behind the other.
#[derive(Debug, Default)]
struct Words {
    text: String,
    ends: Vec<usize>,
}

impl Words {
    fn push(&mut self, word: &str) {
        self.text.push_str(word);
        self.ends.push(self.text.len());
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(begin, end)| self.text.get(*begin..*end).unwrap_or_default())
    }
}

/// A write of a node.
#[derive(Debug)]
pub(super) struct NodeWrite<'a> {
    id: &'a str,
    /// The mark with which it was read.
    mark: u64,
    /// What it is to be; none to delete it.
    new: Option<&'a Node>,
}

impl<'a> NodeWrite<'a> {
    pub(super) fn new(old: &'a Node, new: Option<&'a Node>) -> Self {
        Self { id: old.id.as_str(), mark: old.version, new }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    Changed,
    IdIsTaken,
}

/// What one set gets or loses, each with the number of its job.
type Members<'w> = Vec<(usize, &'w Entry)>;

/// What a job is found by, with the scores: a few, each once.
type Entries = Vec<((Index, String), i64)>;

impl Write {
    fn new(uid: &str, version: u64) -> Self {
        Self { uid: uid.to_owned(), version, new_id: None, commands: Words::default(), entries: Vec::new() }
    }

    /// What the rules have changed of a job.
    pub(super) fn of(names: &Names, job: &LoadedJob) -> Self {
        let (uid, kind) = name_of(job);
        let (old, new) = (job.old_head(), job.head());
        let mut write = Self::new(uid, job.version());
        let found = FoundBy { uid, id: job.id(), kind, tags: tags_of(job), head: old };
        let (mut before, mut after);
        if let Some(reason) = job.quarantine() {
            (before, after) = (found.entries(), Entries::new());
            // What cannot be read is found by what is written, in the place of which this cannot tell.
            let due = (Index::Due(kind.to_owned()), uid.to_owned());
            if before.iter().all(|(at, _)| *at != due) {
                before.push((due, 0));
            }
            if new.state.is_live() {
                // Nor can it tell the state.
                before.retain(|((index, _), _)| !matches!(index, Index::State(_)));
                let head = Head { state: JobState::Quarantined(String::new()), claim: None, ..old.clone() };
                after = FoundBy { head: &head, ..found.clone() }.entries();
                write.set(names, job.version(), &[("state", Some("quarantined".into()))]);
            }
            let cleared = ["due", "owner", "claim_until"].map(|name| (name, None));
            write.set(names, job.version(), &[&[("reason", Some(reason.into()))][..], &cleared].concat());
        } else if job.is_deleted() {
            (before, after) = (found.entries(), Entries::new());
            for old in job.changed_runs().filter_map(|run| job.old_run(run.id.seq)) {
                before.extend(entries_of_run(uid, old));
                before.push(entry_of_time(uid, old));
            }
            let known = job.changed_runs().filter(|run| !run.is_open()).count();
            if usize::try_from(new.last_seq).is_ok_and(|last| last <= known) {
                write.command(["UNLINK", &names.of("job", uid), &names.of("open", uid), &names.of("ended", uid)]);
            } else {
                write.command(["FORGET", uid]);
            }
        } else {
            let redefined = job.redefined().map(|(body, _)| (kind_of(body), body));
            let mut found_now = FoundBy { head: new, ..found.clone() };
            if let Some((kind, body)) = &redefined {
                (found_now.kind, found_now.tags) = (kind, body.tags.iter().collect());
            }
            (before, after) = (found.entries_beside(&found_now), found_now.entries_beside(&found));
            write.set(names, job.version(), &changes(old, new, job.redefined()));
            for run in job.changed_runs() {
                match job.old_run(run.id.seq) {
                    // A run keeps its fire time.
                    Some(old) => before.extend(entries_of_run(uid, old)),
                    None => after.push(entry_of_time(uid, run)),
                }
                after.extend(entries_of_run(uid, run));
                write.run(names, uid, run);
            }
            if job.is_to_be_pruned() {
                write.command(["PRUNE", uid, &job.history().to_string()]);
            }
        }
        // Another program has added the job, and may not know what it is to be found by.
        if job.version() == 0 && !job.is_deleted() {
            write.command(["FIND", uid]);
        }
        write.index(before, after);
        write
    }

    /// A job that is added.
    pub(super) fn insert(names: &Names, new: &NewJob<'_>) -> Self {
        let (uid, head) = (new.row.uid.to_string(), Head::inserted(new.row));
        let mut write = Self::new(&uid, ABSENT);
        write.new_id = Some(new.row.id.clone());
        let mut fields = vec![("id", Some(new.row.id.as_str().into()))];
        fields.extend(changes(&Head::active(None, None), &head, Some((&new.row.body, new.body))));
        fields.retain(|(_, value)| value.is_some());
        write.set(names, 0, &fields);
        let (kind, tags) = (kind_of(&new.row.body), new.row.body.tags.iter().collect());
        let mut after = FoundBy { uid: &uid, id: &new.row.id, kind: &kind, tags, head: &head }.entries();
        // At once, so that the next job of the same call finds its id taken.
        let id = (Index::Ids, id_member(&new.row.id, &uid));
        let found = after.len();
        after.retain(|(at, _)| *at != id);
        if after.len() < found {
            write.command(["ZADD", &names.key("ids"), "0", &id.1]);
        }
        write.index(Entries::new(), after);
        write
    }

    /// An entry that does not agree with its job: it goes, and what the job is to be found by is there. A job that is not
    /// there is found by nothing.
    pub(super) fn mend(at: (Index, String), uid: &str, version: u64, job: Option<&LoadedJob>) -> Self {
        let mut write = Self::new(uid, version);
        write.index(vec![(at, i64::MIN)], job.map(|job| FoundBy::of(job).entries()).unwrap_or_default());
        write
    }

    fn bytes(&self) -> usize {
        self.commands.text.len()
    }

    fn command<'w>(&mut self, words: impl IntoIterator<Item = &'w str, IntoIter: ExactSizeIterator>) {
        let words = words.into_iter();
        self.commands.push(&words.len().to_string());
        words.for_each(|word| self.commands.push(word));
    }

    /// Sets fields of the job and clears those without a value.
    fn set(&mut self, names: &Names, version: u64, fields: &[(&'static str, Option<Cow<'_, str>>)]) {
        let key = names.of("job", &self.uid);
        let version = if version == ABSENT { 1 } else { version.saturating_add(1) }.to_string();
        let mut set = vec!["HSET", key.as_str(), "version", version.as_str()];
        let mut cleared = vec!["HDEL", key.as_str()];
        for (name, value) in fields {
            match value {
                Some(value) => set.extend([name, &**value]),
                None => cleared.push(name),
            }
        }
        self.command(set);
        if cleared.len() > 2 {
            self.command(cleared);
        }
    }

    fn run(&mut self, names: &Names, uid: &str, run: &Run) {
        let (open, seq) = (names.of("open", uid), run.id.seq.to_string());
        if run.is_open() {
            self.command(["HSET", &open, &seq, &write_run(run)]);
        } else {
            self.command(["HDEL", &open, &seq]);
            self.command(["ZADD", &names.of("ended", uid), &seq, &write_run(run)]);
        }
    }

    /// Brings what the job is found by from one state into another.
    fn index(&mut self, before: Entries, after: Entries) {
        let mut gone = before;
        for (at, score) in after {
            let old = gone.iter().position(|(known, _)| *known == at).map(|old| gone.swap_remove(old).1);
            if old != Some(score) {
                self.entries.push(Entry { index: at.0, member: at.1, score: Some(score) });
            }
        }
        self.entries.extend(gone.into_iter().map(|((index, member), _)| Entry { index, member, score: None }));
    }
}

/// The calls of the script that write jobs, and a node before them.
pub(super) fn calls(names: &Names, node: Option<&NodeWrite<'_>>, writes: &[Write]) -> Vec<Cmd> {
    let mut chunks: Vec<&[Write]> = Vec::new();
    let mut rest = writes;
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fits = rest.iter().take(JOBS).take_while(|write| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(write.bytes());
            is_first || bytes <= BYTES
        });
        let (chunk, left) = rest.split_at(fits.count());
        chunks.push(chunk);
        rest = left;
    }
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    chunks.iter().enumerate().map(|(at, chunk)| call(names, node, at == 0, chunk)).collect()
}

/// Calls after the first one write only if the node is as that has left it.
fn call(names: &Names, node: Option<&NodeWrite<'_>>, is_first: bool, writes: &[Write]) -> Cmd {
    let mut command = Lua::Write.call(names);
    command.arg(SCHEMA);
    match node {
        Some(NodeWrite { id, mark, new }) if is_first => {
            let info = new.and_then(|new| new.info.as_deref()).unwrap_or_default();
            command.arg(*id).arg(*mark).arg(new.map(write_node).unwrap_or_default()).arg(info)
        }
        Some(NodeWrite { id, mark, new }) => {
            command.arg(*id).arg(new.map_or(*mark, |new| new.version)).arg("=").arg("")
        }
        None => command.arg(&["", "", "", ""]),
    };
    command.arg(writes.len());
    // What the same set gets or loses goes in one command.
    let mut sets: BTreeMap<(bool, &Index), Members<'_>> = BTreeMap::new();
    for (job, write) in (1..).zip(writes) {
        let version = if write.version == ABSENT { "-1".to_owned() } else { write.version.to_string() };
        command.arg(&write.uid).arg(version).arg(write.new_id.as_ref().map_or("", JobId::as_str));
        command.arg(write.commands.ends.len());
        for word in write.commands.iter() {
            command.arg(word);
        }
        for entry in &write.entries {
            sets.entry((entry.score.is_some(), &entry.index)).or_default().push((job, entry));
        }
    }
    command.arg(sets.len());
    for ((is_added, index), members) in &sets {
        command.arg(if *is_added { "ZADD" } else { "ZREM" }).arg(index.key(names));
        command.arg(members.iter().map(|(job, _)| job.to_string()).collect::<Vec<_>>().join(","));
        command.arg(if *is_added { 2 * members.len() } else { members.len() });
        for (_, entry) in members {
            if let Some(score) = entry.score {
                command.arg(score);
            }
            command.arg(&entry.member);
        }
    }
    let touched: BTreeSet<&Index> = sets.into_keys().map(|(_, index)| index).collect();
    let (mut kinds, mut claimers, mut runners) = (Vec::new(), Vec::new(), Vec::new());
    for index in touched {
        match index {
            Index::Due(kind) => kinds.push(kind.as_str()),
            Index::Claims(node) => claimers.push(node.as_str()),
            Index::Running(node) => runners.push(node.as_str()),
            _ => {}
        }
    }
    for touched in [kinds, claimers, runners] {
        list(&mut command, touched.into_iter());
    }
    command
}

/// What became of the writes of a call; none if the node was not as it was read.
pub(super) fn outcomes(reply: Value) -> Result<Option<Vec<Outcome>>, Misread> {
    let outcome = |letter| match letter {
        'w' => Ok(Outcome::Written),
        'c' => Ok(Outcome::Changed),
        't' => Ok(Outcome::IdIsTaken),
        _ => Err(Misread("a letter")),
    };
    optional(reply, |reply| text(reply)?.chars().map(outcome).collect())
}

impl From<Outcome> for Inserting {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Written => Self::Done,
            Outcome::Changed => Self::UidIsTaken,
            Outcome::IdIsTaken => Self::IdIsTaken,
        }
    }
}

pub(super) fn kind_of(body: &JobBody) -> String {
    format!("{}:{}", body.v, body.task)
}

/// What a job is found by.
#[derive(Debug, Clone)]
struct FoundBy<'j> {
    uid: &'j str,
    id: &'j JobId,
    kind: &'j str,
    tags: Vec<&'j str>,
    head: &'j Head,
}

impl<'j> FoundBy<'j> {
    fn of(job: &'j LoadedJob) -> Self {
        let (uid, kind) = name_of(job);
        Self { uid, id: job.id(), kind, tags: tags_of(job), head: job.head() }
    }

    fn entries(&self) -> Entries {
        self.entries_but(false, false)
    }

    /// The same but for what another state of the job is found by as well, which most changes leave as it is.
    fn entries_beside(&self, other: &Self) -> Entries {
        let are_live = self.head.state.is_live() && other.head.state.is_live();
        let is_same = JobStateKind::of(&self.head.state) == JobStateKind::of(&other.head.state)
            && (self.kind, &self.tags) == (other.kind, &other.tags);
        let is_same = are_live && is_same;
        self.entries_but(is_same, is_same && self.head.next_fire_time == other.head.next_fire_time)
    }

    /// A claimed one is not among the due ones, so that claims of other nodes need not pass it.
    fn entries_but(&self, has_groups: bool, has_time: bool) -> Entries {
        let Self { uid, id, kind, head, .. } = self;
        let mut entries = Entries::new();
        let retained_until = head.retained_until.filter(|_| !head.state.is_live());
        if head.state.is_live() {
            if !has_groups {
                self.add_groups(&mut entries);
            }
            if !has_time {
                entries.push(((Index::Next, next_member(head.next_fire_time, id, uid)), 0));
            }
        } else if let Some(until) = retained_until {
            entries.push(((Index::Retained, (*uid).to_owned()), until.timestamp_micros()));
            entries.push(((Index::Over, id_member(self.id, uid)), 0));
        }
        let is_quarantined = matches!(head.state, JobState::Quarantined(_));
        match (&head.claim, head.due) {
            (Some(claim), _) => {
                let at = (Index::Claims(claim.owner.clone()), claim_member(uid, kind));
                entries.push((at, claim.until.timestamp_micros()));
            }
            (None, Some(due)) if !is_quarantined => {
                entries.push(((Index::Due((*kind).to_owned()), (*uid).to_owned()), due.timestamp_micros()));
            }
            _ => {}
        }
        entries
    }

    /// What calls and searches find a live job by, but for its next fire time.
    fn add_groups(&self, entries: &mut Entries) {
        let Self { uid, id, kind, tags, head } = self;
        let member = id_member(id, uid);
        let task = kind.split_once(':').map_or(*kind, |(_, task)| task);
        let state = JobStateKind::of(&head.state).filter(|state| *state != JobStateKind::Active);
        let groups = tags.iter().map(|tag| Index::Tag((*tag).to_owned())).chain(state.map(Index::State));
        entries.extend(groups.chain([Index::Task(task.to_owned())]).map(|index| ((index, member.clone()), 0)));
        entries.push(((Index::Ids, member), 0));
    }
}

/// What a run is found by for as long as it is known.
fn entry_of_time(uid: &str, run: &Run) -> ((Index, String), i64) {
    ((Index::Runs, fired_member(run.fire_time, uid, run.id.seq)), 0)
}

/// What else a run is found by.
fn entries_of_run(uid: &str, run: &Run) -> Entries {
    let fired = || fired_member(run.fire_time, uid, run.id.seq);
    let mut entries = Entries::new();
    match (run.state, &run.owner) {
        (RunState::Running, Some(owner)) => {
            let member = || run_member(uid, run.id.seq);
            entries.push(((Index::Running(owner.clone()), member()), 0));
            if run.cancel_requested {
                entries.push(((Index::Asked(owner.clone()), member()), 0));
            }
        }
        (RunState::Waiting(_), _) => entries.push(((Index::Waiting, fired()), 0)),
        (RunState::Ended(verdict), _) if verdict != Verdict::Ok => {
            entries.push(((Index::Verdict(verdict), fired()), 0));
        }
        _ => {}
    }
    entries
}

/// The fields that differ, with their new values; what is 0, none or a default has no field.
fn changes<'b>(
    old: &Head,
    new: &'b Head,
    body: Option<(&'b JobBody, &'b str)>,
) -> Vec<(&'static str, Option<Cow<'b, str>>)> {
    let mut changes: Vec<(&'static str, Option<Cow<'b, str>>)> = Vec::with_capacity(HEAD.len());
    let time = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros().to_string().into());
    if old.state != new.state {
        let reason = match &new.state {
            JobState::Quarantined(reason) => Some(reason.as_str().into()),
            _ => None,
        };
        changes.extend([("state", Some(new.state.as_str().into())), ("reason", reason)]);
    }
    let times = [
        ("next_fire_time", old.next_fire_time, new.next_fire_time),
        ("due", old.due, new.due),
        ("last_end", old.last_end, new.last_end),
        ("retained_until", old.retained_until, new.retained_until),
        ("claim_until", old.claim.as_ref().map(|it| it.until), new.claim.as_ref().map(|it| it.until)),
    ];
    changes.extend(times.into_iter().filter(|(_, old, new)| old != new).map(|(name, _, new)| (name, time(new))));
    let flags = [("blocked", old.blocked, new.blocked), ("nudged", old.claim_is_stale, new.claim_is_stale)];
    let flags = flags.into_iter().filter(|(_, old, new)| old != new);
    changes.extend(flags.map(|(name, _, new)| (name, new.then_some("1".into()))));
    let numbers = [
        ("revision", old.revision, new.revision),
        ("fence", old.fence, new.fence),
        ("settled_fence", old.settled_fence, new.settled_fence),
        ("last_seq", old.last_seq, new.last_seq),
    ];
    let numbers = numbers.into_iter().filter(|(_, old, new)| old != new);
    changes.extend(numbers.map(|(name, _, new)| (name, (new > 0).then(|| new.to_string().into()))));
    let owner = |head: &'b Head| head.claim.as_ref().map(|it| it.owner.as_str().into());
    if old.claim.as_ref().map(|it| &it.owner) != new.claim.as_ref().map(|it| &it.owner) {
        changes.push(("owner", owner(new)));
    }
    if old.totals != new.totals {
        changes.push(("totals", Some(encode_totals(&new.totals).into())));
    }
    if let Some((body, text)) = body {
        let options = &body.options;
        changes.extend([
            ("body", Some(text.into())),
            ("task", Some(body.task.as_str().into())),
            ("v", Some(body.v.to_string().into())),
            ("max_instances", Some(options.max_instances.to_string().into())),
            ("history", Some(options.history.to_string().into())),
            ("retention", retention_column(options.retention).map(|micros| micros.to_string().into())),
            ("tags", (!body.tags.is_empty()).then(|| json!(body.tags).to_string().into())),
        ]);
    }
    changes
}
