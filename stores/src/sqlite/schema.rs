//! The tables, and how an older file is brought up to them.

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::SqliteOptions;
use crate::sql::{
    Failures,
    script::{check_from, created_tables, filled, script},
};

/// The newest schema that this build knows.
const SCHEMA_VERSION: i64 = 3;

/// The steps from each schema to the next; the first one starts from an empty file. What the indexes of the later ones are for is
/// said in [`sql`](crate::sql).
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    "CREATE TABLE {p}jobs (
        uid TEXT NOT NULL PRIMARY KEY,
        id TEXT NOT NULL CHECK (id <> ''),
        body TEXT NOT NULL,
        task TEXT NOT NULL,
        v INTEGER NOT NULL,
        max_instances INTEGER NOT NULL DEFAULT 1,
        history INTEGER NOT NULL DEFAULT 100,
        state TEXT NOT NULL DEFAULT 'active',
        reason TEXT,
        next_fire_time INTEGER,
        due INTEGER,
        last_end INTEGER,
        blocked INTEGER NOT NULL DEFAULT 0,
        nudged INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        settled_fence INTEGER NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        claim_until INTEGER,
        totals TEXT NOT NULL DEFAULT '{}'
    );
    CREATE UNIQUE INDEX {p}jobs_live ON {p}jobs (id) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}jobs_due ON {p}jobs (due, uid) WHERE due IS NOT NULL;
    CREATE INDEX {p}jobs_claimed ON {p}jobs (owner, claim_until) WHERE owner IS NOT NULL;
    CREATE TABLE {p}runs (
        uid TEXT NOT NULL,
        seq INTEGER NOT NULL,
        fire_time INTEGER NOT NULL,
        first INTEGER,
        count INTEGER,
        state TEXT NOT NULL,
        wait TEXT,
        verdict TEXT,
        attempt INTEGER NOT NULL,
        takeovers INTEGER NOT NULL,
        due INTEGER NOT NULL,
        owner TEXT,
        fence INTEGER NOT NULL,
        cancel_requested INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        duration INTEGER,
        error TEXT,
        PRIMARY KEY (uid, seq)
    ) WITHOUT ROWID;
    CREATE INDEX {p}runs_open ON {p}runs (uid, seq) WHERE state <> 'ended';
    CREATE INDEX {p}runs_running ON {p}runs (owner, cancel_requested) WHERE state = 'running';
    CREATE TABLE {p}nodes (
        id TEXT NOT NULL PRIMARY KEY,
        lease_until INTEGER,
        last_claim_seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO {p}meta (key, value) VALUES ('changes', 1);",
    "ALTER TABLE {p}jobs ADD COLUMN retention INTEGER;
    ALTER TABLE {p}jobs ADD COLUMN retained_until INTEGER;
    CREATE INDEX {p}jobs_retained ON {p}jobs (retained_until) WHERE retained_until IS NOT NULL;
    ALTER TABLE {p}runs ADD COLUMN errors TEXT;
    ALTER TABLE {p}runs ADD COLUMN output TEXT;
    ALTER TABLE {p}nodes ADD COLUMN info TEXT;
    CREATE TABLE {p}tags (
        tag TEXT NOT NULL,
        uid TEXT NOT NULL,
        PRIMARY KEY (tag, uid)
    ) WITHOUT ROWID;
    CREATE INDEX {p}tags_of ON {p}tags (uid);
    INSERT OR IGNORE INTO {p}tags (tag, uid) SELECT t.value, j.uid FROM {p}jobs AS j, json_each(
        CASE WHEN json_valid(j.body) THEN CASE json_type(j.body, '$.tags') WHEN 'array' THEN j.body -> '$.tags' END END
    ) AS t WHERE t.type = 'text' AND length(CAST(t.value AS BLOB)) <= 200;
    CREATE INDEX {p}jobs_task ON {p}jobs (task) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}jobs_state ON {p}jobs (state) WHERE state NOT IN ('active', 'ending', 'removed');
    CREATE INDEX {p}jobs_next ON {p}jobs (next_fire_time, id) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}runs_fired ON {p}runs (fire_time, uid, seq);
    CREATE INDEX {p}runs_verdict ON {p}runs (verdict, fire_time, uid, seq) WHERE verdict <> 'ok';",
    "CREATE INDEX {p}jobs_over ON {p}jobs (id, uid) WHERE retained_until IS NOT NULL;",
];

/// Whether a store opens its file for the first time, or after it has used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Tables are created if there are none.
    First,
    /// They have to be there: a file without them may be one that is still being copied.
    Again,
}

/// The statements that bring tables of a schema to the newest one; 0 if there are none.
fn statements(prefix: &str, from: i64) -> Vec<String> {
    let mut statements = Vec::new();
    if from == 0 {
        statements.push(format!(
            "CREATE TABLE {prefix}meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
        ));
    }
    let steps = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or_default());
    statements.extend(steps.map(|step| filled(step, prefix)));
    if from < SCHEMA_VERSION {
        let stamp = format!("INSERT OR REPLACE INTO {prefix}meta (key, value) VALUES ('schema', {SCHEMA_VERSION})");
        statements.push(stamp);
    }
    statements
}

/// The same as a text for a tool.
pub(super) fn sql(prefix: &str, from: i64) -> Result<String, StoreError> {
    check_from(from, SCHEMA_VERSION)?;
    Ok(script(prefix, from, SCHEMA_VERSION, &statements(prefix, from)))
}

/// Brings the tables up to date. Writes nothing if they are.
pub(super) async fn prepare(
    connection: &mut SqliteConnection,
    options: &SqliteOptions,
    failures: &Failures,
    opening: Opening,
) -> Result<(), StoreError> {
    let prefix = &options.prefix;
    match (version(connection, prefix, failures).await?, opening) {
        (0, Opening::Again) => {
            let why = "it has no tables of this store, which it had before; put the right file in its place, or restart \
                       the program to begin with an empty one";
            return Err(failures.because(StoreErrorKind::Unavailable, why));
        }
        (found, _) if !options.create_tables => return check(connection, prefix, found, failures).await,
        (SCHEMA_VERSION, _) => return Ok(()),
        _ => {}
    }
    let fail = |error| failures.of(error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
    // Another process may have been faster.
    let from = version(&mut transaction, prefix, failures).await?;
    for statement in statements(prefix, from) {
        run(&mut transaction, statement, failures).await?;
    }
    transaction.commit().await.map_err(fail)
}

/// Refuses tables that others create, unless they are those of this build.
async fn check(
    connection: &mut SqliteConnection,
    prefix: &str,
    found: i64,
    failures: &Failures,
) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for table in created_tables(&statements(prefix, 0)) {
        if !is_there(connection, &table, failures).await? {
            missing.push(table);
        }
    }
    failures.check_tables("SqliteOptions", found, SCHEMA_VERSION, &missing)
}

async fn is_there(connection: &mut SqliteConnection, table: &str, failures: &Failures) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)")
        .bind(table)
        .fetch_one(connection)
        .await
        .map_err(|error| failures.of(error))
}

/// The schema of the file; 0 if it has none of these tables.
async fn version(connection: &mut SqliteConnection, prefix: &str, failures: &Failures) -> Result<i64, StoreError> {
    if !is_there(connection, &format!("{prefix}meta"), failures).await? {
        return Ok(0);
    }
    let query = format!("SELECT value FROM {prefix}meta WHERE key = 'schema'");
    let version: Option<i64> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_optional(connection)
        .await
        .map_err(|error| failures.of(error))?;
    failures.known_schema(prefix, version.unwrap_or_default(), SCHEMA_VERSION)
}

async fn run(connection: &mut SqliteConnection, sql: String, failures: &Failures) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(|error| failures.of(error))?;
    Ok(())
}
