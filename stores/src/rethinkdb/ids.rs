//! How a job gets its id, which is unique among the live ones. RethinkDB keeps nothing unique but primary keys.
//!
//! The table of ids has a row for each id, under `r.uuid` of it, since a primary key is shorter than an id may be. It says
//! whose the id is: the job with this uid and this `ticket`, which is drawn at each insert, if there is one and it is live.
//! A job is added in three steps, each atomic in itself:
//!
//! 1. Its document is inserted, hidden in the field `pending`, where no index and no reader finds it.
//! 2. The row of the id is written, if there is none or it names a job that is not there or not live. This decides.
//! 3. The document comes out of hiding.
//!
//! A call that meets a hidden document that the row of its id names takes the third step for it. Of one that no row names,
//! the insert was given up; it is deleted by the next one that connects, ten minutes later.

mod plan;

use std::collections::{BTreeSet, HashMap};

use scheduler_core::store::StoreError;
use serde_json::{Map, Value, json};
use unreql::{
    Command,
    cmd::options::{BetweenOptions, InsertOptions, ReturnChanges},
    func, r, rjson,
};

use self::plan::{Face, IdRow, Plan, Seen, Take};
use super::{
    Database,
    client::array,
    rows::{PENDING, PENDING_SINCE, TICKET, UID, added},
    schema::{LIVE_ID, is_over},
    write::random,
};
use crate::kit::{Document, Inserting};

/// How often a decision is attempted while others add and remove jobs with the same ids.
const ATTEMPTS: usize = 16;
/// The most bytes of documents that one query carries; the server takes 64 MiB.
const QUERY_BYTES: usize = 8 << 20;
/// The age in seconds at which a hidden document is one that was given up: no insert takes so long.
const GIVEN_UP: u32 = 600;

impl Database {
    pub(super) async fn add_all(&self, all: &[Document]) -> Result<Vec<Inserting>, StoreError> {
        let mut outcomes = vec![None; all.len()];
        loop {
            let round = next_round(all, &outcomes);
            if round.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            let documents: Vec<&Document> = round.iter().filter_map(|at| all.get(*at)).collect();
            let added = self.add_round(&documents).await?;
            for (at, added) in round.into_iter().zip(added) {
                outcomes[at] = Some(added);
            }
        }
    }

    /// Adds documents that differ in key and id.
    async fn add_round(&self, round: &[&Document]) -> Result<Vec<Inserting>, StoreError> {
        let (inserted, refusal) = self.hide(round).await?;
        let mut outcomes: HashMap<&str, Inserting> = HashMap::new();
        for _ in 0..ATTEMPTS {
            let undecided: Vec<&Document> =
                round.iter().copied().filter(|it| !outcomes.contains_key(it.key.as_str())).collect();
            let seen = self.look(&undecided).await?;
            let mut plan = Plan::default();
            for document in &undecided {
                let Some(own) = seen.own.get(&document.key) else {
                    let gone = || self.client.failures.unavailable("a job was deleted while it was added");
                    return Err(refusal.map_or_else(gone, |reason| self.client.failures.refused(&reason)));
                };
                if own.is_pending {
                    plan.decide(own, &seen);
                } else {
                    let is_new = inserted.contains(&document.key);
                    outcomes.insert(&document.key, if is_new { Inserting::Done } else { Inserting::UidIsTaken });
                }
            }
            // If others have done some of it, the next look shows which of the winners are there.
            let are_shown = self.unhide(&plan).await?;
            for document in undecided {
                if plan.lost.contains_key(&document.key) {
                    outcomes.insert(&document.key, Inserting::IdIsTaken);
                } else if are_shown && plan.won.contains_key(&document.key) {
                    outcomes.insert(&document.key, Inserting::Done);
                }
            }
            if outcomes.len() == round.len() {
                return Ok(round.iter().filter_map(|it| outcomes.get(it.key.as_str()).copied()).collect());
            }
            self.take_ids(plan.takes).await?;
        }
        Err(self.client.failures.unavailable("others add and remove jobs with the same ids all the time"))
    }

    /// Takes the first step, and the second where an id has no row. Says which documents are new, and why others are not.
    async fn hide(&self, round: &[&Document]) -> Result<(BTreeSet<String>, Option<String>), StoreError> {
        let tickets: Vec<u64> = round.iter().map(|_| random()).collect();
        let hidden = round
            .iter()
            .zip(&tickets)
            .map(|(document, ticket)| json!({ UID: document.key, TICKET: ticket, PENDING: added(document) }));
        let hidden = r
            .expr(hidden.collect::<Value>())
            .map(func!(|job| job.merge(rjson!({ PENDING_SINCE: r.now().to_epoch_time() }))));
        let options = InsertOptions::new().return_changes(ReturnChanges::Bool(true));
        let insert = self.tables.jobs().insert(r.with_opt(hidden, options)).do_(func!(|reply| {
            let keys = reply.clone().g("changes").default(json!([])).map(func!(|it| it.g("new_val").g(UID)));
            reply.pluck("first_error").merge(rjson!({ "keys": keys }))
        }));
        let takes = round.iter().zip(&tickets).map(|(it, ticket)| id_row(id(it), &it.key, *ticket));
        let take = self.tables.ids().insert(array(takes));
        let reply = self.client.rows(array([insert, take])).await?;
        let reply = reply.first().unwrap_or(&Value::Null);
        let keys = reply["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Ok((keys.collect(), reply["first_error"].as_str().map(str::to_owned)))
    }

    /// What there is of the documents and of their ids.
    async fn look(&self, documents: &[&Document]) -> Result<Seen, StoreError> {
        let keys: Vec<String> = documents.iter().map(|document| document.key.clone()).collect();
        let ids: Vec<String> = documents.iter().map(|document| id(document).to_owned()).collect();
        let rows: Vec<Command> = ids.iter().map(|id| r.uuid(id.clone())).collect();
        let (jobs, live) = (self.tables.jobs(), r.with_opt(r.args(ids), r.index(LIVE_ID)));
        let own = jobs.clone().get_all(r.args(keys)).map(func!(|job| face(job))).coerce_to("array");
        let live = jobs.clone().get_all(live).map(func!(|job| face(job))).coerce_to("array");
        let holder = |row: Command| face(jobs.clone().get(row.g(UID)).default(json!({})));
        let rows = self.tables.ids().get_all(r.args(rows));
        let rows = rows.map(func!(|row| row.clone().merge(rjson!({ "holder": holder(row) })))).coerce_to("array");
        let reply = self.client.rows(array([own, live, rows])).await?;
        let list = |at: usize| reply.get(at).and_then(Value::as_array).into_iter().flatten();
        Ok(Seen {
            own: list(0).filter_map(Face::read).map(|face| (face.key.clone(), face)).collect(),
            live: list(1).filter_map(Face::read).map(|face| (face.id.clone(), face)).collect(),
            rows: list(2).filter_map(IdRow::read).collect(),
        })
    }

    /// Takes the second step for ids that are free by what was seen.
    async fn take_ids(&self, takes: Vec<Take>) -> Result<(), StoreError> {
        let ids = self.tables.ids();
        let take = |take: Take| {
            let new = id_row(&take.id, &take.key, take.ticket);
            let Some((key, ticket)) = take.from else { return ids.clone().insert(new) };
            ids.clone().get(r.uuid(take.id)).replace(func!(move |row| {
                let is_as_seen = row.clone().g(UID).default("").eq(key).and(ticket_of(row.clone()).eq(ticket));
                r.branch(is_as_seen, new, row)
            }))
        };
        if !takes.is_empty() {
            self.client.rows(array(takes.into_iter().map(take))).await?;
        }
        Ok(())
    }

    /// Takes the third step for those that have won, and deletes those that have lost. Says whether all were still hidden.
    async fn unhide(&self, plan: &Plan) -> Result<bool, StoreError> {
        let won = plan.won.iter().map(|(key, ticket)| (key.clone(), json!({ TICKET: ticket, "won": true })));
        let lost = plan.lost.iter().map(|(key, ticket)| (key.clone(), json!({ TICKET: ticket, "won": false })));
        let steps: Map<String, Value> = won.chain(lost).collect();
        if steps.is_empty() {
            return Ok(true);
        }
        let count = steps.len();
        let jobs = self.tables.jobs().get_all(r.args(steps.keys().cloned().collect::<Vec<_>>()));
        let write = r.expr(Value::Object(steps)).do_(func!(move |steps| jobs.replace(func!(move |job| {
            let step = steps.bracket(job.clone().g(UID));
            let is_meant = job.clone().has_fields(PENDING).and(ticket_of(job.clone()).eq(step.clone().g(TICKET)));
            let shown = job.clone().g(PENDING).merge(job.clone().pluck(TICKET));
            let taken = r.branch(step.g("won"), shown, Value::Null);
            r.branch(is_there(job.clone()).and(is_meant), taken, job)
        }))));
        Ok(self.written(write).await? == count)
    }

    /// Frees the ids of jobs that are over, given with their tickets.
    pub(super) async fn give_up_ids(&self, tickets: Map<String, Value>) -> Result<(), StoreError> {
        if tickets.is_empty() {
            return Ok(());
        }
        let keys: Vec<Command> = tickets.keys().map(|id| r.uuid(id.clone())).collect();
        let rows = self.tables.ids().get_all(r.args(keys));
        let write = r.expr(Value::Object(tickets)).do_(func!(move |tickets| rows.replace(func!(move |row| {
            let is_theirs = tickets.bracket(row.clone().g("job")).default(Value::Null).eq(ticket_of(row.clone()));
            r.branch(is_there(row.clone()).and(is_theirs), Value::Null, row)
        }))));
        self.written(write).await.map(drop)
    }

    /// Finishes inserts that died halfway, a hundred at most: those that were decided go on, the others are deleted.
    pub(super) async fn tidy(&self) -> Result<(), StoreError> {
        let bounds = BetweenOptions::new().index(PENDING_SINCE.to_owned());
        let old = r.now().to_epoch_time().sub(GIVEN_UP);
        let old = self.tables.jobs().between(0, old, r.with_opt((), bounds)).limit(100);
        let ids = self.tables.ids();
        let row = |job: Command| ids.clone().get(r.uuid(job.g(PENDING).g("id"))).default(json!({}));
        let old = old.map(func!(|job| rjson!({ "face": face(job.clone()), "row": row(job) })));
        let mut plan = Plan::default();
        for found in self.client.rows(old).await? {
            let Some(face) = Face::read(&found["face"]) else { continue };
            let is_decided = IdRow::read(&found["row"]).is_some_and(|(_, row)| row.is_of(&face));
            let list = if is_decided { &mut plan.won } else { &mut plan.lost };
            list.insert(face.key, face.ticket);
        }
        self.unhide(&plan).await.map(drop)
    }
}

/// The first documents without an outcome, as far as they differ in key and id and one query can carry them.
fn next_round(all: &[Document], outcomes: &[Option<Inserting>]) -> Vec<usize> {
    let (mut keys, mut ids, mut bytes) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut round = Vec::new();
    for (at, document) in all.iter().enumerate().filter(|(at, _)| outcomes[*at].is_none()) {
        let is_distinct = keys.insert(&document.key) & ids.insert(id(document));
        bytes += document.text().len();
        if bytes > QUERY_BYTES && !round.is_empty() {
            break;
        }
        if is_distinct {
            round.push(at);
        }
    }
    round
}

/// The id of a document that is to be added, which is that of a live job.
fn id(document: &Document) -> &str {
    document.fields.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn id_row(id: &str, key: &str, ticket: u64) -> Command {
    rjson!({ "id": r.uuid(id.to_owned()), "job": id.to_owned(), UID: key.to_owned(), TICKET: ticket })
}

/// A document, hidden or not, without its content.
fn face(job: Command) -> Command {
    let pending_id = job.clone().g(PENDING).g("id");
    let is_live = job.clone().has_fields("id").and(is_over(job.clone()).not());
    rjson!({
        UID: job.clone().g(UID).default(""),
        "id": job.clone().g("id").default(pending_id).default(""),
        TICKET: ticket_of(job.clone()),
        "is_pending": job.has_fields(PENDING),
        "is_live": is_live,
    })
}

pub(super) fn ticket_of(row: Command) -> Command {
    row.g(TICKET).default(0)
}

/// Whether a row is there at all: one that another query has just deleted is null when it is replaced.
pub(super) fn is_there(row: Command) -> Command {
    row.type_of().ne("NULL")
}
