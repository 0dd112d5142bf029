//! What the tests that SQL servers share need to know of PostgreSQL.

pub(crate) use scheduler_stores::{PostgresOptions as Options, PostgresStore as Store};
pub(crate) use sqlx::{
    PgConnection as Connection,
    postgres::{PgConnectOptions as ConnectOptions, PgPoolOptions as PoolOptions},
};

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
