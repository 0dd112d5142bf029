//! The tables, and how an older database is brought up to them.

use std::time::Duration;

use async_io::Timer;
use scheduler_core::store::{StoreError, StoreErrorKind};
use serde_json::{Value, json};
use unreql::{
    Command,
    cmd::options::{BetweenOptions, Conflict, IndexCreateOptions, InsertOptions, Status, TableCreateOptions},
    func, r,
};

use super::{
    client::{Client, array},
    rows::{PENDING_SINCE, TAGS, UID, restored, tags_of},
};

/// The newest schema that this build knows.
const SCHEMA_VERSION: u64 = 3;

/// How many documents are brought up to date at once.
const PAGE: usize = 200;

/// The row of the meta table that names the schema.
const SCHEMA: &str = "schema";
/// The row of the meta table that is written when something has changed.
const CHANGES: &str = "changes";

/// The indexes of the jobs.
pub(super) const DUE: &str = "due";
pub(super) const LIVE_ID: &str = "live_id";
pub(super) const OWNER: &str = "owner";
pub(super) const CLAIM_UNTIL: &str = "claim_until";
pub(super) const RUNNING: &str = "running";
pub(super) const ASKED: &str = "asked";
pub(super) const RETAINED_UNTIL: &str = "retained_until";
/// Those by which only searches look.
pub(super) const NEXT: &str = "next";
pub(super) const TASK: &str = "by_task";
pub(super) const STATE: &str = "by_state";
pub(super) const OVER: &str = "over";

/// Before and after all times.
pub(super) const NEVER: f64 = 1e300;

/// The names of the tables.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    database: String,
    jobs: String,
    runs: String,
    nodes: String,
    ids: String,
    meta: String,
}

impl Tables {
    pub(super) fn new(database: &str, prefix: &str) -> Self {
        let name = |table: &str| format!("{prefix}{table}");
        Self {
            database: database.to_owned(),
            jobs: name("jobs"),
            runs: name("runs"),
            nodes: name("nodes"),
            ids: name("ids"),
            meta: name("meta"),
        }
    }

    /// One document for each job, by `uid`.
    pub(super) fn jobs(&self) -> Command {
        self.table(&self.jobs)
    }

    /// Ended runs, by `id`: the uid and the number in 16 hexadecimal digits.
    pub(super) fn runs(&self) -> Command {
        self.table(&self.runs)
    }

    /// The nodes that hold something, by `id`.
    pub(super) fn nodes(&self) -> Command {
        self.table(&self.nodes)
    }

    /// Which job an id belongs to, by `id`: `r.uuid` of the job's id.
    pub(super) fn ids(&self) -> Command {
        self.table(&self.ids)
    }

    /// The row that is written when something has changed.
    pub(super) fn changes(&self) -> Command {
        self.meta().get(CHANGES)
    }

    /// The schema and the changes, by `id`.
    fn meta(&self) -> Command {
        self.table(&self.meta)
    }

    fn table(&self, name: &str) -> Command {
        r.db(self.database.clone()).table(name.to_owned())
    }
}

/// How often the tables are tried, with pauses that double from 50 milliseconds to 1.6 seconds.
const ATTEMPTS: u32 = 7;

/// Brings the tables up to date. If they are, that is one look at them.
///
/// Several nodes may do this at once. What another one is making can be in the lists before it is of any use.
pub(super) async fn prepare(client: &Client, tables: &Tables) -> Result<(), StoreError> {
    // Before any other query: reqlite mixes up the variables of a query with those of an index that have the same number.
    let indexes = indexes();
    match version(client, tables).await {
        Ok(SCHEMA_VERSION) => return Ok(()),
        Err(error) if error.kind() == StoreErrorKind::Incompatible => return Err(error),
        // There are no tables, or there is no server, which shows at once.
        Ok(_) | Err(_) => client.value(r.expr(true)).await?,
    };
    for attempt in 1..ATTEMPTS {
        match migrate(client, tables, indexes.clone()).await {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                Timer::after(Duration::from_millis(25 << attempt)).await;
            }
            done => return done,
        }
    }
    migrate(client, tables, indexes).await
}

async fn migrate(client: &Client, tables: &Tables, indexes: Indexes) -> Result<(), StoreError> {
    make(client, r.db_list(), &tables.database, r.db_create(tables.database.clone())).await?;
    make_table(client, tables, &tables.meta, "id").await?;
    let from = version(client, tables).await?;
    if from == SCHEMA_VERSION {
        return Ok(());
    }
    for (table, key) in [(&tables.jobs, UID), (&tables.runs, "id"), (&tables.nodes, "id"), (&tables.ids, "id")] {
        make_table(client, tables, table, key).await?;
    }
    for (name, function, multi) in indexes {
        let options = IndexCreateOptions::new().multi(multi);
        let create = tables.jobs().index_create(r.with_opt(r.args((name, function)), options));
        make(client, tables.jobs().index_list(), name, create).await?;
    }
    client.rows(tables.jobs().index_wait(())).await?;
    if from > 0 {
        fill(client, tables).await?;
    }
    // The first node writes the changes. The schema comes last, since it says that all is there.
    for row in [json!({ "id": CHANGES, "value": 1 }), json!({ "id": SCHEMA, "value": SCHEMA_VERSION })] {
        let conflict = if row["id"] == SCHEMA { Conflict::Replace } else { Conflict::Error };
        let options = InsertOptions::new().conflict(conflict);
        client.value(tables.meta().insert(r.with_opt(row, options))).await?;
    }
    version(client, tables).await.map(drop)
}

/// Gives the documents of earlier schemas the copies of their tags, unless they get another definition meanwhile.
async fn fill(client: &Client, tables: &Tables) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let bounds = BetweenOptions::new().left_bound(Status::Open);
        let rest = tables.jobs().between(after, r.maxval(), r.with_opt((), bounds)).order_by(r.index(UID));
        let page = client.rows(rest.limit(PAGE).pluck(r.args([UID, "body"]))).await?;
        let mut updates = Vec::new();
        for row in &page {
            let (uid, body) = (row[UID].as_str().unwrap_or_default().to_owned(), row["body"].clone());
            if let Some(tags) = row.as_object().and_then(tags_of) {
                let update = func!(move |job| r.branch(
                    job.g("body").default(Value::Null).eq(body),
                    json!({ TAGS: tags }),
                    json!({})
                ));
                updates.push(tables.jobs().get(uid).update(update));
            }
        }
        if !updates.is_empty() {
            client.rows(array(updates)).await?;
        }
        match page.last().and_then(|row| row[UID].as_str()) {
            Some(last) if page.len() == PAGE => after = last.to_owned(),
            _ => return Ok(()),
        }
    }
}

type Indexes = [(&'static str, Command, bool); 13];

/// What the jobs are found by, and whether under several values. A null is in no index.
fn indexes() -> Indexes {
    // In the order of the jobs: a node that takes over another's runs takes the same ones first in each store.
    let place = func!(|run| array([run.clone().g("owner").default(""), run.g(UID).default("")]));
    let places = |job: Command, is_wanted: Command| {
        job.g("runs").default(json!([])).filter(is_wanted).map(place.clone()).set_union(json!([]))
    };
    // What is no run is none that runs; an error would take the whole job out of the index.
    let is_run = |run: Command| run.type_of().eq("OBJECT");
    let is_running = |run: Command| is_run(run.clone()).and(run.g("state").default("").eq("running"));
    let is_asked = func!(|run| is_running(run.clone()).and(run.g("cancel_requested").default(false).eq(true)));
    let due = func!(|job| array([job.clone().g("due").default(Value::Null), job.g(UID)]));
    let live_id = func!(|job| r.branch(is_over(job.clone()), Value::Null, job.g("id").default(Value::Null)));
    // What searches go along: live jobs with their ids behind what they are ordered by.
    let by = |job: Command, is_wanted: Command, first: Command| {
        let is_wanted = job.clone().has_fields("id").and(is_over(job.clone()).not()).and(is_wanted);
        r.branch(is_wanted, array([first, job.g("id")]), Value::Null)
    };
    let next = func!(|job| {
        let time = job.clone().g("next_fire_time").default(NEVER);
        // One that a float would change is in an object.
        let is_number = time.clone().type_of().eq("NUMBER");
        let first = r.branch(is_number, time.clone(), time.g("$number").default("1e300").coerce_to("number"));
        by(job, r.expr(true), first)
    });
    let task = func!(|job| by(job.clone(), r.expr(true), job.g("task").default("")));
    let state = func!(|job| {
        let state = job.clone().g("state").default("active");
        by(job, state.clone().ne("active"), state)
    });
    let over = func!(|job| {
        let is_known = job.clone().has_fields(r.args(["id", RETAINED_UNTIL])).and(is_over(job.clone()));
        r.branch(is_known, array([job.clone().g("id"), job.g(UID)]), Value::Null)
    });
    let tags = func!(|job| r.branch(is_over(job.clone()), json!([]), job.g(TAGS).default(json!([]))));
    [
        (NEXT, next, false),
        (TASK, task, false),
        (STATE, state, false),
        (OVER, over, false),
        (TAGS, tags, true),
        (DUE, due, false),
        (LIVE_ID, live_id, false),
        (OWNER, func!(|job| job.g("owner").default(Value::Null)), false),
        (CLAIM_UNTIL, func!(|job| job.g("claim_until").default(Value::Null)), false),
        (RETAINED_UNTIL, func!(|job| job.g(RETAINED_UNTIL).default(Value::Null)), false),
        (PENDING_SINCE, func!(|job| job.g(PENDING_SINCE).default(Value::Null)), false),
        (RUNNING, func!(|job| places(job, func!(|run| is_running(run)))), true),
        (ASKED, func!(|job| places(job, is_asked)), true),
    ]
}

/// Whether a job is ending or removed, so that its id can belong to another one.
pub(super) fn is_over(job: Command) -> Command {
    r.expr(json!(["ending", "removed"])).contains(job.g("state").default("active"))
}

async fn make_table(client: &Client, tables: &Tables, name: &str, key: &'static str) -> Result<(), StoreError> {
    let database = || r.db(tables.database.clone());
    let create = r.with_opt(name.to_owned(), TableCreateOptions::new().primary_key(key));
    make(client, database().table_list(), name, database().table_create(create)).await
}

/// Makes something that a list does not have. If another node is faster, that is as good.
async fn make(client: &Client, list: Command, name: &str, create: Command) -> Result<(), StoreError> {
    let is_there = async || Ok(client.value(list.clone().contains(name.to_owned())).await? == true);
    if is_there().await? {
        return Ok(());
    }
    match client.value(create).await {
        Err(error) if !is_there().await? => Err(error),
        _ => Ok(()),
    }
}

/// The schema of the database; 0 if it has none of these tables.
async fn version(client: &Client, tables: &Tables) -> Result<u64, StoreError> {
    let row = client.value(tables.meta().get(SCHEMA).default(json!({}))).await?;
    let version = restored(row).get("value").and_then(Value::as_u64).unwrap_or_default();
    if version > SCHEMA_VERSION {
        let message = format!(
            "its tables `{}*` have schema {version}, and this build knows schemas up to {SCHEMA_VERSION}; update this \
             program, or use another table prefix",
            tables.meta.trim_end_matches("meta")
        );
        return Err(client.failures.error(StoreErrorKind::Incompatible, message));
    }
    Ok(version)
}
