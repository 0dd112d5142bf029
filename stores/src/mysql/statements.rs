//! The statements as MySQL and MariaDB take them. None scans a table; a test asks the server for its plan of each.
//!
//! `?1` is the first argument, wherever it stands; the servers count places, which [`Places`] takes care of. A list
//! comes as JSON and is joined first, in its order, so that rows are locked in the order of the list.

use crate::{
    kit::columns::{COUNTED_HEAD, DEFINITION, HEAD, MOVED_HEAD, RUN},
    sql::{Kind, Lists, Statements, inserted},
};

/// The type of a text inside of an argument. It is as long as any, since MariaDB cuts what is longer without a word.
const TEXT: &str = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The type of a key inside of an argument: longer than any that is kept, so that what is cut is no other's.
const KEY: &str = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

pub(super) fn statements(prefix: &str) -> Statements {
    filled(prefix, TEXTS)
}

/// The statements in transactions of the application's, whose isolation level may be REPEATABLE READ, the server's default.
///
/// A look for ids that are taken would lock the gaps between them there, and two transactions that add jobs into one gap would
/// wait for each other; so that one is left out. And a job that another transaction has added since this one began is seen by
/// those reads alone that lock it.
pub(super) fn guest_statements(prefix: &str) -> Statements {
    let texts = Statements {
        insert: "INSERT INTO {p}jobs ({inserted}) SELECT {insert_values} FROM {insert_rows} \
            ON DUPLICATE KEY UPDATE uid = {p}jobs.uid",
        jobs_by_id: "SELECT STRAIGHT_JOIN {job} FROM {list} JOIN {p}jobs FORCE INDEX (live) \
            ON live_id = CAST(j.c0 AS BINARY) FOR UPDATE",
        ..TEXTS
    };
    filled(prefix, texts)
}

fn filled(prefix: &str, texts: Statements<&str>) -> Statements {
    let keyed = |columns: &[&'static str]| [&["uid"], columns].concat();
    let updated_runs = RUN.iter().enumerate().map(|(at, column)| format!("{column} = j.c{at}"));
    let lists = Lists::new(prefix, "uid", |at, _| format!("j.c{at}"))
        .with("{insert_rows}", rows(&inserted()))
        .with("{head_rows}", rows(&keyed(&HEAD)))
        .with("{moved_head_rows}", rows(&keyed(&MOVED_HEAD)))
        .with("{counted_head_rows}", rows(&keyed(&COUNTED_HEAD)))
        .with("{definition_rows}", rows(&keyed(&DEFINITION)))
        .with("{reason_rows}", rows(&["uid", "reason"]))
        .with("{tag_rows}", rows(&["uid", "tag"]))
        .with("{numbered_rows}", rows(&["uid", "seq"]))
        .with("{run_rows}", rows(&RUN))
        .with("{updated_runs}", updated_runs.collect::<Vec<_>>().join(", "))
        .with(
            "{wanted}",
            "(SELECT STRAIGHT_JOIN COUNT(*) FROM {list} JOIN {p}tags AS g FORCE INDEX (PRIMARY) \
                ON g.tag = CAST(j.c0 AS BINARY) AND g.uid = k.uid)",
        )
        .with(
            "{of_known_job}",
            "LEFT JOIN {p}jobs AS k FORCE INDEX (PRIMARY) ON k.uid = r.uid \
                AND (k.live_id IS NOT NULL OR k.over_id IS NOT NULL)",
        )
        .with("{p}", prefix)
        .with("{list}", list("?1", "j", KEY))
        .with("{claimed}", list("?3", "j", KEY))
        // Texts compare with spaces added at their ends, bytes do not.
        .with(
            "{is_able}",
            format!("CAST(task AS BINARY) IN (SELECT CAST(t.c0 AS BINARY) FROM {}) AND v <= ?3", list("?2", "t", TEXT)),
        );
    texts.map(|text| lists.fill(text))
}

/// Counts a change, which other nodes look out for, and ends the transaction. The row is locked for that long only.
pub(super) fn count_change_and_commit(prefix: &str) -> String {
    format!("UPDATE {prefix}meta SET value = value + 1 WHERE `key` = 'changes'; COMMIT")
}

/// Notes a change in a row of its own. 1 its key.
pub(super) fn note_change(prefix: &str) -> String {
    format!("INSERT INTO {prefix}meta (`key`, value) VALUES (?, 1)")
}

/// The counter of changes, and the rows of those that are noted.
pub(super) fn changes(prefix: &str) -> String {
    format!(
        "SELECT `key`, value FROM {prefix}meta WHERE `key` = 'changes' OR `key` >= 'changes ' AND `key` < 'changes!'"
    )
}

/// Removes rows of noted changes. 1 their keys.
pub(super) fn clear_changes(prefix: &str) -> String {
    format!(
        "DELETE m FROM {} STRAIGHT_JOIN {prefix}meta AS m FORCE INDEX (PRIMARY) ON m.`key` = j.c0",
        list("?1", "j", KEY)
    )
}

/// The first argument, a list of lists, as a table `j`.
fn rows(columns: &[&str]) -> String {
    let column = |(at, name): (usize, &&str)| {
        let kind = match Kind::of(name) {
            Kind::Integer => "BIGINT",
            Kind::Text if *name == "uid" => KEY,
            Kind::Text => TEXT,
        };
        format!("c{at} {kind} PATH '$[{at}]' ERROR ON ERROR")
    };
    let columns: Vec<String> = columns.iter().enumerate().map(column).collect();
    format!("JSON_TABLE(?1, '$[*]' COLUMNS ({})) AS j", columns.join(", "))
}

/// An argument, a list of texts, as a table.
fn list(argument: &str, name: &str, kind: &str) -> String {
    format!("JSON_TABLE({argument}, '$[*]' COLUMNS (c0 {kind} PATH '$')) AS {name}")
}

const TEXTS: Statements<&str> = Statements {
    // Ids that are taken are left out without a lock: a duplicate locks the index before the row, whereas all others lock
    // the row first. The end is for those that others take in the meantime, since `INSERT IGNORE` would ignore more.
    insert: "INSERT INTO {p}jobs ({inserted}) SELECT {insert_values} FROM {insert_rows} \
        WHERE NOT EXISTS (SELECT 1 FROM {p}jobs AS k FORCE INDEX (live) WHERE k.live_id = CAST(j.c1 AS BINARY)) \
        ON DUPLICATE KEY UPDATE uid = {p}jobs.uid",
    insert_tags: "INSERT INTO {p}tags (uid, tag) SELECT j.c0, CAST(j.c1 AS BINARY) FROM {tag_rows} \
        ON DUPLICATE KEY UPDATE tag = {p}tags.tag",
    known: "SELECT STRAIGHT_JOIN uid FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0",
    jobs_by_id: "SELECT STRAIGHT_JOIN {job} FROM {list} JOIN {p}jobs FORCE INDEX (live) ON live_id = CAST(j.c0 AS BINARY)",
    jobs: "SELECT {job} FROM {p}jobs FORCE INDEX (live) WHERE live_id > CAST(?1 AS BINARY) ORDER BY live_id LIMIT ?2",
    runs: "SELECT {run} FROM {p}runs AS r WHERE uid = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",

    live: "SELECT STRAIGHT_JOIN uid FROM {list} JOIN {p}jobs FORCE INDEX (live) ON live_id = CAST(j.c0 AS BINARY)",
    live_after: "SELECT uid FROM {p}jobs FORCE INDEX (live) WHERE live_id > CAST(?1 AS BINARY) ORDER BY live_id LIMIT ?2",
    heads: "SELECT STRAIGHT_JOIN {head} FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 FOR UPDATE",
    free_heads: "SELECT STRAIGHT_JOIN {head} FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        FOR UPDATE SKIP LOCKED",
    jobs_by_uid: "SELECT STRAIGHT_JOIN {job} FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 FOR UPDATE",
    shown: "SELECT STRAIGHT_JOIN {job} FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0",
    open_runs: "SELECT STRAIGHT_JOIN {run} FROM {list} JOIN {p}runs AS r FORCE INDEX (open) \
        ON r.uid = j.c0 AND r.is_open = 1",
    runs_by_key: "SELECT STRAIGHT_JOIN {run} FROM {numbered_rows} JOIN {p}runs AS r FORCE INDEX (PRIMARY) \
        ON r.uid = j.c0 AND r.seq = j.c1",
    write_heads: "UPDATE {head_rows} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 SET {head_set}",
    write_moved_heads: "UPDATE {moved_head_rows} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 SET {moved_head_set}",
    write_counted_heads: "UPDATE {counted_head_rows} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        SET {counted_head_set}",
    write_definitions: "UPDATE {definition_rows} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        SET {definition_set}",
    write_runs: "INSERT INTO {p}runs ({runs}) SELECT {run_values} FROM {run_rows} ON DUPLICATE KEY UPDATE {updated_runs}",
    delete_runs: "DELETE r FROM {list} STRAIGHT_JOIN {p}runs AS r FORCE INDEX (PRIMARY) ON r.uid = j.c0",
    delete_tags: "DELETE g FROM {list} STRAIGHT_JOIN {p}tags AS g FORCE INDEX (of_job) ON g.uid = j.c0",
    delete_jobs: "DELETE k FROM {list} STRAIGHT_JOIN {p}jobs AS k FORCE INDEX (PRIMARY) ON k.uid = j.c0",
    prune: "DELETE d FROM (SELECT uid, seq FROM (SELECT STRAIGHT_JOIN r.uid, r.seq, j.c1 AS kept, \
            ROW_NUMBER() OVER (PARTITION BY r.uid ORDER BY r.seq DESC) AS place \
            FROM {numbered_rows} JOIN {p}runs AS r FORCE INDEX (PRIMARY) ON r.uid = j.c0 WHERE r.state = 'ended') AS e \
            WHERE place > kept) AS old \
        STRAIGHT_JOIN {p}runs AS d FORCE INDEX (PRIMARY) ON d.uid = old.uid AND d.seq = old.seq",

    due: "SELECT STRAIGHT_JOIN {job} FROM {p}jobs FORCE INDEX (due_first) WHERE due BETWEEN ?7 AND ?1 AND {is_able} \
        AND state <> 'quarantined' AND (owner IS NULL OR owner = ?4 OR claim_until <= ?5) \
        ORDER BY due, uid LIMIT ?6 FOR UPDATE SKIP LOCKED",
    claim: "UPDATE {claimed} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        SET owner = ?1, claim_until = ?2, fence = fence + 1, nudged = 0",
    quarantine: "UPDATE {reason_rows} STRAIGHT_JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        SET state = CASE WHEN state IN ('ending', 'removed') THEN state ELSE 'quarantined' END, reason = j.c1, \
        due = NULL, owner = NULL, claim_until = NULL",
    next: "SELECT (SELECT STRAIGHT_JOIN due FROM {p}jobs FORCE INDEX (due_first) WHERE due > ?1 AND {is_able} \
            AND state <> 'quarantined' AND (owner IS NULL OR owner = ?4) ORDER BY due, uid LIMIT 1), \
        (SELECT MIN(free_at) FROM \
            (SELECT STRAIGHT_JOIN MIN(claim_until) AS free_at FROM {p}jobs FORCE INDEX (owned) \
                WHERE owner <> ?4 AND {is_able} AND state <> 'quarantined' \
            UNION ALL SELECT STRAIGHT_JOIN MIN(due) FROM {p}jobs FORCE INDEX (due_first) WHERE due <= ?1 AND {is_able} \
                AND state <> 'quarantined' AND (owner IS NULL OR owner = ?4 AND claim_until < ?5)) AS held)",
    expired: "SELECT uid FROM {p}jobs FORCE INDEX (retained) WHERE retained_until <= ?1 ORDER BY retained_until LIMIT ?2",
    declined: "SELECT STRAIGHT_JOIN id, task, v FROM {p}jobs FORCE INDEX (due_first) WHERE due <= ?1 AND owner IS NULL \
        AND state <> 'quarantined' AND NOT ({is_able}) ORDER BY due, uid LIMIT ?4",

    nodes: "SELECT id, lease_until, last_claim_seq, CAST(EXISTS \
        (SELECT 1 FROM {p}runs AS r FORCE INDEX (running) WHERE r.running_on = n.id) AS SIGNED) FROM {p}nodes AS n",
    node_infos: "SELECT n.id, n.info FROM {p}nodes AS n WHERE n.info IS NOT NULL",
    node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1",
    own_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1 FOR UPDATE",
    free_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = ?1 FOR UPDATE SKIP LOCKED",
    // `INSERT IGNORE` would ignore more.
    insert_node: "INSERT INTO {p}nodes (id, lease_until, last_claim_seq, info) VALUES (?1, ?2, ?3, NULLIF(?4, '')) \
        ON DUPLICATE KEY UPDATE id = {p}nodes.id",
    write_node: "UPDATE {p}nodes SET lease_until = ?2, last_claim_seq = ?3 WHERE id = ?1",
    delete_node: "DELETE FROM {p}nodes WHERE id = ?1",
    claimed: "SELECT uid FROM {p}jobs FORCE INDEX (owned) WHERE owner = ?1 LIMIT ?2",
    running: "SELECT DISTINCT r.uid FROM {p}runs AS r FORCE INDEX (running) WHERE r.running_on = ?1 \
        AND EXISTS (SELECT 1 FROM {p}jobs AS k WHERE k.uid = r.uid) ORDER BY r.uid LIMIT ?2",
    stopping: "SELECT uid, seq FROM {p}runs FORCE INDEX (running) WHERE running_on = ?1 AND cancel_requested = 1 \
        ORDER BY uid, seq LIMIT ?2",

    found_by_id: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (live) WHERE k.live_id >= CAST(?2 AS BINARY) \
        AND k.live_id <> CAST(?3 AS BINARY) ORDER BY k.live_id LIMIT ?4",
    found_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (by_next) WHERE k.next_fire_time = ?2 \
        AND k.live_id > CAST(?3 AS BINARY) ORDER BY k.live_id LIMIT ?4",
    found_later: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (by_next) WHERE k.next_fire_time > ?2 \
        AND k.live_id IS NOT NULL ORDER BY k.next_fire_time, k.live_id LIMIT ?3",
    found_never: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (by_next) WHERE k.next_fire_time IS NULL \
        AND k.live_id > CAST(?2 AS BINARY) ORDER BY k.live_id LIMIT ?3",
    found_by_tag: "SELECT STRAIGHT_JOIN {place}, {wanted} FROM {p}tags AS h FORCE INDEX (PRIMARY) \
        JOIN {p}jobs AS k FORCE INDEX (PRIMARY) ON k.uid = h.uid WHERE h.tag = CAST(?2 AS BINARY) \
        AND k.live_id IS NOT NULL LIMIT ?3",
    found_by_task: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (by_task) WHERE k.task = ?2 \
        AND k.live_id IS NOT NULL LIMIT ?3",
    found_by_state: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (by_state) WHERE k.state = ?2 \
        AND k.live_id IS NOT NULL LIMIT ?3",
    more_by_tag: "SELECT 1 FROM {p}tags FORCE INDEX (PRIMARY) WHERE tag = CAST(?1 AS BINARY) LIMIT 1 OFFSET ?2",
    more_by_task: "SELECT 1 FROM {p}jobs FORCE INDEX (by_task) WHERE task = ?1 AND live_id IS NOT NULL LIMIT 1 OFFSET ?2",
    more_by_state: "SELECT 1 FROM {p}jobs FORCE INDEX (by_state) WHERE state = ?1 AND live_id IS NOT NULL LIMIT 1 OFFSET ?2",
    having_text: "SELECT STRAIGHT_JOIN uid FROM {list} JOIN {p}jobs FORCE INDEX (PRIMARY) ON uid = j.c0 \
        WHERE LOCATE(?2, LOWER(body)) > 0 OR LOCATE(?2, LOWER(id)) > 0",
    over_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (over_first) WHERE k.over_id = CAST(?2 AS BINARY) \
        AND k.uid > ?3 ORDER BY k.uid LIMIT ?4",
    over_later: "SELECT {place}, {wanted} FROM {p}jobs AS k FORCE INDEX (over_first) WHERE k.over_id > CAST(?2 AS BINARY) \
        ORDER BY k.over_id, k.uid LIMIT ?3",
    count_over: "SELECT COUNT(*) FROM {p}jobs FORCE INDEX (over_first) WHERE over_id IS NOT NULL",
    counts: "SELECT state, COUNT(*) FROM {p}jobs FORCE INDEX (by_state) WHERE state NOT IN ('ending', 'removed') GROUP BY state",
    counts_by_tag: "SELECT STRAIGHT_JOIN k.state, COUNT(*) FROM {p}tags AS h FORCE INDEX (PRIMARY) \
        JOIN {p}jobs AS k FORCE INDEX (PRIMARY) ON k.uid = h.uid WHERE h.tag = CAST(?1 AS BINARY) \
        AND k.live_id IS NOT NULL GROUP BY k.state",
    counts_by_task: "SELECT k.state, COUNT(*) FROM {p}jobs AS k FORCE INDEX (by_task) WHERE k.task = ?1 \
        AND CAST(k.task AS BINARY) = CAST(?1 AS BINARY) AND k.live_id IS NOT NULL GROUP BY k.state",
    fired_tied: "SELECT STRAIGHT_JOIN {fired} FROM {p}runs AS r FORCE INDEX (fired) {of_known_job} WHERE r.fire_time = ?1 \
        AND r.uid <= ?2 AND (r.uid < ?2 OR r.seq < ?3) ORDER BY r.uid DESC, r.seq DESC LIMIT ?4",
    fired: "SELECT STRAIGHT_JOIN {fired} FROM {p}runs AS r FORCE INDEX (fired) {of_known_job} WHERE r.fire_time < ?1 \
        AND r.fire_time >= ?2 ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC LIMIT ?3",
    judged_tied: "SELECT STRAIGHT_JOIN {fired} FROM {p}runs AS r FORCE INDEX (by_verdict) {of_known_job} WHERE r.verdict = ?1 \
        AND r.fire_time = ?2 AND r.uid <= ?3 AND (r.uid < ?3 OR r.seq < ?4) \
        ORDER BY r.uid DESC, r.seq DESC LIMIT ?5",
    judged: "SELECT STRAIGHT_JOIN {fired} FROM {p}runs AS r FORCE INDEX (by_verdict) {of_known_job} WHERE r.verdict = ?1 \
        AND r.fire_time < ?2 AND r.fire_time >= ?3 ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC LIMIT ?4",
    fired_by_job: "SELECT STRAIGHT_JOIN {fired} FROM {list} JOIN {p}runs AS r FORCE INDEX (PRIMARY) ON r.uid = j.c0 {of_known_job} \
        LIMIT ?2",
    fired_open: "SELECT STRAIGHT_JOIN {fired} FROM {p}runs AS r FORCE INDEX (open) {of_known_job} WHERE r.is_open = 1 LIMIT ?1",
};

/// A statement whose places take the arguments in the order in which they come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) text: String,
    /// Which argument, from 0, each place takes.
    pub(super) order: Vec<usize>,
}

impl Places {
    pub(super) fn of(text: &str) -> Self {
        let mut pieces = text.split('?');
        let mut places = Self { text: pieces.next().unwrap_or_default().to_owned(), order: Vec::new() };
        for piece in pieces {
            let digit = piece.bytes().next().filter(u8::is_ascii_digit).expect("each place has a number");
            places.order.push(usize::from(digit - b'1'));
            places.text.push('?');
            places.text.push_str(&piece[1..]);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, statements};

    #[test]
    fn each_place_takes_its_argument() {
        let places = Places::of("SELECT ?2, ?1 WHERE a = ?2");
        assert_eq!(places, Places { text: "SELECT ?, ? WHERE a = ?".to_owned(), order: vec![1, 0, 1] });
    }

    #[test]
    fn every_statement_is_complete() {
        for (name, text) in statements("scheduler_").all() {
            assert!(!text.contains(['{', '}']), "{name}: {text}");
            let places = Places::of(text);
            assert_eq!(places.text.matches('?').count(), places.order.len(), "{name}");
        }
    }
}
