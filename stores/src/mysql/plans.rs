//! A statement that scans a table gets slower with each job. So the server is asked for its plan of each.

use std::str::FromStr;

use sqlx::{AssertSqlSafe, Executor, MySqlConnection, Row, mysql::MySqlConnectOptions};

use super::{
    MySqlOptions, connection,
    statements::{self, Places},
};
use crate::sql::server;

/// The numbers from 0 to 9999.
const NUMBERS: &str = "(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS n FROM {digits} AS a JOIN {digits} AS b JOIN {digits} AS c \
    JOIN {digits} AS d)";
const DIGITS: &str = "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
    UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";

/// Ten thousand jobs, of which twenty are due, with ten runs each.
const FILL: [&str; 4] = [
    "INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due) \
        SELECT LPAD(HEX(n), 32, '0'), CONCAT('job-', n), '{}', 'task', 1, n * 1000, n * 1000 FROM {numbers} AS numbers",
    "INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) \
        SELECT LPAD(HEX(numbers.n), 32, '0'), seqs.n, 1, IF(numbers.n < 50 AND seqs.n = 9, 'running', 'ended'), 'ok', 1, 0, 1, \
            CONCAT('node-', MOD(numbers.n, 4)), 1, 0 FROM {numbers} AS numbers JOIN {digits} AS seqs",
    "INSERT INTO {p}nodes (id, lease_until, last_claim_seq) VALUES ('node-0', 1, 1), ('node-1', 1, 1), ('node-2', 1, 1)",
    "ANALYZE TABLE {p}jobs, {p}runs, {p}nodes",
];

/// The searches that take a page in the order of an index, which need no sorting.
const WALKS: [&str; 10] = [
    "found_by_id",
    "found_tied",
    "found_later",
    "found_never",
    "over_tied",
    "over_later",
    "fired_tied",
    "fired",
    "judged_tied",
    "judged",
];

#[test]
fn no_statement_scans_a_table() {
    let prefix = server::prefix();
    futures_lite::future::block_on(async {
        let url = server::url("mysql");
        drop(MySqlOptions::new().table_prefix(&prefix).unwrap().connect(&url).await.unwrap());
        let mut connection = connection::open(MySqlConnectOptions::from_str(&url).unwrap()).await.unwrap();
        check_all(&mut connection, &prefix).await;
        for step in FILL {
            let step = step.replace("{numbers}", NUMBERS).replace("{digits}", DIGITS).replace("{p}", &prefix);
            run(&mut connection, &step).await;
        }
        check_all(&mut connection, &prefix).await;
        let tables = ["jobs", "runs", "nodes", "meta", "tags"].map(|table| format!("{prefix}{table}"));
        run(&mut connection, &format!("DROP TABLE {}", tables.join(", "))).await;
    });
}

/// With tables that are empty, and so cheap to scan, and with full ones.
async fn check_all(connection: &mut MySqlConnection, prefix: &str) {
    for (name, text) in statements::statements(prefix).all() {
        let steps = plan(connection, name, text).await;
        for step in &steps {
            let is_big = ["jobs", "runs", "tags"].iter().any(|table| step.table == format!("{prefix}{table}"))
                || ["s", "k", "r", "d", "g"].contains(&step.table.as_str());
            // All jobs are counted along an index.
            let is_scan = step.kind == "ALL" || step.kind == "index" && name != "counts";
            assert!(!is_big || !is_scan, "{name}: {steps:#?}");
        }
        if WALKS.contains(&name) {
            assert!(steps.iter().all(|step| !step.more.contains("filesort")), "{name}: {steps:#?}");
        }
        if name == "due" {
            assert_eq!((steps[0].kind.as_str(), steps[0].key.as_str()), ("range", "due_first"), "{steps:#?}");
            assert!(steps.iter().all(|step| !step.more.contains("filesort")), "{steps:#?}");
        }
    }
}

#[derive(Debug)]
struct Step {
    table: String,
    kind: String,
    key: String,
    more: String,
}

async fn plan(connection: &mut MySqlConnection, name: &str, text: &str) -> Vec<Step> {
    let Places { text, order } = Places::of(text);
    let arguments = arguments(name);
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN {text}")));
    let bound = order.iter().fold(explain, |query, at| match arguments[*at].parse::<i64>() {
        Ok(integer) => query.bind(integer),
        Err(_) => query.bind(arguments[*at]),
    });
    let rows = bound.fetch_all(connection).await.unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let of = |row: &sqlx::mysql::MySqlRow, column: &str| {
        let bytes: Option<Vec<u8>> = row.try_get_unchecked(column).unwrap();
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    };
    let step =
        |row| Step { table: of(row, "table"), kind: of(row, "type"), key: of(row, "key"), more: of(row, "Extra") };
    rows.iter().map(step).collect()
}

fn arguments(name: &str) -> &'static [&'static str] {
    match name {
        "node" | "free_node" | "delete_node" => &["000000000000000000000000000000FF"],
        "insert_node" => &["node-1", "20000", "1", "{}"],
        "write_node" => &["node-1", "20000", "1"],
        "jobs" | "live_after" | "runs" | "running" | "stopping" | "claimed" => &["node-1", "50", "1000"],
        "due" => &["20000", r#"["task"]"#, "1", "node-1", "20000", "1000", "0"],
        "next" => &["20000", r#"["task"]"#, "1", "node-1", "20000"],
        "declined" => &["20000", r#"["task"]"#, "1", "16"],
        "expired" => &["20000", "16"],
        "claim" => &["node-1", "20000", r#"["000000000000000000000000000000FF"]"#],
        "runs_by_key" | "prune" => &[r#"[["000000000000000000000000000000FF", 1]]"#],
        "found_by_id" => &[r#"["tag"]"#, "job-1", "", "50"],
        "found_tied" => &[r#"["tag"]"#, "20000", "job-1", "50"],
        "found_later" => &[r#"["tag"]"#, "20000", "50"],
        "found_never" => &[r#"["tag"]"#, "job-1", "50"],
        "found_by_tag" | "found_by_task" | "found_by_state" => &[r#"["tag"]"#, "paused", "50"],
        "more_by_tag" | "more_by_task" | "more_by_state" => &["paused", "50"],
        "having_text" => &[r#"["000000000000000000000000000000FF"]"#, "report"],
        "counts_by_tag" | "counts_by_task" => &["task"],
        "fired_tied" => &["1", "000000000000000000000000000000FF", "5", "50"],
        "fired" => &["20000", "0", "50"],
        "judged_tied" => &["error", "1", "000000000000000000000000000000FF", "5", "50"],
        "judged" => &["error", "20000", "0", "50"],
        "fired_by_job" => &[r#"["000000000000000000000000000000FF"]"#, "50"],
        "over_tied" => &[r#"["tag"]"#, "job-1", "000000000000000000000000000000FF", "50"],
        "over_later" => &[r#"["tag"]"#, "job-1", "50"],
        "fired_open" => &["50"],
        "quarantine" => &[r#"[["000000000000000000000000000000FF", "why"]]"#],
        _ => &[r#"["000000000000000000000000000000FF"]"#],
    }
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
}
