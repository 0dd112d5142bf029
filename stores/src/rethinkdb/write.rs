//! How documents, nodes and runs are written.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

use scheduler_core::{Run, Uid, store::StoreError};
use serde_json::{Map, Value, json};
use unreql::{
    Command,
    cmd::options::{Conflict, InsertOptions, ReplaceOptions, ReturnChanges},
    func, r, rjson,
};

use super::{
    Database,
    client::array,
    find::run_key,
    ids::{is_there, ticket_of},
    rows::{NO_VERSION, TICKET, UID, VERSION, next_version, step, stored},
};
use crate::kit::{Document, Node, Replace, node_fields, run_fields};

impl Database {
    /// One query for all of them: RethinkDB looks at a document and replaces it in one atomic step.
    pub(super) async fn replace_all(&self, replacements: &[Replace]) -> Result<Vec<bool>, StoreError> {
        let mut steps = Map::new();
        for Replace { old, new } in replacements {
            if !steps.contains_key(&old.key) {
                steps.insert(old.key.clone(), step(old, new.as_ref()));
            }
        }
        let over: Vec<&Document> = replacements.iter().filter_map(ends).collect();
        let tickets = self.tickets(&over).await?;
        let written = self.take_steps(steps).await?;
        let freed = over.iter().filter(|document| written.contains(&document.key));
        let freed = freed.filter_map(|it| Some((it.index().live_id?.to_string(), tickets.get(&it.key)?.clone())));
        self.give_up_ids(freed.collect()).await?;
        Ok(replacements.iter().map(|replacement| written.contains(&replacement.old.key)).collect())
    }

    /// The tickets of documents, by key.
    async fn tickets(&self, documents: &[&Document]) -> Result<Map<String, Value>, StoreError> {
        if documents.is_empty() {
            return Ok(Map::new());
        }
        let keys: Vec<String> = documents.iter().map(|document| document.key.clone()).collect();
        let found = self.tables.jobs().get_all(r.args(keys));
        let rows = found.map(func!(|job| rjson!({ UID: job.clone().g(UID), TICKET: ticket_of(job) })));
        let rows = self.client.rows(rows).await?;
        Ok(rows.iter().filter_map(|row| Some((row[UID].as_str()?.to_owned(), row[TICKET].clone()))).collect())
    }

    /// Takes the steps whose documents have the expected version, and gives the keys of these.
    async fn take_steps(&self, steps: Map<String, Value>) -> Result<BTreeSet<String>, StoreError> {
        if steps.is_empty() {
            return Ok(BTreeSet::new());
        }
        let deletions = steps.iter().filter(|(_, step)| step["put"].is_null()).map(|(key, _)| key.clone());
        let deletions: BTreeSet<String> = deletions.collect();
        let jobs = self.tables.jobs().get_all(r.args(steps.keys().cloned().collect::<Vec<_>>()));
        let options = ReplaceOptions::new().return_changes(ReturnChanges::Bool(true));
        let write = r.expr(Value::Object(steps)).do_(func!(move |steps| {
            let replace = func!(move |job| {
                let step = steps.bracket(job.clone().g(UID));
                let is_expected = job.clone().g(VERSION).default(Value::Null).eq(step.clone().g(VERSION));
                let changed = job.clone().without(step.clone().g("drop")).merge(step.clone().g("put"));
                let taken = r.branch(step.has_fields("put"), changed, Value::Null);
                r.branch(is_there(job.clone()).and(is_expected), taken, job)
            });
            jobs.replace(r.with_opt(replace, options))
        }));
        let reply = self.client.once(write.do_(func!(|reply| summary(reply)))).await?;
        self.check(&reply)?;
        let keys = reply["written"].as_array().into_iter().flatten();
        let mut written: BTreeSet<String> = keys.filter_map(Value::as_str).map(str::to_owned).collect();
        // reqlite does not name what it has deleted.
        if count(&reply, "deleted") == deletions.len() {
            written.extend(deletions);
        }
        if written.len() != count(&reply, "deleted") + count(&reply, "replaced") {
            return Err(self.client.failures.unavailable("the server does not say which documents it has written"));
        }
        Ok(written)
    }

    /// Runs a write, which is sent once, and says how many rows it has changed.
    pub(super) async fn written(&self, write: Command) -> Result<usize, StoreError> {
        let reply = self.client.once(write).await?;
        self.check(&reply)?;
        Ok(["inserted", "replaced", "deleted"].iter().map(|name| count(&reply, name)).sum())
    }

    fn check(&self, reply: &Value) -> Result<(), StoreError> {
        reply["first_error"].as_str().map_or(Ok(()), |reason| Err(self.client.failures.refused(reason)))
    }

    pub(super) async fn write_node(&self, node: &Node) -> Result<Option<Node>, StoreError> {
        let new = Node { version: next_version(node.version), ..node.clone() };
        let mut fields = node_fields(&new);
        fields.insert(VERSION.to_owned(), new.version.into());
        let row = stored(Value::Object(fields));
        let is_written = if node.version == 0 {
            self.insert_node(node, row).await?
        } else {
            self.replace_node(node, r.expr(row)).await?
        };
        Ok(is_written.then_some(new))
    }

    pub(super) async fn delete_node(&self, node: &Node) -> Result<bool, StoreError> {
        self.replace_node(node, r.expr(Value::Null)).await
    }

    async fn insert_node(&self, node: &Node, row: Value) -> Result<bool, StoreError> {
        let reply = self.client.once(self.tables.nodes().insert(row)).await?;
        // One that is there already is an error like any other.
        if count(&reply, "inserted") == 0 && self.one_node(&node.id).await?.is_none() {
            self.check(&reply)?;
        }
        Ok(count(&reply, "inserted") == 1)
    }

    async fn replace_node(&self, node: &Node, new: Command) -> Result<bool, StoreError> {
        let version = node.version;
        let replace = func!(move |row| {
            let is_expected = match version {
                NO_VERSION => r.expr(true),
                version => row.clone().g(VERSION).default(0).eq(version),
            };
            r.branch(is_there(row.clone()).and(is_expected), new, row)
        });
        Ok(self.written(self.tables.nodes().get(node.id.to_string()).replace(replace)).await? == 1)
    }

    pub(super) async fn archive_runs(&self, runs: &[Run]) -> Result<(), StoreError> {
        let row = |run: &Run| {
            let mut fields = run_fields(run);
            fields.insert("id".to_owned(), run_key(run.id.uid, run.id.seq).into());
            stored(Value::Object(fields))
        };
        let options = InsertOptions::new().conflict(Conflict::Replace);
        // An error text can have some kilobytes.
        for runs in runs.chunks(500) {
            let rows = Value::Array(runs.iter().map(row).collect());
            let reply = self.client.value(self.tables.runs().insert(r.with_opt(rows, options))).await?;
            self.check(&reply)?;
        }
        Ok(())
    }

    pub(super) async fn delete_runs(&self, below: &[(Uid, u64)]) -> Result<(), StoreError> {
        let old =
            |(uid, end): &(Uid, u64)| self.tables.runs().between(run_key(*uid, 0), run_key(*uid, *end), ()).delete(());
        if !below.is_empty() {
            self.client.rows(array(below.iter().map(old))).await?;
        }
        Ok(())
    }

    /// Writes a number that has not been there before, so that no node takes it for one that it has seen.
    pub(super) async fn note_change(&self) -> Result<(), StoreError> {
        let change = self.tables.changes().update(json!({ "value": random() }));
        let reply = self.client.value(change).await?;
        self.check(&reply)
    }
}

/// The document that is replaced, if its job is live until then.
fn ends(Replace { old, new }: &Replace) -> Option<&Document> {
    let is_live = |document: &Document| document.index().live_id.is_some();
    (is_live(old) && !new.as_ref().is_some_and(is_live)).then_some(old)
}

/// What is needed of a write's reply, so that the documents themselves are not sent back.
fn summary(reply: Command) -> Command {
    let changes = reply.clone().g("changes").default(json!([]));
    let written = changes.map(func!(|change| change.g("old_val").g(UID)));
    reply.pluck(r.args(["replaced", "deleted", "first_error"])).merge(rjson!({ "written": written }))
}

fn count(reply: &Value, name: &str) -> usize {
    reply[name].as_f64().unwrap_or_default() as usize
}

/// A number that a float keeps, never drawn before as far as anybody can tell.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(()) >> 12
}
