//! The keys as a backend of the kit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redis::{Cmd, Value, cmd};
use scheduler_core::{
    JobId, NodeId, Run, RunId, Uid,
    store::{Changed, Claim, Clock, Declined, Durability, Hint, StoreError, StoreLimits, Wakes},
};

use super::{
    connection::Link,
    failure::Misread,
    find::{self, Found},
    names::{Index, run_of_member},
    options::RedisOptions,
    reply::{fixed, items, number, optional, packed, pairs, scored, text, texts, time},
    row::{ABSENT, Row, read_node, read_run},
    script::Lua,
    watch::Watch,
    write::{self, NodeWrite, Outcome, Write},
};
use crate::kit::{
    Access, Backend, HoldKind, Inserting, JobFinder, LoadedJob, NewJob, Node, Nodes, RunFinder, Session,
    rules::whole_micros,
};

/// The keys of one prefix.
pub(super) struct Keyspace {
    pub(super) link: Arc<Link>,
    watch: Watch,
    warnings: Vec<String>,
    marks: (RandomState, AtomicU64),
}

impl Keyspace {
    /// The most jobs, moves or entries of one call.
    pub(super) const BATCH: usize = 500;

    /// How often entries of an index that another program has left behind are put right before what is there counts.
    const ROUNDS: usize = 8;

    pub(super) async fn open(options: RedisOptions, client: redis::Client) -> Result<Self, StoreError> {
        let link = Arc::new(Link::new(options, client)?);
        let warnings = link.warnings().await;
        let watch = Watch::new(Arc::clone(&link));
        let keyspace = Self { link, watch, warnings, marks: Default::default() };
        keyspace.upgrade().await?;
        Ok(keyspace)
    }

    /// Lays out the keys, or brings those of an earlier schema up to date, in steps between which others have their turn. Where one
    /// has not come to the end, the next who opens the keys begins again.
    async fn upgrade(&self) -> Result<(), StoreError> {
        let step = |words: &[&str]| {
            let mut call = Lua::Upgrade.call(&self.link.names);
            call.arg(write::SCHEMA).arg(words);
            self.link.ask(vec![call])
        };
        let reply = step(&["begin"]).await?;
        if self.understood(fixed(Value::Array(reply)).and_then(|[begun]| number(begun)))? == 0 {
            return Ok(());
        }
        for set in ["ids", "retained"] {
            let mut from = "0".to_owned();
            loop {
                let reply = step(&[set, &from, "20"]).await?;
                from = self.understood(fixed(Value::Array(reply)).and_then(|[next]| text(next)))?;
                if from == "0" {
                    break;
                }
            }
        }
        step(&["end"]).await.map(drop)
    }

    /// A mark that no other write of a node has.
    fn mark(&self) -> u64 {
        let (random, drawn) = &self.marks;
        (random.hash_one(drawn.fetch_add(1, Ordering::Relaxed)) >> 1).max(2)
    }

    pub(super) fn understood<T>(&self, reply: Result<T, Misread>) -> Result<T, StoreError> {
        reply.map_err(|misread| self.link.failures.of_reply(&misread))
    }

    /// Sends one command that reads.
    pub(super) async fn one(&self, command: Cmd) -> Result<Value, StoreError> {
        Ok(self.link.read(vec![command]).await?.pop().unwrap_or(Value::Nil))
    }

    pub(super) fn command(&self, name: &str, key: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(self.link.names.key(key));
        command
    }

    /// Writes jobs, and a node before them. None if the node was not as it was read.
    async fn perform(&self, node: Option<NodeWrite<'_>>, writes: &[Write]) -> Result<Option<Vec<Outcome>>, StoreError> {
        let replies = self.link.ask(write::calls(&self.link.names, node.as_ref(), writes)).await?;
        let mut outcomes = Vec::with_capacity(writes.len());
        for reply in replies {
            match self.understood(write::outcomes(reply))? {
                Some(chunk) => outcomes.extend(chunk),
                None => return Ok(None),
            }
        }
        Ok(Some(outcomes))
    }

    /// Writes a node and then jobs, and says of each of those whether it was written.
    async fn put(&self, node: &Node, jobs: &[&LoadedJob]) -> Result<Option<(Node, Vec<bool>)>, StoreError> {
        let new = Node { version: self.mark(), ..node.clone() };
        let writes: Vec<Write> = jobs.iter().map(|job| Write::of(&self.link.names, job)).collect();
        let outcomes = self.perform(Some(NodeWrite::new(node, Some(&new))), &writes).await?;
        // What it says of itself is kept beside it.
        let new = Node { info: None, ..new };
        Ok(outcomes.map(|outcomes| (new, outcomes.into_iter().map(|outcome| outcome == Outcome::Written).collect())))
    }

    /// Puts entries right that do not agree with their jobs, unless those have been changed since.
    async fn mend(&self, mends: &[Write]) -> Result<(), StoreError> {
        self.perform(None, mends).await.map(drop)
    }

    /// The due jobs, and the entries that have led to something else.
    async fn find_due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(Vec<LoadedJob>, Vec<Write>), StoreError> {
        let mut call = Lua::Due.call(&self.link.names);
        call.arg(since.map_or_else(|| "-inf".to_owned(), |since| since.timestamp_micros().to_string()));
        call.arg(now.timestamp_micros()).arg(claim.owner.as_str());
        call.arg(claim.lapsed_by(now).map_or_else(String::new, |by| by.timestamp_micros().to_string()));
        call.arg(limit.min(Self::BATCH.saturating_add(1)));
        find::kinds_of(&mut call, claim);
        find::wanted(&mut call, true);
        let reply = self.one(call).await?;
        let (mut jobs, mut mends) = (Vec::new(), Vec::new());
        for (at, found) in self.understood(packed(reply).and_then(items))?.into_iter().enumerate() {
            let found = self.understood(Found::of(found))?;
            if at == Self::BATCH || !found.has_definition() {
                jobs.push(found.left_out());
                break;
            }
            match found.checked() {
                Ok(job) => jobs.push(job),
                Err(stray) => mends.push(stray.mend()),
            }
        }
        Ok((jobs, mends))
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace")
            .field("place", &self.place())
            .field("options", &self.link.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Keyspace {
    fn limits(&self) -> StoreLimits {
        StoreLimits::new(self.link.options.clock, Wakes::Push, Durability::Durable)
            .with_payload(self.link.options.payload)
            .with_batch(Self::BATCH)
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn place(&self) -> String {
        self.link.failures.place().to_owned()
    }

    async fn begin(&self) -> Result<Box<dyn Session + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.watch.changed(seen).await
    }
}

#[async_trait]
impl Session for &Keyspace {
    async fn now(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        if self.link.options.clock == Clock::Caller {
            return Ok(whole_micros(at));
        }
        let reply = self.one(cmd("TIME")).await?;
        let read = || {
            let [seconds, micros] = fixed(reply)?;
            let nanos = u32::try_from(number(micros)?).ok().and_then(|micros| micros.checked_mul(1_000));
            let time = DateTime::from_timestamp(number(seconds)?, nanos.unwrap_or_default());
            time.ok_or(Misread("a number that is no time"))
        };
        self.understood(read())
    }

    async fn insert(&self, jobs: &[NewJob<'_>]) -> Result<Vec<Inserting>, StoreError> {
        let writes: Vec<Write> = jobs.iter().map(|job| Write::insert(&self.link.names, job)).collect();
        Ok(self.perform(None, &writes).await?.unwrap_or_default().into_iter().map(Inserting::from).collect())
    }

    async fn by_key(&self, keys: &BTreeSet<String>, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let rows = self.load(keys.iter().map(|key| (None, key.clone())).collect(), access).await?;
        Ok(rows.into_iter().filter(Row::is_there).map(|row| row.loaded(access)).collect())
    }

    async fn by_live_id(&self, ids: &BTreeSet<JobId>, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let look = |id: &JobId| {
            let mut look = self.command("ZRANGEBYLEX", "ids");
            look.arg(format!("[{id}\0")).arg(format!("({id}\x01")).arg(&["LIMIT", "0", "1"]);
            look
        };
        let found = self.link.read(ids.iter().map(look).collect()).await?;
        let members = self.understood(found.into_iter().map(texts).collect::<Result<Vec<_>, _>>())?.concat();
        let rows = self.load(find::names(&members), access).await?;
        Ok(rows.into_iter().map(|row| row.loaded(access)).collect())
    }

    async fn list(&self, after: Option<&JobId>, limit: usize, access: Access) -> Result<Vec<LoadedJob>, StoreError> {
        let mut look = self.command("ZRANGEBYLEX", "ids");
        look.arg(after.map_or_else(|| "-".to_owned(), |id| format!("[{id}\x01"))).arg(&["+", "LIMIT", "0"]).arg(limit);
        let members = self.understood(texts(self.one(look).await?))?;
        let rows = self.load(find::names(&members), access).await?;
        Ok(rows.into_iter().map(|row| row.loaded(access)).collect())
    }

    async fn write(&self, jobs: &[&LoadedJob], _: DateTime<Utc>) -> Result<Vec<bool>, StoreError> {
        let writes: Vec<Write> = jobs.iter().map(|job| Write::of(&self.link.names, job)).collect();
        let outcomes = self.perform(None, &writes).await?.unwrap_or_default();
        Ok(outcomes.into_iter().map(|outcome| outcome == Outcome::Written).collect())
    }

    fn version_after(&self, version: u64) -> Option<u64> {
        // A job of another program is given what it is found by with the first write, and read again.
        (version != ABSENT && version > 0).then(|| version.saturating_add(1))
    }

    async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let mut jobs = Vec::new();
        for _ in 0..Keyspace::ROUNDS {
            let (found, mends) = self.find_due(claim, since, now, limit).await?;
            jobs = found;
            if mends.is_empty() {
                break;
            }
            self.mend(&mends).await?;
        }
        Ok(jobs)
    }

    async fn next(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        _: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut call = Lua::Next.call(&self.link.names);
        call.arg(now.timestamp_micros()).arg(claim.owner.as_str());
        find::kinds_of(&mut call, claim);
        let reply = self.one(call).await?;
        self.understood(optional(reply, time))
    }

    async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<LoadedJob>, StoreError> {
        let mut look = self.command("ZRANGEBYSCORE", "retained");
        look.arg("-inf").arg(now.timestamp_micros()).arg(&["LIMIT", "0"]).arg(limit.min(Keyspace::BATCH));
        let uids = self.understood(texts(self.one(look).await?))?;
        let (mut jobs, mut mends) = (Vec::new(), Vec::new());
        for row in self.load(uids.into_iter().map(|uid| (None, uid)).collect(), Access::Change).await? {
            let (uid, version, is_there) = (row.uid.clone(), row.version(), row.is_there());
            let job = row.loaded(Access::Change);
            if is_there && job.head().is_expired(now) {
                jobs.push(job);
            } else {
                let job = Some(&job).filter(|_| is_there);
                mends.push(Write::mend((Index::Retained, uid.clone()), &uid, version, job));
            }
        }
        self.mend(&mends).await?;
        Ok(jobs)
    }

    async fn declined(&self, claim: &Claim, now: DateTime<Utc>, limit: usize) -> Result<Vec<Declined>, StoreError> {
        let mut look = self.command("ZRANGEBYSCORE", "due");
        look.arg("-inf").arg(now.timestamp_micros());
        let kinds = self.understood(texts(self.one(look).await?))?;
        let look = |kind: &String| {
            let mut look = cmd("ZRANGEBYSCORE");
            look.arg(self.link.names.of("due", kind)).arg("-inf").arg(now.timestamp_micros());
            look.arg(&["WITHSCORES", "LIMIT", "0"]).arg(limit);
            look
        };
        let others = kinds.iter().filter(|kind| !find::can_run(claim, kind));
        let found = self.link.read(others.map(look).collect()).await?;
        let entries = self.understood(found.into_iter().map(scored).collect::<Result<Vec<_>, _>>())?.concat();
        let named = entries.into_iter().map(|(uid, due)| Ok((text(uid)?, due))).collect::<Result<Vec<_>, _>>();
        let mut entries = self.understood(named)?;
        entries.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        entries.truncate(limit);
        let fields = |(uid, _): &(String, f64)| {
            let mut get = cmd("HMGET");
            get.arg(self.link.names.of("job", uid)).arg(&["id", "task", "v"]);
            get
        };
        let jobs = self.link.read(entries.iter().map(fields).collect()).await?;
        self.understood(jobs.into_iter().map(find::declined).collect())
    }

    async fn held_by(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        access: Access,
    ) -> Result<Vec<LoadedJob>, StoreError> {
        let mut jobs = Vec::new();
        for _ in 0..Keyspace::ROUNDS {
            let (found, mends) = self.find_held(node, hold, limit, access).await?;
            jobs = found;
            if mends.is_empty() {
                break;
            }
            self.mend(&mends).await?;
        }
        Ok(jobs)
    }

    async fn holds(&self, node: &NodeId, hold: HoldKind) -> Result<bool, StoreError> {
        let mut exists = cmd("EXISTS");
        exists.arg(find::index(node, hold).key(&self.link.names));
        let reply = self.one(exists).await?;
        Ok(self.understood(number(reply))? == 1)
    }

    async fn stopping(&self, node: &NodeId, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let mut range = cmd("ZRANGE");
        range.arg(Index::Asked(node.clone()).key(&self.link.names)).arg(0).arg(limit.saturating_sub(1));
        let members = self.understood(texts(self.one(range).await?))?;
        Ok(members.iter().filter_map(|member| run_of_member(member)).collect())
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let [nodes, runners] =
            [("HGETALL", "nodes"), ("SMEMBERS", "runners")].map(|(name, key)| self.command(name, key));
        let replies = self.link.read(vec![nodes, runners]).await?;
        let read = || {
            let [nodes, runners] = fixed(Value::Array(replies))?;
            let known = pairs(nodes)?;
            let known = known.iter().map(|(id, value)| read_node(id, value)).collect();
            Ok(Nodes { known, running: texts(runners)?.into_iter().map(NodeId::from).collect() })
        };
        self.understood(read())
    }

    async fn node_infos(&self) -> Result<BTreeMap<NodeId, Arc<str>>, StoreError> {
        let infos = self.understood(pairs(self.one(self.command("HGETALL", "infos")).await?))?;
        Ok(infos.into_iter().map(|(id, info)| (NodeId::from(id), Arc::from(info))).collect())
    }

    async fn node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        let mut get = self.command("HGET", "nodes");
        get.arg(id.as_str());
        let value = self.understood(optional(self.one(get).await?, text))?;
        Ok(value.map(|value| read_node(id.as_str(), &value)))
    }

    async fn put_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        Ok(self.put(node, &[]).await?.map(|(node, _)| node))
    }

    async fn put_node_and_write(
        &self,
        node: &Node,
        jobs: &[&LoadedJob],
        _: DateTime<Utc>,
    ) -> Result<Option<(Node, Vec<bool>)>, StoreError> {
        self.put(node, jobs).await
    }

    async fn remove_node(&self, node: &Node) -> Result<bool, StoreError> {
        Ok(self.perform(Some(NodeWrite::new(node, None)), &[]).await?.is_some())
    }

    async fn ended(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        let look = |(uid, seq): &(Uid, u64)| {
            let mut look = cmd("ZRANGEBYSCORE");
            look.arg(self.link.names.of("ended", &uid.to_string())).arg(seq).arg(seq).arg(&["LIMIT", "0", "1"]);
            look
        };
        let found = self.link.read(runs.iter().map(look).collect()).await?;
        let mut ended = Vec::new();
        for ((uid, _), found) in runs.iter().zip(found) {
            let found = self.understood(items(found))?;
            // One that cannot be read is as good as gone.
            ended.extend(found.into_iter().filter_map(|run| read_run(&uid.to_string(), run).ok()));
        }
        Ok(ended)
    }

    async fn history(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let (mut runs, mut before) = (Vec::new(), before);
        while runs.len() < limit {
            let page = self.page_of_runs(uid, before, (limit - runs.len()).min(Keyspace::BATCH)).await?;
            runs.extend(page.runs);
            match page.rest {
                Some(rest) => before = rest,
                None => break,
            }
        }
        runs.truncate(limit);
        Ok(runs)
    }

    fn job_finder(&self) -> Option<&dyn JobFinder> {
        Some(self)
    }

    fn run_finder(&self) -> Option<&dyn RunFinder> {
        Some(self)
    }

    async fn announce(&self, hints: &[Hint]) -> Result<(), StoreError> {
        let mut publish = self.command("PUBLISH", "changes");
        publish.arg(find::announcement(hints));
        self.link.ask(vec![publish]).await.map(drop)
    }
}
