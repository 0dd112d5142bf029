//! The statements as SQLite takes them. None scans a table; a test asks SQLite for its plan of each.

use crate::{
    kit::columns::RUN,
    sql::{Lists, Statements},
};

pub(super) fn statements(prefix: &str) -> Statements {
    // Without this each column would write the whole row as JSON text anew.
    let rows = "j AS MATERIALIZED (SELECT value FROM json_each(?1))";
    let changing = RUN.iter().filter(|column| !["uid", "seq", "fire_time"].contains(column));
    let excluded_runs: Vec<String> = changing.map(|column| format!("{column} = excluded.{column}")).collect();
    let lists = Lists::new(prefix, "rowid", |at, _| format!("j.value->>{at}"))
        .with("{rows}", rows)
        .with("{excluded_runs}", excluded_runs.join(", "))
        .with(
            "{wanted}",
            "CASE WHEN ?1 = '[]' THEN 0 ELSE \
                (SELECT count(*) FROM json_each(?1) AS j CROSS JOIN {p}tags AS g WHERE g.tag = j.value AND g.uid = k.uid) END",
        )
        .with(
            "{of_known_job}",
            "LEFT JOIN {p}jobs AS k ON k.uid = r.uid AND ({is_live} OR k.retained_until IS NOT NULL AND k.state = 'ending')",
        )
        .with("{is_live}", "k.state NOT IN ('ending', 'removed')")
        .with("{p}", prefix);
    TEXTS.map(|text| lists.fill(text))
}

/// Counts a change, which other processes look out for.
pub(super) fn count_change(prefix: &str) -> String {
    format!("UPDATE {prefix}meta SET value = value + 1 WHERE key = 'changes'")
}

/// The counter of changes.
pub(super) fn changes(prefix: &str) -> String {
    format!("SELECT value FROM {prefix}meta WHERE key = 'changes'")
}

const TEXTS: Statements<&str> = Statements {
    insert: "WITH {rows} INSERT INTO {p}jobs ({inserted}) SELECT {insert_values} FROM j \
        WHERE true ON CONFLICT DO NOTHING RETURNING uid",
    insert_tags: "INSERT INTO {p}tags (uid, tag) SELECT value->>0, value->>1 FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
    known: "SELECT uid FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))",
    jobs_by_id: "SELECT {job} FROM {p}jobs WHERE id IN (SELECT value FROM json_each(?1)) \
        AND state NOT IN ('ending', 'removed')",
    jobs: "SELECT {job} FROM {p}jobs INDEXED BY {p}jobs_live WHERE state NOT IN ('ending', 'removed') AND id > ?1 \
        ORDER BY id LIMIT ?2",
    runs: "SELECT {run} FROM {p}runs AS r WHERE uid = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",

    live: "SELECT uid FROM {p}jobs WHERE id IN (SELECT value FROM json_each(?1)) AND state NOT IN ('ending', 'removed')",
    live_after: "SELECT uid FROM {p}jobs INDEXED BY {p}jobs_live WHERE state NOT IN ('ending', 'removed') AND id > ?1 \
        ORDER BY id LIMIT ?2",
    heads: "SELECT {head} FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))",
    // One writer at a time: there is nothing to wait for.
    free_heads: "SELECT {head} FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))",
    jobs_by_uid: "SELECT {job} FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))",
    shown: "SELECT {job} FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1))",
    open_runs: "SELECT {run} FROM json_each(?1) AS j CROSS JOIN {p}runs AS r INDEXED BY {p}runs_open \
        WHERE r.uid = j.value AND r.state <> 'ended'",
    runs_by_key: "SELECT {run} FROM json_each(?1) AS j CROSS JOIN {p}runs AS r \
        WHERE r.uid = j.value->>0 AND r.seq = j.value->>1",
    // SQLite writes each index anew of which a column is set, whether its value changes or not.
    write_heads: "WITH {rows} UPDATE {p}jobs SET {head_set} FROM j WHERE {p}jobs.rowid = j.value->>0",
    write_moved_heads: "WITH {rows} UPDATE {p}jobs SET {moved_head_set} FROM j WHERE {p}jobs.rowid = j.value->>0",
    write_counted_heads: "WITH {rows} UPDATE {p}jobs SET {counted_head_set} FROM j WHERE {p}jobs.rowid = j.value->>0",
    write_definitions: "WITH {rows} UPDATE {p}jobs SET {definition_set} FROM j WHERE {p}jobs.rowid = j.value->>0",
    // A run keeps its fire time, so that the index of these is left alone when it ends.
    write_runs: "WITH {rows} INSERT INTO {p}runs ({runs}) SELECT {run_values} FROM j WHERE true \
        ON CONFLICT (uid, seq) DO UPDATE SET {excluded_runs}",
    delete_runs: "DELETE FROM {p}runs WHERE uid IN \
        (SELECT uid FROM {p}jobs WHERE rowid IN (SELECT value FROM json_each(?1)))",
    delete_tags: "DELETE FROM {p}tags WHERE uid IN \
        (SELECT uid FROM {p}jobs WHERE rowid IN (SELECT value FROM json_each(?1)))",
    delete_jobs: "DELETE FROM {p}jobs WHERE rowid IN (SELECT value FROM json_each(?1))",
    prune: "WITH {rows}, ended AS (SELECT r.uid, r.seq, j.value->>1 AS kept, \
        row_number() OVER (PARTITION BY r.uid ORDER BY r.seq DESC) AS place \
        FROM j CROSS JOIN {p}runs AS r WHERE r.uid = j.value->>0 AND r.state = 'ended') \
        DELETE FROM {p}runs WHERE (uid, seq) IN (SELECT uid, seq FROM ended WHERE place > kept)",

    due: "SELECT {job} FROM {p}jobs INDEXED BY {p}jobs_due WHERE due BETWEEN ?7 AND ?1 \
        AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined' \
        AND (owner IS NULL OR owner = ?4 OR claim_until <= ?5) ORDER BY due, uid LIMIT ?6",
    claim: "UPDATE {p}jobs SET owner = ?1, claim_until = ?2, fence = fence + 1, nudged = 0 \
        WHERE rowid IN (SELECT value FROM json_each(?3))",
    quarantine: "UPDATE {p}jobs SET state = iif(state IN ('ending', 'removed'), state, 'quarantined'), \
        reason = j.value->>1, due = NULL, owner = NULL, claim_until = NULL \
        FROM json_each(?1) AS j WHERE {p}jobs.rowid = j.value->>0",
    next: "SELECT (SELECT due FROM {p}jobs INDEXED BY {p}jobs_due WHERE due > ?1 \
            AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined' \
            AND (owner IS NULL OR owner = ?4) ORDER BY due, uid LIMIT 1), \
        (SELECT min(claim_until) FROM {p}jobs INDEXED BY {p}jobs_claimed WHERE owner IS NOT NULL \
            AND owner <> ?4 AND task IN (SELECT value FROM json_each(?2)) AND v <= ?3 AND state <> 'quarantined')",
    expired: "SELECT uid FROM {p}jobs INDEXED BY {p}jobs_retained WHERE retained_until <= ?1 LIMIT ?2",
    declined: "SELECT id, task, v FROM {p}jobs INDEXED BY {p}jobs_due WHERE due <= ?1 AND owner IS NULL \
        AND state <> 'quarantined' AND NOT (task IN (SELECT value FROM json_each(?2)) AND v <= ?3) \
        ORDER BY due, uid LIMIT ?4",

    nodes: "SELECT id, lease_until, last_claim_seq, \
        EXISTS (SELECT 1 FROM {p}runs AS r WHERE r.owner = n.id AND r.state = 'running') FROM {p}nodes AS n",
    node_infos: "SELECT n.id, n.info FROM {p}nodes AS n WHERE n.info IS NOT NULL",
    node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1",
    own_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1",
    free_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1",
    insert_node: "INSERT INTO {p}nodes (id, lease_until, last_claim_seq, info) VALUES (?1, ?2, ?3, NULLIF(?4, '')) ON CONFLICT DO NOTHING",
    write_node: "UPDATE {p}nodes SET lease_until = ?2, last_claim_seq = ?3 WHERE id = ?1",
    delete_node: "DELETE FROM {p}nodes WHERE id = ?1",
    claimed: "SELECT uid FROM {p}jobs INDEXED BY {p}jobs_claimed WHERE owner = ?1 LIMIT ?2",
    running: "SELECT DISTINCT uid FROM {p}runs AS r INDEXED BY {p}runs_running WHERE owner = ?1 AND state = 'running' \
        AND EXISTS (SELECT 1 FROM {p}jobs AS k WHERE k.uid = r.uid) ORDER BY uid LIMIT ?2",
    stopping: "SELECT uid, seq FROM {p}runs INDEXED BY {p}runs_running WHERE owner = ?1 AND state = 'running' \
        AND cancel_requested = 1 ORDER BY uid, seq LIMIT ?2",

    found_by_id: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_live WHERE {is_live} \
        AND k.id >= ?2 AND k.id <> ?3 ORDER BY k.id LIMIT ?4",
    found_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_next WHERE {is_live} \
        AND k.next_fire_time = ?2 AND k.id > ?3 ORDER BY k.id LIMIT ?4",
    found_later: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_next WHERE {is_live} \
        AND k.next_fire_time > ?2 ORDER BY k.next_fire_time, k.id LIMIT ?3",
    found_never: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_next WHERE {is_live} \
        AND k.next_fire_time IS NULL AND k.id > ?2 ORDER BY k.id LIMIT ?3",
    found_by_tag: "SELECT {place}, {wanted} FROM {p}tags AS h CROSS JOIN {p}jobs AS k WHERE h.tag = ?2 AND k.uid = h.uid \
        AND {is_live} LIMIT ?3",
    found_by_task: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_task WHERE {is_live} AND k.task = ?2 LIMIT ?3",
    found_by_state: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_state \
        WHERE k.state NOT IN ('active', 'ending', 'removed') AND k.state = ?2 LIMIT ?3",
    more_by_tag: "SELECT 1 FROM {p}tags WHERE tag = ?1 LIMIT 1 OFFSET ?2",
    more_by_task: "SELECT 1 FROM {p}jobs AS k INDEXED BY {p}jobs_task WHERE {is_live} AND k.task = ?1 LIMIT 1 OFFSET ?2",
    more_by_state: "SELECT 1 FROM {p}jobs INDEXED BY {p}jobs_state \
        WHERE state NOT IN ('active', 'ending', 'removed') AND state = ?1 LIMIT 1 OFFSET ?2",
    having_text: "SELECT uid FROM {p}jobs WHERE uid IN (SELECT value FROM json_each(?1)) \
        AND (instr(lower(body), ?2) > 0 OR instr(lower(id), ?2) > 0)",
    over_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_over WHERE k.retained_until IS NOT NULL \
        AND k.id = ?2 AND k.uid > ?3 ORDER BY k.uid LIMIT ?4",
    over_later: "SELECT {place}, {wanted} FROM {p}jobs AS k INDEXED BY {p}jobs_over WHERE k.retained_until IS NOT NULL \
        AND k.id > ?2 ORDER BY k.id, k.uid LIMIT ?3",
    count_over: "SELECT count(*) FROM {p}jobs AS k INDEXED BY {p}jobs_over WHERE k.retained_until IS NOT NULL",
    counts: "SELECT state, count(*) FROM {p}jobs INDEXED BY {p}jobs_state WHERE state NOT IN ('active', 'ending', 'removed') \
        GROUP BY state UNION ALL SELECT 'live', count(*) FROM {p}jobs INDEXED BY {p}jobs_live \
        WHERE state NOT IN ('ending', 'removed')",
    counts_by_tag: "SELECT k.state, count(*) FROM {p}tags AS h CROSS JOIN {p}jobs AS k WHERE h.tag = ?1 AND k.uid = h.uid \
        AND {is_live} GROUP BY k.state",
    counts_by_task: "SELECT k.state, count(*) FROM {p}jobs AS k INDEXED BY {p}jobs_task WHERE {is_live} AND k.task = ?1 \
        GROUP BY k.state",
    fired_tied: "SELECT {fired} FROM {p}runs AS r INDEXED BY {p}runs_fired {of_known_job} WHERE r.fire_time = ?1 AND r.uid <= ?2 \
        AND (r.uid < ?2 OR r.seq < ?3) ORDER BY r.uid DESC, r.seq DESC LIMIT ?4",
    fired: "SELECT {fired} FROM {p}runs AS r INDEXED BY {p}runs_fired {of_known_job} WHERE r.fire_time < ?1 AND r.fire_time >= ?2 \
        ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC LIMIT ?3",
    judged_tied: "SELECT {fired} FROM {p}runs AS r INDEXED BY {p}runs_verdict {of_known_job} WHERE r.verdict <> 'ok' \
        AND r.verdict = ?1 AND r.fire_time = ?2 AND r.uid <= ?3 AND (r.uid < ?3 OR r.seq < ?4) \
        ORDER BY r.uid DESC, r.seq DESC LIMIT ?5",
    judged: "SELECT {fired} FROM {p}runs AS r INDEXED BY {p}runs_verdict {of_known_job} WHERE r.verdict <> 'ok' \
        AND r.verdict = ?1 AND r.fire_time < ?2 AND r.fire_time >= ?3 \
        ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC LIMIT ?4",
    fired_by_job: "SELECT {fired} FROM json_each(?1) AS j CROSS JOIN {p}runs AS r ON r.uid = j.value {of_known_job} LIMIT ?2",
    fired_open: "SELECT {fired} FROM {p}runs AS r INDEXED BY {p}runs_open {of_known_job} WHERE r.state <> 'ended' LIMIT ?1",
};

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::{AssertSqlSafe, ConnectOptions, Row, sqlite::SqliteConnectOptions};

    use super::statements;
    use crate::SqliteStore;

    /// A statement that scans a table gets slower with each job. Scans of its argument, of what it has found, of the
    /// few nodes, and along an index are none.
    #[test]
    fn no_statement_scans_a_table() {
        futures_lite::future::block_on(async {
            let folder = tempfile::TempDir::new().unwrap();
            let url = format!("sqlite://{}/jobs.db", folder.path().display());
            drop(SqliteStore::connect(&url).await.unwrap());
            let mut connection = SqliteConnectOptions::from_str(&url).unwrap().connect().await.unwrap();
            for (name, text) in statements("scheduler_").all() {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
                let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
                for step in plan.iter().filter(|step| step.starts_with("SCAN")) {
                    let is_argument = ["SCAN j", "SCAN json_each ", "SCAN CONSTANT", "SCAN (subquery", "SCAN ended"]
                        .iter()
                        .any(|it| step.starts_with(it));
                    let is_nodes = step == "SCAN n";
                    assert!(is_argument || is_nodes || step.contains(" INDEX "), "{name}: {plan:#?}");
                }
                if name == "due" {
                    assert_eq!(plan[0], "SEARCH scheduler_jobs USING INDEX scheduler_jobs_due (due>? AND due<?)");
                    assert!(plan.iter().all(|step| !step.contains("ORDER BY")), "{plan:#?}");
                }
            }
        });
    }
}
