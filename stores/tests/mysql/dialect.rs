//! What the tests that SQL servers share need to know of MySQL and MariaDB.

pub(crate) use scheduler_stores::{MySqlOptions as Options, MySqlStore as Store};
pub(crate) use sqlx::{
    MySqlConnection as Connection,
    mysql::{MySqlConnectOptions as ConnectOptions, MySqlPoolOptions as PoolOptions},
};

/// The server, in URLs and messages.
pub(crate) const NAME: &str = "mysql";

/// The first argument of a statement, as a text.
pub(crate) const ARGUMENT: &str = "CAST(? AS BINARY)";

/// The column `key`.
pub(crate) const KEY: &str = "`key`";

/// A backslash in a text of a statement.
pub(crate) const BACKSLASH: &str = r"\\";

/// How many wait for a row of the jobs that someone else has locked. What InnoDB itself tells of that is old while many ask.
pub(crate) const WAITING: &str =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%{p}jobs%FOR UPDATE' AND time_ms > 100";

/// How many wait for the row of a node that another transaction is about to add.
pub(crate) const WAITING_FOR_A_NODE: &str =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%{p}nodes%' AND time_ms > 100";

/// The condition for the job that is there under an id.
pub(crate) fn is_live(id: &str) -> String {
    format!("live_id = {id}")
}
