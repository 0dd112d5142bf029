//! The tables, and how an older database is brought up to them.

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::{
    MySqlOptions,
    failure::{is_altered, may_go_without},
};
use crate::sql::{
    Failures,
    script::{self, check_from, created_tables, script},
};

/// The newest schema that this build knows.
const SCHEMA_VERSION: i64 = 3;

/// The steps from each schema to the next; the first one starts without tables. The server ends a transaction at each
/// `CREATE`, so that each step can be taken again after it broke off.
///
/// Texts compare by bytes, as in every store. A job's id is free again once its job is over, which an index cannot say;
/// so `live_id` is the id of a live job, and NULLs do not clash in a unique index. It is in bytes, since texts that
/// differ in spaces at their ends are equal to an index. `is_open` and `running_on` keep the indexes of runs small in
/// the same way, and `over_id` is the id of a job that is over and stays known. What the indexes of the later steps are for is said in
/// [`sql`](crate::sql).
///
/// A tag is in bytes like an id, and names are written with a length where an index takes no more.
const MIGRATIONS: [&[&str]; SCHEMA_VERSION as usize] = [
    &[
    "CREATE TABLE IF NOT EXISTS {p}jobs (
        uid VARCHAR(32) NOT NULL,
        id VARCHAR(191) NOT NULL,
        body LONGTEXT NOT NULL,
        task TEXT NOT NULL,
        v BIGINT NOT NULL,
        max_instances BIGINT NOT NULL DEFAULT 1,
        history BIGINT NOT NULL DEFAULT 100,
        state VARCHAR(32) NOT NULL DEFAULT 'active',
        reason LONGTEXT,
        next_fire_time BIGINT,
        due BIGINT,
        last_end BIGINT,
        blocked BIGINT NOT NULL DEFAULT 0,
        nudged BIGINT NOT NULL DEFAULT 0,
        revision BIGINT NOT NULL DEFAULT 0,
        fence BIGINT NOT NULL DEFAULT 0,
        settled_fence BIGINT NOT NULL DEFAULT 0,
        last_seq BIGINT NOT NULL DEFAULT 0,
        owner VARCHAR(255),
        claim_until BIGINT,
        totals VARCHAR(1024) NOT NULL DEFAULT '{}',
        live_id VARBINARY(764) GENERATED ALWAYS AS
            (CASE WHEN state IN ('ending', 'removed') THEN NULL ELSE CAST(id AS BINARY) END) STORED,
        PRIMARY KEY (uid),
        UNIQUE KEY live (live_id),
        KEY due_first (due, uid),
        KEY owned (owner),
        CONSTRAINT {p}jobs_id CHECK (OCTET_LENGTH(id) > 0)
    ) {options}",
    "CREATE TABLE IF NOT EXISTS {p}runs (
        uid VARCHAR(32) NOT NULL,
        seq BIGINT NOT NULL,
        fire_time BIGINT NOT NULL,
        first BIGINT,
        count BIGINT,
        state VARCHAR(32) NOT NULL,
        wait VARCHAR(32),
        verdict VARCHAR(32),
        attempt BIGINT NOT NULL,
        takeovers BIGINT NOT NULL,
        due BIGINT NOT NULL,
        owner VARCHAR(255),
        fence BIGINT NOT NULL,
        cancel_requested BIGINT NOT NULL,
        started BIGINT,
        ended BIGINT,
        duration BIGINT,
        error LONGTEXT,
        is_open BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'ended' THEN NULL ELSE 1 END) STORED,
        running_on VARCHAR(255) GENERATED ALWAYS AS (CASE WHEN state = 'running' THEN owner ELSE NULL END) STORED,
        PRIMARY KEY (uid, seq),
        KEY open (uid, is_open),
        KEY running (running_on, cancel_requested)
    ) {options}",
    "CREATE TABLE IF NOT EXISTS {p}nodes (
        id VARCHAR(255) NOT NULL,
        lease_until BIGINT,
        last_claim_seq BIGINT NOT NULL,
        PRIMARY KEY (id)
    ) {options}",
    "INSERT IGNORE INTO {p}meta (`key`, value) VALUES ('changes', 1)",
],
    &[
    "ALTER TABLE {p}jobs ADD COLUMN retention BIGINT, ADD COLUMN retained_until BIGINT,
        ADD KEY retained (retained_until), ADD KEY by_task (task(191)), ADD KEY by_state (state),
        ADD KEY by_next (next_fire_time, live_id)",
    "ALTER TABLE {p}runs ADD COLUMN errors LONGTEXT, ADD COLUMN output LONGTEXT, DROP KEY open, ADD KEY open (is_open, uid),
        ADD KEY fired (fire_time, uid, seq), ADD KEY by_verdict (verdict, fire_time, uid, seq)",
    "ALTER TABLE {p}nodes ADD COLUMN info LONGTEXT",
    "CREATE TABLE IF NOT EXISTS {p}tags (
        tag VARBINARY(200) NOT NULL,
        uid VARCHAR(32) NOT NULL,
        PRIMARY KEY (tag, uid),
        KEY of_job (uid)
    ) {options}",
    "INSERT IGNORE INTO {p}tags (tag, uid) SELECT CAST(t.tag AS BINARY), k.uid FROM {p}jobs AS k,
        JSON_TABLE(IF(JSON_VALID(k.body), k.body, '{}'), '$.tags[*]' COLUMNS (
            tag LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$'
        )) AS t WHERE OCTET_LENGTH(t.tag) <= 200",
],
    &[
    "ALTER TABLE {p}jobs ADD COLUMN over_id VARBINARY(764) GENERATED ALWAYS AS
        (CASE WHEN retained_until IS NULL OR state <> 'ending' THEN NULL ELSE CAST(id AS BINARY) END) STORED,
        ADD KEY over_first (over_id, uid)",
]];

/// What has to be there before the version can be asked for.
const META: &str =
    "CREATE TABLE IF NOT EXISTS {p}meta (`key` VARCHAR(32) NOT NULL PRIMARY KEY, value BIGINT NOT NULL) {options}";

const TABLE_OPTIONS: &str = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The statements that bring tables of a schema to the newest one; 0 if there are none.
fn statements(prefix: &str, from: i64) -> Vec<String> {
    let mut statements = vec![filled(META, prefix)];
    let steps = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or_default());
    statements.extend(steps.flat_map(|steps| *steps).map(|step| filled(step, prefix)));
    statements.push(format!("REPLACE INTO {prefix}meta (`key`, value) VALUES ('schema', {SCHEMA_VERSION})"));
    statements
}

/// The same as a text for a tool.
pub(super) fn sql(prefix: &str, from: i64) -> Result<String, StoreError> {
    check_from(from, SCHEMA_VERSION)?;
    let statements = if from == SCHEMA_VERSION { Vec::new() } else { statements(prefix, from) };
    Ok(script(prefix, from, SCHEMA_VERSION, &statements))
}

/// Brings the tables up to date. Writes nothing if they are.
pub(super) async fn prepare(
    connection: &mut MySqlConnection,
    options: &MySqlOptions,
    failures: &Failures,
) -> Result<(), StoreError> {
    let prefix = &options.prefix;
    let found = version(connection, prefix, failures).await?;
    if !options.create_tables {
        return check(connection, prefix, found, failures).await;
    }
    if found == SCHEMA_VERSION {
        return allow_blank_ids(connection, prefix, failures).await;
    }
    // Nodes that start at once wait for each other, and only the first one finds something to do. If this ends early,
    // the connection is closed, and the lock is free.
    lock(connection, prefix, failures).await?;
    let from = version(connection, prefix, failures).await?;
    // MariaDB ends other statements that take so long as an index over many rows.
    run(connection, statement_time(0), failures).await?;
    for statement in statements(prefix, from) {
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await {
            Ok(_) => {}
            // A step that broke off is taken again.
            Err(error) if is_altered(&error) => {}
            Err(error) => return Err(failures.of(error)),
        }
    }
    run(connection, statement_time(10), failures).await?;
    run(connection, "DO RELEASE_ALL_LOCKS()".to_owned(), failures).await?;
    allow_blank_ids(connection, prefix, failures).await
}

/// Refuses tables that others create, unless they are those of this build.
async fn check(
    connection: &mut MySqlConnection,
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
    failures.check_tables("MySqlOptions", found, SCHEMA_VERSION, &missing)
}

/// Takes away the check that version 0.1 has made, for which an id of blanks is empty. Nothing else is changed, so that the
/// schema is the same for a node of that version beside this one. A user who may not change tables goes on without.
async fn allow_blank_ids(
    connection: &mut MySqlConnection,
    prefix: &str,
    failures: &Failures,
) -> Result<(), StoreError> {
    let table = format!("{prefix}jobs");
    let checks: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(constraint_name AS CHAR) FROM information_schema.table_constraints \
        WHERE table_schema = DATABASE() AND table_name = ? AND constraint_type = 'CHECK' AND constraint_name <> ?",
    )
    .bind(&table)
    .bind(format!("{prefix}jobs_id"))
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| failures.of(error))?;
    for check in checks {
        // A transaction that keeps the table busy is not waited for; the next start tries again.
        let drop = format!("SET SESSION lock_wait_timeout = 2; ALTER TABLE {table} DROP CONSTRAINT `{check}`");
        match sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await {
            Ok(_) => {}
            Err(error) if may_go_without(&error) => {}
            Err(error) => return Err(failures.of(error)),
        }
    }
    Ok(())
}

/// Lets a statement of MariaDB take so many seconds; 0 is for as long as it takes.
fn statement_time(seconds: u8) -> String {
    format!("SET SESSION innodb_lock_wait_timeout = 5 /*M!100600 , max_statement_time = {seconds} */")
}

fn filled(step: &str, prefix: &str) -> String {
    script::filled(step, prefix).replace("{options}", TABLE_OPTIONS)
}

async fn lock(connection: &mut MySqlConnection, prefix: &str, failures: &Failures) -> Result<(), StoreError> {
    // The names of locks are the server's, and short.
    let lock = sqlx::query_scalar("SELECT GET_LOCK(SHA1(CONCAT('apscheduler ', DATABASE(), ' ', ?)), 9)").bind(prefix);
    let is_locked: Option<i64> = lock.fetch_one(connection).await.map_err(|error| failures.of(error))?;
    if is_locked == Some(1) {
        return Ok(());
    }
    Err(failures.because(StoreErrorKind::Unavailable, "another node takes long to create the tables; try again"))
}

async fn is_there(connection: &mut MySqlConnection, table: &str, failures: &Failures) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
    )
    .bind(table)
    .fetch_one(connection)
    .await
    .map_err(|error| failures.of(error))?;
    Ok(count > 0)
}

/// The schema of the database; 0 if it has none of these tables.
async fn version(connection: &mut MySqlConnection, prefix: &str, failures: &Failures) -> Result<i64, StoreError> {
    if !is_there(connection, &format!("{prefix}meta"), failures).await? {
        return Ok(0);
    }
    let query = format!("SELECT value FROM {prefix}meta WHERE `key` = 'schema'");
    let version: Option<i64> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_optional(connection)
        .await
        .map_err(|error| failures.of(error))?;
    failures.known_schema(prefix, version.unwrap_or_default(), SCHEMA_VERSION)
}

async fn run(connection: &mut MySqlConnection, sql: String, failures: &Failures) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(|error| failures.of(error))?;
    Ok(())
}
