//! The tables, and how an older database is brought up to them.

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{PostgresOptions, connection::BEGIN};
use crate::sql::{
    Failures,
    script::{check_from, created_tables, filled, script},
};

/// The newest schema that this build knows.
const SCHEMA_VERSION: i64 = 3;

/// The steps from each schema to the next; the first one starts without tables. Texts compare by bytes, as in every
/// store. A tenth of a page and more is free for claims, which then touch no index. Rows come and go by the second, so
/// that the tables are swept long before a fifth of them has died. What the indexes of the later steps are for is said in
/// [`sql`](crate::sql); a claim touches none of them.
///
/// A definition that is no JSON has no tags, which the server tells only by failing.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    "CREATE TABLE {p}jobs (
        uid TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        id TEXT COLLATE \"C\" NOT NULL CHECK (id <> ''),
        body TEXT NOT NULL,
        task TEXT COLLATE \"C\" NOT NULL,
        v BIGINT NOT NULL,
        max_instances BIGINT NOT NULL DEFAULT 1,
        history BIGINT NOT NULL DEFAULT 100,
        state TEXT COLLATE \"C\" NOT NULL DEFAULT 'active',
        reason TEXT,
        next_fire_time BIGINT,
        due BIGINT,
        last_end BIGINT,
        blocked BIGINT NOT NULL DEFAULT 0,
        nudged BIGINT NOT NULL DEFAULT 0,
        revision BIGINT NOT NULL DEFAULT 0,
        fence BIGINT NOT NULL DEFAULT 0,
        settled_fence BIGINT NOT NULL DEFAULT 0,
        last_seq BIGINT NOT NULL DEFAULT 0,
        owner TEXT COLLATE \"C\",
        claim_until BIGINT,
        totals TEXT NOT NULL DEFAULT '{}'
    ) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
    CREATE UNIQUE INDEX {p}jobs_live ON {p}jobs (id) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}jobs_due ON {p}jobs (due, uid) WHERE due IS NOT NULL;
    CREATE TABLE {p}runs (
        uid TEXT COLLATE \"C\" NOT NULL,
        seq BIGINT NOT NULL,
        fire_time BIGINT NOT NULL,
        first BIGINT,
        count BIGINT,
        state TEXT COLLATE \"C\" NOT NULL,
        wait TEXT COLLATE \"C\",
        verdict TEXT COLLATE \"C\",
        attempt BIGINT NOT NULL,
        takeovers BIGINT NOT NULL,
        due BIGINT NOT NULL,
        owner TEXT COLLATE \"C\",
        fence BIGINT NOT NULL,
        cancel_requested BIGINT NOT NULL,
        started BIGINT,
        ended BIGINT,
        duration BIGINT,
        error TEXT,
        PRIMARY KEY (uid, seq)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
    CREATE INDEX {p}runs_open ON {p}runs (uid, seq) WHERE state <> 'ended';
    CREATE INDEX {p}runs_running ON {p}runs (owner, cancel_requested) WHERE state = 'running';
    CREATE TABLE {p}nodes (
        id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        lease_until BIGINT,
        last_claim_seq BIGINT NOT NULL
    ) WITH (fillfactor = 50);",
    "ALTER TABLE {p}jobs ADD COLUMN retention BIGINT, ADD COLUMN retained_until BIGINT;
    CREATE INDEX {p}jobs_retained ON {p}jobs (retained_until) WHERE retained_until IS NOT NULL;
    ALTER TABLE {p}runs ADD COLUMN errors TEXT, ADD COLUMN output TEXT;
    ALTER TABLE {p}nodes ADD COLUMN info TEXT;
    CREATE TABLE {p}tags (
        tag TEXT COLLATE \"C\" NOT NULL,
        uid TEXT COLLATE \"C\" NOT NULL,
        PRIMARY KEY (tag, uid)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
    CREATE INDEX {p}tags_of ON {p}tags (uid);
    DO $fill$
    DECLARE
        tagged record;
    BEGIN
        FOR tagged IN SELECT uid, body FROM {p}jobs WHERE strpos(body, '\"tags\"') > 0 LOOP
            BEGIN
                INSERT INTO {p}tags (tag, uid) SELECT DISTINCT t.value #>> '{}', tagged.uid
                    FROM jsonb_array_elements(tagged.body::jsonb -> 'tags') AS t
                    WHERE jsonb_typeof(t.value) = 'string' AND octet_length(t.value #>> '{}') <= 200;
            EXCEPTION WHEN data_exception THEN
            END;
        END LOOP;
    END
    $fill$;
    CREATE INDEX {p}jobs_task ON {p}jobs (task) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}jobs_state ON {p}jobs (state) WHERE state NOT IN ('active', 'ending', 'removed');
    CREATE INDEX {p}jobs_next ON {p}jobs (next_fire_time, id) WHERE state NOT IN ('ending', 'removed');
    CREATE INDEX {p}runs_fired ON {p}runs (fire_time, uid, seq);
    CREATE INDEX {p}runs_verdict ON {p}runs (verdict, fire_time, uid, seq) WHERE verdict <> 'ok';",
    "CREATE INDEX {p}jobs_over ON {p}jobs (id, uid) WHERE retained_until IS NOT NULL;",
];

/// The statements that bring tables of a schema to the newest one; 0 if there are none.
fn statements(options: &PostgresOptions, from: i64) -> Vec<String> {
    let prefix = &options.prefix;
    let mut statements = Vec::new();
    if from == 0 {
        statements.push(format!(
            "CREATE TABLE {prefix}meta (key TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, value BIGINT NOT NULL)"
        ));
        statements.push(format!("INSERT INTO {prefix}meta (key, value) VALUES ('schema', 0)"));
    }
    let steps = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or_default());
    statements.extend(steps.map(|step| filled(step, prefix)));
    if from < SCHEMA_VERSION {
        statements.push(format!("UPDATE {prefix}meta SET value = {SCHEMA_VERSION} WHERE key = 'schema'"));
    }
    statements
}

/// The same as a text for a tool, whose connection may look for tables elsewhere than the store's does.
pub(super) fn sql(options: &PostgresOptions, from: i64) -> Result<String, StoreError> {
    check_from(from, SCHEMA_VERSION)?;
    let mut all = Vec::new();
    if let Some(schema) = &options.schema {
        all.extend((from == 0).then(|| format!("CREATE SCHEMA IF NOT EXISTS {schema}")));
        all.push(format!("SET search_path TO {schema}"));
    }
    all.extend(statements(options, from));
    Ok(script(&options.prefix, from, SCHEMA_VERSION, &all))
}

/// Brings the tables up to date. Writes nothing if they are.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    options: &PostgresOptions,
    failures: &Failures,
) -> Result<(), StoreError> {
    let PostgresOptions { schema, prefix, .. } = options;
    refuse_other_encodings(connection, failures).await?;
    let found = version(connection, prefix, failures).await?;
    if !options.create_tables {
        return check(connection, options, found, failures).await;
    }
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    let mut transaction = connection.begin_with(BEGIN).await.map_err(|error| failures.of(error))?;
    // Nodes that start at once wait for each other, and only the first one finds something to do: one lock for all tables of
    // the database, since a schema can be named or come from the search path, and the one that earlier versions take.
    for name in ["apscheduler".to_owned(), format!("apscheduler {} {prefix}", schema.as_deref().unwrap_or_default())] {
        let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(name);
        lock.execute(&mut *transaction).await.map_err(|error| failures.of(error))?;
    }
    if let Some(schema) = schema {
        run(&mut transaction, format!("CREATE SCHEMA IF NOT EXISTS {schema}"), failures).await?;
    }
    let from = version(&mut transaction, prefix, failures).await?;
    // An index over many rows takes longer than any other statement may.
    run(&mut transaction, "SET LOCAL statement_timeout = 0".to_owned(), failures).await?;
    for statement in statements(options, from) {
        run(&mut transaction, statement, failures).await?;
    }
    transaction.commit().await.map_err(|error| failures.of(error))
}

/// Refuses tables that others create, unless they are those of this build.
async fn check(
    connection: &mut PgConnection,
    options: &PostgresOptions,
    found: i64,
    failures: &Failures,
) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for table in created_tables(&statements(options, 0)) {
        if !is_there(connection, &table, failures).await? {
            missing.push(table);
        }
    }
    failures.check_tables("PostgresOptions", found, SCHEMA_VERSION, &missing)
}

/// Another encoding could not keep every text.
async fn refuse_other_encodings(connection: &mut PgConnection, failures: &Failures) -> Result<(), StoreError> {
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(|error| failures.of(error))?;
    if encoding != "UTF8" {
        let why =
            format!("its encoding is {encoding}, which cannot keep every text; take a database with the encoding UTF8");
        return Err(failures.because(StoreErrorKind::Incompatible, &why));
    }
    Ok(())
}

/// The schema in which the session finds the tables, as statements name it.
pub(super) async fn name(
    connection: &mut PgConnection,
    prefix: &str,
    failures: &Failures,
) -> Result<String, StoreError> {
    const NAME: &str = "SELECT quote_ident(n.nspname) FROM pg_catalog.pg_class AS c \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid)";
    let name = sqlx::query_scalar(NAME).bind(format!("{prefix}jobs")).fetch_one(connection).await;
    name.map_err(|error| failures.of(error))
}

/// Whether the session finds a table under this name.
///
/// Asked of the catalog's rows, and not of the session's memory of it, in which tables may not be there yet that another node
/// has just created.
async fn is_there(connection: &mut PgConnection, table: &str, failures: &Failures) -> Result<bool, StoreError> {
    const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class \
        WHERE relname = $1 AND relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(oid))";
    sqlx::query_scalar(IS_THERE).bind(table).fetch_one(connection).await.map_err(|error| failures.of(error))
}

/// The schema of the database; 0 if it has none of these tables.
async fn version(connection: &mut PgConnection, prefix: &str, failures: &Failures) -> Result<i64, StoreError> {
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

async fn run(connection: &mut PgConnection, sql: String, failures: &Failures) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(|error| failures.of(error))?;
    Ok(())
}
