//! What the tests that SQL servers share need to know of MySQL and MariaDB.

pub(crate) use scheduler_stores::{MySqlOptions as Options, MySqlStore as Store};
pub(crate) use sqlx::{
    MySqlConnection as Connection,
    mysql::{MySqlConnectOptions as ConnectOptions, MySqlPoolOptions as PoolOptions},
};

use test_support::server;

use crate::sql_servers::database;

/// What schema 1 has left.
pub(crate) const SAMPLE: &str = include_str!("../samples/mysql.sql");

/// What schema 2 has made of it.
pub(crate) const SAMPLE_2: &str = include_str!("../samples/mysql-2.sql");

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

/// What tells all of tables: columns, indexes, checks, options, and what is in the one for meta data.
pub(crate) const CATALOGUE: [&str; 5] = [
    "SELECT CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type, collation_name, is_nullable, \
        column_default, generation_expression, extra, column_key) FROM information_schema.columns WHERE table_name LIKE '{p}%'",
    "SELECT CONCAT_WS(' ', table_name, index_name, non_unique, seq_in_index, column_name, sub_part) \
        FROM information_schema.statistics WHERE table_name LIKE '{p}%'",
    "SELECT CONCAT_WS(' ', constraint_name, check_clause) FROM information_schema.check_constraints \
        WHERE constraint_name LIKE '{p}%'",
    "SELECT CONCAT_WS(' ', table_name, engine, row_format, table_collation, create_options) \
        FROM information_schema.tables WHERE table_name LIKE '{p}%'",
    "SELECT CONCAT_WS(' ', `key`, value) FROM {p}meta",
];

/// A user, and the statements that remove it.
pub(crate) struct User {
    pub(crate) url: String,
    pub(crate) remove: String,
}

/// A user who may read and write the rows of these tables, and nothing else.
pub(crate) async fn user_of_rows(prefix: &str, tables: &[String]) -> User {
    let name = format!("{prefix}user");
    let grants =
        tables.iter().map(|table| format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO '{name}'@'%'; "));
    let create = format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'rows'; {}", grants.collect::<String>());
    database::run(&mut database::connection().await, &create).await;
    let url = server::url(NAME);
    User {
        url: format!("mysql://{name}:rows@{}", url.rsplit_once('@').unwrap().1),
        remove: format!("DROP USER '{name}'@'%'"),
    }
}
