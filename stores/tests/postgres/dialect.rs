//! What the tests that SQL servers share need to know of PostgreSQL.

pub(crate) use scheduler_stores::{PostgresOptions as Options, PostgresStore as Store};
pub(crate) use sqlx::{
    PgConnection as Connection,
    postgres::{PgConnectOptions as ConnectOptions, PgPoolOptions as PoolOptions},
};

use test_support::server;

use crate::sql_servers::database;

/// What schema 1 has left.
pub(crate) const SAMPLE: &str = include_str!("../samples/postgres.sql");

/// What schema 2 has made of it.
pub(crate) const SAMPLE_2: &str = include_str!("../samples/postgres-2.sql");

/// The server, in URLs and messages.
pub(crate) const NAME: &str = "postgres";

/// The first argument of a statement, as a text.
pub(crate) const ARGUMENT: &str = "$1";

/// The column `key`.
pub(crate) const KEY: &str = "key";

/// A backslash in a text of a statement.
pub(crate) const BACKSLASH: &str = r"\";

/// How many wait for a row of the jobs that someone else has locked.
pub(crate) const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{p}jobs%'";

/// How many wait for the row of a node that another transaction is about to add.
pub(crate) const WAITING_FOR_A_NODE: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{p}nodes%'";

/// The condition for the job that is there under an id.
pub(crate) fn is_live(id: &str) -> String {
    format!("id = {id} AND state NOT IN ('ending', 'removed')")
}

/// What tells all of tables: columns, indexes, constraints, options, and what is in the one for meta data.
pub(crate) const CATALOGUE: [&str; 5] = [
    "SELECT concat_ws(' ', table_name, ordinal_position, column_name, data_type, collation_name, is_nullable, column_default) \
        FROM information_schema.columns WHERE table_name LIKE '{p}%'",
    "SELECT indexdef FROM pg_indexes WHERE tablename LIKE '{p}%'",
    "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint \
        WHERE conrelid::regclass::text LIKE '{p}%'",
    "SELECT concat_ws(' ', relname, relkind, reloptions) FROM pg_class WHERE relname LIKE '{p}%'",
    "SELECT concat_ws(' ', key, value) FROM {p}meta",
];

/// A user, and the statements that remove it.
pub(crate) struct User {
    pub(crate) url: String,
    pub(crate) remove: String,
}

/// A user who may read and write the rows of these tables, and nothing else.
pub(crate) async fn user_of_rows(prefix: &str, tables: &[String]) -> User {
    let (name, tables) = (format!("{prefix}user"), tables.join(", "));
    let grant = format!("CREATE ROLE {name} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {name}");
    database::run(&mut database::connection().await, &grant).await;
    User {
        url: server::url(NAME).replace("postgres@", &format!("{name}@")),
        remove: format!("DROP OWNED BY {name}; DROP ROLE {name}"),
    }
}
