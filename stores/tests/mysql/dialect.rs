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

/// The condition for the job that is there under an id.
pub(crate) fn is_live(id: &str) -> String {
    format!("live_id = {id}")
}
