//! The statements, written once for each store with the names of its tables.
//!
//! A statement takes a whole batch as one JSON array, so that its cost does not grow by a round trip a row. None scans a
//! table; a test asks SQLite for its plan of each.

use std::sync::Arc;

use crate::codec::{DEFINITION, HEAD, RUN};

/// A statement's text, cheap to clone and the key of the cache of prepared statements.
pub(super) type Text = Arc<str>;

/// Makes a struct of statements: `{p}` stands for the tables' prefix, `{rows}` for the rows of the
/// argument, the others for lists of columns.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        /// The statements of one store.
        #[derive(Debug)]
        pub(super) struct Sql {
            $($(#[$doc])* pub(super) $name: Text,)+
        }

        impl Sql {
            pub(super) fn new(prefix: &str) -> Self {
                let lists = Lists::new();
                Self { $($name: lists.fill($text, prefix),)+ }
            }

            /// All statements, by name.
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, Text)> {
                vec![$((stringify!($name), self.$name.clone()),)+]
            }
        }
    };
}

statements! {
    /// ?1 rows
    insert = "WITH {rows} INSERT INTO {p}jobs (uid, id, {definition}, {heads}) SELECT {insert_values} FROM j \
        WHERE true ON CONFLICT DO NOTHING RETURNING uid";
    /// ?1 uids
    known = "SELECT uid FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))";
    /// ?1 ids
    jobs_by_id = "SELECT {job} FROM {p}jobs WHERE id IN (SELECT value FROM json_each(?1)) \
        AND state NOT IN ('ending', 'removed')";
    /// ?1 uid
    job_by_uid = "SELECT {job} FROM {p}jobs WHERE uid = ?1";
    /// ?1 the id before, ?2 limit
    jobs = "SELECT {job} FROM {p}jobs INDEXED BY {p}jobs_live WHERE state NOT IN ('ending', 'removed') AND id > ?1 \
        ORDER BY id LIMIT ?2";
    /// ?1 uid, ?2 the number before, ?3 limit
    runs = "SELECT {run} FROM {p}runs AS r WHERE uid = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";

    /// ?1 uids
    heads = "SELECT {head} FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))";
    /// ?1 ids
    heads_by_id = "SELECT {head} FROM {p}jobs WHERE id IN (SELECT value FROM json_each(?1)) \
        AND state NOT IN ('ending', 'removed')";
    /// ?1 limit
    heads_of_live = "SELECT {head} FROM {p}jobs INDEXED BY {p}jobs_live WHERE state NOT IN ('ending', 'removed') \
        ORDER BY id LIMIT ?1";
    /// ?1 uids
    open_runs = "SELECT {run} FROM json_each(?1) AS j CROSS JOIN {p}runs AS r INDEXED BY {p}runs_open \
        WHERE r.uid = j.value AND r.state <> 'ended'";
    /// ?1 [uid, seq]s
    runs_by_key = "SELECT {run} FROM json_each(?1) AS j CROSS JOIN {p}runs AS r \
        WHERE r.uid = j.value->>0 AND r.seq = j.value->>1";
    /// ?1 [key, head..]s
    write_heads = "WITH {rows} UPDATE {p}jobs SET {head_values} FROM j WHERE {p}jobs.rowid = j.value->>0";
    /// ?1 key, then the definition
    write_definition = "UPDATE {p}jobs SET body = ?2, task = ?3, v = ?4, max_instances = ?5, history = ?6 \
        WHERE rowid = ?1";
    /// ?1 runs
    write_runs = "WITH {rows} INSERT OR REPLACE INTO {p}runs ({runs}) SELECT {run_values} FROM j";
    /// ?1 keys
    delete_runs = "DELETE FROM {p}runs WHERE uid IN \
        (SELECT uid FROM {p}jobs WHERE rowid IN (SELECT value FROM json_each(?1)))";
    /// ?1 keys
    delete_jobs = "DELETE FROM {p}jobs WHERE rowid IN (SELECT value FROM json_each(?1))";
    /// ?1 uid, ?2 how many are kept
    prune = "DELETE FROM {p}runs WHERE uid = ?1 AND state = 'ended' AND seq <= \
        (SELECT seq FROM {p}runs WHERE uid = ?1 AND state = 'ended' ORDER BY seq DESC LIMIT 1 OFFSET ?2)";

    /// ?1 now, ?2 tasks, ?3 version, ?4 owner, ?5 now if lapsed claims are taken, ?6 limit
    due = "SELECT {job} FROM {p}jobs INDEXED BY {p}jobs_due WHERE due <= ?1 \
        AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined' \
        AND (owner IS NULL OR owner = ?4 OR claim_until <= ?5) ORDER BY due, uid LIMIT ?6";
    /// ?1 now, ?2 tasks, ?3 version, ?4 owner
    next_due = "SELECT due FROM {p}jobs INDEXED BY {p}jobs_due WHERE due > ?1 \
        AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined' \
        AND (owner IS NULL OR owner = ?4) ORDER BY due, uid LIMIT 1";
    /// ?1 owner, ?2 tasks, ?3 version
    next_claim_end = "SELECT min(claim_until) FROM {p}jobs INDEXED BY {p}jobs_claimed WHERE owner IS NOT NULL \
        AND owner <> ?1 AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined'";
    /// ?1 now, ?2 tasks, ?3 version, ?4 limit
    declined = "SELECT id, task, v FROM {p}jobs INDEXED BY {p}jobs_due WHERE due <= ?1 AND owner IS NULL \
        AND state <> 'quarantined' AND NOT (task IN (SELECT value FROM json_each(?2)) AND v <= ?3) \
        ORDER BY due, uid LIMIT ?4";
    /// ?1 owner, ?2 until, ?3 keys
    claim = "UPDATE {p}jobs SET owner = ?1, claim_until = ?2, fence = fence + 1, nudged = 0 \
        WHERE rowid IN (SELECT value FROM json_each(?3))";
    /// ?1 [key, reason]s; what is over stays so, since its id may belong to another job by now
    quarantine = "UPDATE {p}jobs SET state = iif(state IN ('ending', 'removed'), state, 'quarantined'), reason = j.value->>1, due = NULL, owner = NULL, \
        claim_until = NULL FROM json_each(?1) AS j WHERE {p}jobs.rowid = j.value->>0";
    /// ?1 owner
    unclaim = "UPDATE {p}jobs SET owner = NULL, claim_until = NULL WHERE owner = ?1";

    /// All nodes; there are as many as there are schedulers.
    nodes = "SELECT id, lease_until, last_claim_seq, \
        EXISTS (SELECT 1 FROM {p}runs AS r WHERE r.owner = n.id AND r.state = 'running') FROM {p}nodes AS n";
    /// ?1 owner, ?2 limit
    running = "SELECT {run} FROM {p}runs AS r INDEXED BY {p}runs_running WHERE owner = ?1 AND state = 'running' \
        ORDER BY uid, seq LIMIT ?2";
    /// ?1 owner
    asked = "SELECT uid, seq FROM {p}runs INDEXED BY {p}runs_running WHERE owner = ?1 AND state = 'running' \
        AND cancel_requested = 1 ORDER BY uid, seq";
    /// ?1 owner
    holds = "SELECT EXISTS (SELECT 1 FROM {p}jobs WHERE owner = ?1) \
        OR EXISTS (SELECT 1 FROM {p}runs WHERE owner = ?1 AND state = 'running')";
    /// ?1 id, ?2 until, ?3 claim seq
    write_node = "INSERT INTO {p}nodes (id, lease_until, last_claim_seq) VALUES (?1, ?2, ?3) ON CONFLICT (id) \
        DO UPDATE SET lease_until = max(excluded.lease_until, coalesce(lease_until, 0)), last_claim_seq = excluded.last_claim_seq";
    /// ?1 id, ?2 until
    renew_node = "INSERT INTO {p}nodes (id, lease_until, last_claim_seq) SELECT ?1, ?2, 0 \
        WHERE EXISTS (SELECT 1 FROM {p}nodes WHERE id = ?1) \
        OR EXISTS (SELECT 1 FROM {p}runs WHERE owner = ?1 AND state = 'running') \
        ON CONFLICT (id) DO UPDATE SET lease_until = max(excluded.lease_until, coalesce(lease_until, 0))";
    /// ?1 id
    node = "SELECT lease_until FROM {p}nodes WHERE id = ?1";
    /// ?1 id
    take_node = "UPDATE {p}nodes SET lease_until = NULL WHERE id = ?1";
    /// ?1 id
    delete_node = "DELETE FROM {p}nodes WHERE id = ?1";

    count_change = "UPDATE {p}meta SET value = value + 1 WHERE key = 'changes'";
    changes = "SELECT value FROM {p}meta WHERE key = 'changes'";
}

/// Lists of columns for the statements.
struct Lists {
    definition: String,
    heads: String,
    runs: String,
    head: String,
    job: String,
    run: String,
    insert_values: String,
    head_values: String,
    run_values: String,
}

impl Lists {
    fn new() -> Self {
        let value = |at: usize| format!("j.value->>{at}");
        let values = |n: usize| (0..n).map(value).collect::<Vec<_>>().join(", ");
        let head = format!("rowid, history, uid, id, {}", HEAD.join(", "));
        let set = |(at, column): (usize, &&str)| format!("{column} = {}", value(at + 1));
        Self {
            definition: DEFINITION.join(", "),
            heads: HEAD.join(", "),
            runs: RUN.join(", "),
            job: format!("{head}, {}", DEFINITION.join(", ")),
            head,
            run: RUN.map(|column| format!("r.{column}")).join(", "),
            insert_values: values(2 + DEFINITION.len() + HEAD.len()),
            head_values: HEAD.iter().enumerate().map(set).collect::<Vec<_>>().join(", "),
            run_values: values(RUN.len()),
        }
    }

    fn fill(&self, text: &str, prefix: &str) -> Text {
        let lists = [
            ("{p}", prefix),
            // Without this each column would write the whole row as JSON text anew.
            ("{rows}", "j AS MATERIALIZED (SELECT value FROM json_each(?1))"),
            ("{definition}", &self.definition),
            ("{heads}", &self.heads),
            ("{runs}", &self.runs),
            ("{head}", &self.head),
            ("{job}", &self.job),
            ("{run}", &self.run),
            ("{insert_values}", &self.insert_values),
            ("{head_values}", &self.head_values),
            ("{run_values}", &self.run_values),
        ];
        lists.iter().fold(text.to_owned(), |text, (name, list)| text.replace(name, list)).into()
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::{AssertSqlSafe, ConnectOptions, Row, sqlite::SqliteConnectOptions};

    use super::Sql;
    use crate::SqliteStore;

    /// A statement that scans a table gets slower with each job. Scans of its argument, of the few nodes, and along an index are none.
    #[test]
    fn no_statement_scans_a_table() {
        futures_lite::future::block_on(async {
            let folder = tempfile::TempDir::new().unwrap();
            let url = format!("sqlite://{}/jobs.db", folder.path().display());
            drop(SqliteStore::connect(&url).await.unwrap());
            let mut connection = SqliteConnectOptions::from_str(&url).unwrap().connect().await.unwrap();
            for (name, text) in Sql::new("scheduler_").all() {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
                let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
                for step in plan.iter().filter(|step| step.starts_with("SCAN")) {
                    let is_argument =
                        ["SCAN j", "SCAN json_each ", "SCAN CONSTANT"].iter().any(|it| step.starts_with(it));
                    let is_nodes = step == "SCAN n";
                    assert!(is_argument || is_nodes || step.contains("USING INDEX"), "{name}: {plan:#?}");
                }
                if name == "due" {
                    assert_eq!(plan[0], "SEARCH scheduler_jobs USING INDEX scheduler_jobs_due (due<?)");
                    assert!(plan.iter().all(|step| !step.contains("ORDER BY")), "{plan:#?}");
                }
            }
        });
    }
}
