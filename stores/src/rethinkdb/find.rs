//! How documents, nodes and runs are found.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Claim, Declined, StoreError},
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
    rows::{PENDING, documents, restored, version},
    schema::{ASKED, CLAIM_UNTIL, DUE, LIVE_ID, NEVER, OWNER, RETAINED_UNTIL, RUNNING},
};
use crate::kit::{Document, HoldKind, Node, node_of, run_of};

/// After all uids.
const AFTER: &str = "~";

impl Database {
    pub(super) async fn server_now(&self) -> Result<DateTime<Utc>, StoreError> {
        let seconds = self.client.value(r.now().to_epoch_time()).await?.as_f64();
        // RethinkDB tells milliseconds, as a fraction of a second.
        let millis = seconds.map(|seconds| (seconds * 1e3).round() as i64);
        millis
            .and_then(DateTime::from_timestamp_millis)
            .ok_or_else(|| self.client.failures.unavailable("the server does not tell the time"))
    }

    pub(super) async fn documents_by_key(&self, keys: &BTreeSet<String>) -> Result<Vec<Document>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = r.args(keys.iter().cloned().collect::<Vec<_>>());
        let mut rows = self.client.rows(self.tables.jobs().get_all(keys)).await?;
        rows.retain(|row| row.get(PENDING).is_none());
        Ok(documents(rows))
    }

    pub(super) async fn documents_by_live_id(&self, ids: &BTreeSet<JobId>) -> Result<Vec<Document>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = r.args(ids.iter().map(JobId::to_string).collect::<Vec<_>>());
        let found = self.tables.jobs().get_all(r.with_opt(ids, r.index(LIVE_ID)));
        Ok(documents(self.client.rows(found).await?))
    }

    pub(super) async fn page(&self, after: Option<&JobId>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let after = after.map_or_else(String::new, JobId::to_string);
        let bounds = BetweenOptions::new().index(LIVE_ID.to_owned()).left_bound(Status::Open);
        let rest = self.tables.jobs().between(after, r.maxval(), r.with_opt((), bounds));
        let page = rest.order_by(r.index(LIVE_ID)).limit(limit);
        Ok(documents(self.client.rows(page).await?))
    }

    pub(super) async fn due_for(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let (tasks, owner) = (tasks(claim), claim.owner.to_string());
        let (max_v, lapsed_by) = (claim.max_v, claim.lapsed_by(now).map(|by| by.timestamp_micros()));
        let due = self.due_between(since, now).filter(func!(move |job| is_for(job.clone(), tasks, max_v).and(
            is_claimed(job.clone())
                .not()
                .or(job.clone().g("owner").eq(owner))
                .or(r.expr(lapsed_by.is_some()).and(job.g("claim_until").le(lapsed_by)))
        )));
        Ok(documents(self.client.rows(due.limit(limit)).await?))
    }

    pub(super) async fn due_after(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (tasks, max_v, owner) = (tasks(claim), claim.max_v, claim.owner.to_string());
        let later = self.between_dues(json!([now.timestamp_micros() + 1]), json!([NEVER]));
        let due = later.filter(func!(move |job| is_for(job.clone(), tasks, max_v)
            .and(is_claimed(job.clone()).not().or(job.g("owner").eq(owner)))));
        self.first_time(due, DUE).await
    }

    /// The jobs that are over and stay known until a time up to now.
    pub(super) async fn expired_by(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let bounds = BetweenOptions::new().index(RETAINED_UNTIL.to_owned());
        let till = now.timestamp_micros() + 1;
        let expired =
            self.tables.jobs().between(-NEVER, till, r.with_opt((), bounds)).order_by(r.index(RETAINED_UNTIL));
        Ok(documents(self.client.rows(expired.limit(limit)).await?))
    }

    pub(super) async fn claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (tasks, max_v, owner) = (tasks(claim), claim.max_v, claim.owner.to_string());
        let bounds = BetweenOptions::new().index(CLAIM_UNTIL.to_owned());
        let claimed = self.tables.jobs().between(-NEVER, NEVER, r.with_opt((), bounds)).order_by(r.index(CLAIM_UNTIL));
        let claimed = claimed.filter(func!(move |job| is_for(job.clone(), tasks, max_v)
            .and(is_claimed(job.clone()))
            .and(job.g("owner").ne(owner))));
        self.first_time(claimed, CLAIM_UNTIL).await
    }

    pub(super) async fn left_alone(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Declined>, StoreError> {
        let (tasks, max_v) = (tasks(claim), claim.max_v);
        let due = self
            .due_between(None, now)
            .filter(func!(move |job| is_claimed(job.clone()).not().and(is_for(job, tasks, max_v).not())));
        let found = self.client.rows(due.limit(limit).pluck(r.args(["id", "task", "v"]))).await?;
        let declined = |job: Value| {
            let word = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default();
            let v = job.get("v").and_then(Value::as_u64).and_then(|v| u32::try_from(v).ok()).unwrap_or_default();
            Declined { id: word("id").into(), task: word("task").into(), v }
        };
        Ok(found.into_iter().map(restored).map(declined).collect())
    }

    pub(super) async fn held(&self, node: &NodeId, hold: HoldKind, limit: usize) -> Result<Vec<Document>, StoreError> {
        let node = node.to_string();
        let held = match hold {
            HoldKind::Claim => {
                let claimed = self.tables.jobs().get_all(r.with_opt(r.args([node]), r.index(OWNER)));
                claimed.filter(func!(|job| is_claimed(job)))
            }
            HoldKind::Run => self.run_by(RUNNING, &node).order_by(r.index(RUNNING)),
            HoldKind::Stop => self.run_by(ASKED, &node),
        };
        let mut held = documents(self.client.rows(held.limit(limit)).await?);
        // reqlite gives a job several times if several of its runs have the same place in an index.
        held.dedup_by(|a, b| a.key == b.key);
        Ok(held)
    }

    /// Asks for each known node whether it runs something, and in each gap between two of them for one that is not known,
    /// until there is none: two queries, usually, however many runs there are.
    pub(super) async fn running(&self) -> Result<BTreeSet<NodeId>, StoreError> {
        let mut known: BTreeSet<String> = self.all_nodes().await?.iter().map(|node| node.id.to_string()).collect();
        loop {
            let lefts = std::iter::once(r.minval()).chain(known.iter().map(|name| r.expr(json!([name, AFTER]))));
            let rights = known.iter().map(|name| r.expr(json!([name]))).chain([r.maxval()]);
            let gaps = lefts.zip(rights).map(|(left, right)| self.between_runs(RUNNING, left, right));
            let own = known.iter().map(|name| self.run_by(RUNNING, name));
            let one = |jobs: Command| jobs.limit(1).coerce_to("array");
            let found = self.client.rows(array(own.chain(gaps).map(one))).await?;
            let (own, gaps) = found.split_at(known.len().min(found.len()));
            let runs_something = own.iter().map(|jobs| jobs.as_array().is_some_and(|jobs| !jobs.is_empty()));
            let in_gaps = gaps.iter().filter_map(Value::as_array).flatten().cloned().collect();
            let new: Vec<String> = documents(in_gaps)
                .iter()
                .flat_map(|document| document.index().running)
                .map(|node| node.to_string())
                .filter(|name| !known.contains(name))
                .collect();
            if new.is_empty() {
                let running = known.iter().zip(runs_something).filter(|(_, runs)| *runs);
                return Ok(running.map(|(name, _)| NodeId::from(name.as_str())).collect());
            }
            known.extend(new);
        }
    }

    pub(super) async fn all_nodes(&self) -> Result<Vec<Node>, StoreError> {
        Ok(self.client.rows(self.tables.nodes()).await?.into_iter().filter_map(node).collect())
    }

    pub(super) async fn one_node(&self, id: &NodeId) -> Result<Option<Node>, StoreError> {
        Ok(node(self.client.value(self.tables.nodes().get(id.to_string())).await?))
    }

    pub(super) async fn archived_runs(&self, runs: &BTreeSet<(Uid, u64)>) -> Result<Vec<Run>, StoreError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = runs.iter().map(|(uid, seq)| run_key(*uid, *seq)).collect();
        self.runs_of(self.tables.runs().get_all(r.args(keys))).await
    }

    pub(super) async fn runs_page(&self, uid: Uid, before: u64, limit: usize) -> Result<Vec<Run>, StoreError> {
        let below = self.tables.runs().between(run_key(uid, 0), run_key(uid, before), ());
        self.runs_of(below.order_by(r.index(r.desc("id"))).limit(limit)).await
    }

    async fn runs_of(&self, query: Command) -> Result<Vec<Run>, StoreError> {
        let rows = self.client.rows(query).await?;
        let run = |row| restored(row).as_object().and_then(|fields| run_of(fields).ok());
        Ok(rows.into_iter().filter_map(run).collect())
    }

    /// The jobs due by `now`, and since a time if one is given, in the order of (`due`, `uid`).
    fn due_between(&self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Command {
        let start = since.map_or_else(|| json!([-NEVER]), |since| json!([since.timestamp_micros()]));
        self.between_dues(start, json!([now.timestamp_micros() + 1]))
    }

    fn between_dues(&self, left: Value, right: Value) -> Command {
        let bounds = BetweenOptions::new().index(DUE.to_owned());
        let between = self.tables.jobs().between(left, right, r.with_opt((), bounds)).order_by(r.index(DUE));
        between.filter(func!(|job| job.g("state").default("active").ne("quarantined")))
    }

    async fn first_time(&self, jobs: Command, name: &'static str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = self.client.value(jobs.limit(1).pluck(name)).await?;
        Ok(restored(first).get(name).and_then(Value::as_i64).and_then(DateTime::from_timestamp_micros))
    }

    /// The jobs of which a node runs something.
    fn run_by(&self, index: &'static str, node: &str) -> Command {
        self.between_runs(index, r.expr(json!([node])), r.expr(json!([node, AFTER])))
    }

    fn between_runs(&self, index: &'static str, left: Command, right: Command) -> Command {
        let bounds = BetweenOptions::new().index(index.to_owned());
        self.tables.jobs().between(left, right, r.with_opt((), bounds))
    }
}

/// The primary key of a run, by which the runs of a job are in order.
pub(super) fn run_key(uid: Uid, seq: u64) -> String {
    format!("{uid}-{seq:016x}")
}

fn node(row: Value) -> Option<Node> {
    let Value::Object(fields) = restored(row) else { return None };
    let id = fields.get("id")?.as_str()?.to_owned();
    Some(node_of(id, version(&fields), &fields))
}

fn tasks(claim: &Claim) -> Value {
    claim.tasks.iter().map(|task| task.as_str()).collect()
}

/// As `is_for` of the documents' index.
fn is_for(job: Command, tasks: Value, max_v: u32) -> Command {
    r.expr(tasks).contains(job.clone().g("task").default("")).and(job.g("v").default(0).le(max_v))
}

fn is_claimed(job: Command) -> Command {
    job.has_fields(r.args([OWNER, CLAIM_UNTIL]))
}
