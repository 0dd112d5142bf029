//! The statements as PostgreSQL takes them. None scans a table; a test asks PostgreSQL for its plan of each.
//!
//! A transaction that has locked a job's row may change the job and its runs; so rows are locked first, and what belongs to them is
//! read by the next statement, which sees what the last holder wrote.

use scheduler_core::store::Clock;

use crate::sql::{Kind, Lists, Statements};

/// The statements of a store. A claimed job is due, so that claims are found among the due jobs, without an index that
/// each claim would have to write. By the callers' clocks, one of which may be behind, they are found among all jobs; that
/// is for tests.
pub(super) fn statements(prefix: &str, clock: Clock) -> Statements {
    let value = |at, kind| match kind {
        Kind::Integer => format!("(j.value->>{at})::bigint"),
        Kind::Text => format!("j.value->>{at}"),
    };
    // Until when claimed jobs are due, and what a job has to be that is due later.
    let (seen, unheld): (fn(&str) -> String, _) = match clock {
        Clock::Server => (|now| now.to_owned(), ""),
        Clock::Caller => (|_| i64::MAX.to_string(), "AND (owner IS NULL OR owner = $4)"),
    };
    let excluded = crate::kit::columns::RUN.map(|column| format!("{column} = excluded.{column}"));
    let lists = Lists::new(prefix, "uid", value)
        .with("{rows}", "j AS MATERIALIZED (SELECT value FROM jsonb_array_elements($1::jsonb))")
        // An array, and not a join, so that an index is used however many there are.
        .with("{list}", "ARRAY(SELECT jsonb_array_elements_text($1::jsonb))")
        .with("{is_able}", "task = ANY(ARRAY(SELECT jsonb_array_elements_text($2::jsonb))) AND v <= $3")
        .with(
            "{wanted}",
            "CASE WHEN $1::jsonb = '[]' THEN 0 ELSE (SELECT count(*) FROM {p}tags AS g \
                WHERE g.tag = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb))) AND g.uid = k.uid) END",
        )
        // A row is looked up for each run, and no join made that reads all of the jobs.
        .with(
            "{of_known_job}",
            "LEFT JOIN LATERAL (SELECT id, task FROM {p}jobs WHERE uid = r.uid \
                AND ({is_live} OR retained_until IS NOT NULL AND state = 'ending') LIMIT 1) AS k ON true",
        )
        .with("{p}", prefix)
        .with("{is_live}", "state NOT IN ('ending', 'removed')")
        .with("{excluded_runs}", excluded.join(", "))
        .with("{seen $1}", seen("$1"))
        .with("{seen $3}", seen("$3"))
        .with("{unheld}", unheld);
    TEXTS.map(|text| lists.fill(text))
}

/// What is found up to a limit is asked for in the order of its index, without which the server reads all of it into a bitmap first.
/// `(SELECT true ..)` in a condition is looked up row by row; `EXISTS` could become a join that reads all of the other
/// table.
const TEXTS: Statements<&str> = Statements {
    insert: "WITH {rows} INSERT INTO {p}jobs ({inserted}) SELECT {insert_values} FROM j \
        ON CONFLICT DO NOTHING RETURNING uid",
    insert_tags: "WITH {rows} INSERT INTO {p}tags (uid, tag) SELECT j.value->>0, j.value->>1 FROM j ON CONFLICT DO NOTHING",
    known: "SELECT uid FROM {p}jobs WHERE uid = ANY({list})",
    jobs_by_id: "SELECT {job} FROM {p}jobs WHERE id = ANY({list}) AND {is_live}",
    jobs: "SELECT {job} FROM {p}jobs WHERE {is_live} AND id > $1 ORDER BY id LIMIT $2",
    runs: "SELECT {run} FROM {p}runs AS r WHERE uid = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",

    live: "SELECT uid FROM {p}jobs WHERE id = ANY({list}) AND {is_live}",
    live_after: "SELECT uid FROM {p}jobs WHERE {is_live} AND id > $1 ORDER BY id LIMIT $2",
    heads: "SELECT {head} FROM {p}jobs WHERE uid = ANY({list}) ORDER BY uid FOR UPDATE",
    free_heads: "SELECT {head} FROM {p}jobs WHERE uid = ANY({list}) ORDER BY uid FOR UPDATE SKIP LOCKED",
    jobs_by_uid: "SELECT {job} FROM {p}jobs WHERE uid = ANY({list}) ORDER BY uid FOR UPDATE",
    shown: "SELECT {job} FROM {p}jobs WHERE uid = ANY({list}) ORDER BY uid",
    open_runs: "SELECT {run} FROM {p}runs AS r WHERE uid = ANY({list}) AND state <> 'ended'",
    runs_by_key: "WITH {rows} SELECT {run} FROM j JOIN {p}runs AS r \
        ON r.uid = j.value->>0 AND r.seq = (j.value->>1)::bigint",
    write_heads: "WITH {rows} UPDATE {p}jobs AS k SET {head_set} FROM j WHERE k.uid = j.value->>0",
    write_moved_heads: "WITH {rows} UPDATE {p}jobs AS k SET {moved_head_set} FROM j WHERE k.uid = j.value->>0",
    write_counted_heads: "WITH {rows} UPDATE {p}jobs AS k SET {counted_head_set} FROM j WHERE k.uid = j.value->>0",
    write_definitions: "WITH {rows} UPDATE {p}jobs AS k SET {definition_set} FROM j WHERE k.uid = j.value->>0",
    write_runs: "WITH {rows} INSERT INTO {p}runs ({runs}) SELECT {run_values} FROM j \
        ON CONFLICT (uid, seq) DO UPDATE SET {excluded_runs}",
    delete_runs: "DELETE FROM {p}runs WHERE uid = ANY({list})",
    delete_tags: "DELETE FROM {p}tags WHERE uid = ANY({list})",
    delete_jobs: "DELETE FROM {p}jobs WHERE uid = ANY({list})",
    prune: "WITH {rows} DELETE FROM {p}runs AS d USING j CROSS JOIN LATERAL (SELECT uid, seq FROM {p}runs AS r \
        WHERE r.uid = j.value->>0 AND r.state = 'ended' ORDER BY r.seq DESC OFFSET (j.value->>1)::bigint) AS old \
        WHERE d.uid = old.uid AND d.seq = old.seq",

    due: "SELECT {job} FROM {p}jobs WHERE due BETWEEN $7 AND $1 AND {is_able} AND state <> 'quarantined' \
        AND (owner IS NULL OR owner = $4 OR claim_until <= $5) ORDER BY due, uid LIMIT $6 FOR UPDATE SKIP LOCKED",
    claim: "UPDATE {p}jobs SET owner = $1, claim_until = $2, fence = fence + 1, nudged = 0 \
        WHERE uid = ANY(ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))",
    quarantine: "WITH {rows} UPDATE {p}jobs AS k SET state = CASE WHEN {is_live} THEN 'quarantined' ELSE state END, \
        reason = j.value->>1, due = NULL, owner = NULL, claim_until = NULL FROM j WHERE k.uid = j.value->>0",
    next: "SELECT (SELECT due FROM {p}jobs WHERE due > $1 AND {is_able} AND state <> 'quarantined' {unheld} \
            ORDER BY due, uid LIMIT 1), \
        (SELECT min(CASE WHEN owner <> $4 THEN claim_until ELSE due END) FROM {p}jobs WHERE due <= {seen $1} AND {is_able} \
            AND state <> 'quarantined' AND (owner IS DISTINCT FROM $4 OR claim_until < $5))",
    expired: "SELECT uid FROM {p}jobs WHERE retained_until <= $1 ORDER BY retained_until LIMIT $2",
    declined: "SELECT id, task, v FROM {p}jobs WHERE due <= $1 AND owner IS NULL \
        AND state <> 'quarantined' AND NOT ({is_able}) ORDER BY due, uid LIMIT $4",

    nodes: "SELECT id, lease_until, last_claim_seq, coalesce((SELECT 1::bigint FROM {p}runs AS r \
        WHERE r.owner = n.id AND r.state = 'running' LIMIT 1), 0) FROM {p}nodes AS n",
    node_infos: "SELECT n.id, n.info FROM {p}nodes AS n WHERE n.info IS NOT NULL",
    node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = $1",
    own_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = $1 FOR UPDATE",
    free_node: "SELECT lease_until, last_claim_seq FROM {p}nodes WHERE id = $1 FOR UPDATE SKIP LOCKED",
    insert_node: "INSERT INTO {p}nodes (id, lease_until, last_claim_seq, info) VALUES ($1, $2, $3, NULLIF($4, '')) ON CONFLICT DO NOTHING",
    write_node: "UPDATE {p}nodes SET lease_until = $2, last_claim_seq = $3 WHERE id = $1",
    delete_node: "DELETE FROM {p}nodes WHERE id = $1",
    claimed: "SELECT uid FROM {p}jobs WHERE due <= {seen $3} AND owner = $1 LIMIT $2",
    running: "SELECT DISTINCT uid FROM {p}runs AS r WHERE owner = $1 AND state = 'running' \
        AND (SELECT true FROM {p}jobs AS k WHERE k.uid = r.uid) ORDER BY uid LIMIT $2",
    stopping: "SELECT uid, seq FROM {p}runs WHERE owner = $1 AND state = 'running' AND cancel_requested = 1 \
        ORDER BY uid, seq LIMIT $2",

    found_by_id: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE {is_live} AND id >= $2 AND id <> $3 ORDER BY id LIMIT $4",
    found_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE {is_live} AND next_fire_time = $2 AND id > $3 \
        ORDER BY next_fire_time, id LIMIT $4",
    found_later: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE {is_live} AND next_fire_time > $2 \
        ORDER BY next_fire_time, id LIMIT $3",
    found_never: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE {is_live} AND next_fire_time IS NULL AND id > $2 \
        ORDER BY next_fire_time, id LIMIT $3",
    found_by_tag: "SELECT {place}, {wanted} FROM {p}tags AS h CROSS JOIN LATERAL \
        (SELECT * FROM {p}jobs WHERE uid = h.uid AND {is_live} LIMIT 1) AS k WHERE h.tag = $2 \
        ORDER BY h.uid LIMIT $3",
    found_by_task: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE {is_live} AND task BETWEEN $2 AND $2 \
        ORDER BY task LIMIT $3",
    found_by_state: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE state NOT IN ('active', 'ending', 'removed') \
        AND state BETWEEN $2 AND $2 ORDER BY state LIMIT $3",
    more_by_tag: "SELECT 1 FROM {p}tags WHERE tag = $1 ORDER BY uid LIMIT 1 OFFSET $2",
    more_by_task: "SELECT 1 FROM {p}jobs WHERE {is_live} AND task BETWEEN $1 AND $1 ORDER BY task LIMIT 1 OFFSET $2",
    more_by_state: "SELECT 1 FROM {p}jobs WHERE state NOT IN ('active', 'ending', 'removed') \
        AND state BETWEEN $1 AND $1 ORDER BY state LIMIT 1 OFFSET $2",
    // By the rules of any language but this one, a small letter may be another one.
    having_text: "SELECT uid FROM {p}jobs WHERE uid = ANY({list}) \
        AND (strpos(lower(body COLLATE \"C\"), $2) > 0 OR strpos(lower(id), $2) > 0)",
    over_tied: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE retained_until IS NOT NULL AND id = $2 AND uid > $3 \
        ORDER BY id, uid LIMIT $4",
    over_later: "SELECT {place}, {wanted} FROM {p}jobs AS k WHERE retained_until IS NOT NULL AND id > $2 \
        ORDER BY id, uid LIMIT $3",
    count_over: "SELECT count(*) FROM {p}jobs WHERE retained_until IS NOT NULL",
    counts: "SELECT state, count(*) FROM {p}jobs WHERE state NOT IN ('active', 'ending', 'removed') GROUP BY state \
        UNION ALL SELECT 'live', count(*) FROM {p}jobs WHERE {is_live}",
    counts_by_tag: "SELECT k.state, count(*) FROM {p}tags AS h CROSS JOIN LATERAL \
        (SELECT state FROM {p}jobs WHERE uid = h.uid AND {is_live} LIMIT 1) AS k WHERE h.tag = $1 GROUP BY k.state",
    counts_by_task: "SELECT state, count(*) FROM {p}jobs WHERE {is_live} AND task = $1 GROUP BY state",
    fired_tied: "SELECT {fired} FROM (SELECT * FROM {p}runs WHERE fire_time = $1 AND uid <= $2 AND (uid < $2 OR seq < $3) \
        ORDER BY fire_time DESC, uid DESC, seq DESC LIMIT $4) AS r {of_known_job} ORDER BY r.uid DESC, r.seq DESC",
    fired: "SELECT {fired} FROM (SELECT * FROM {p}runs WHERE fire_time < $1 AND fire_time >= $2 \
        ORDER BY fire_time DESC, uid DESC, seq DESC LIMIT $3) AS r {of_known_job} \
        ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC",
    judged_tied: "SELECT {fired} FROM (SELECT * FROM {p}runs WHERE verdict <> 'ok' AND verdict = $1 AND fire_time = $2 \
        AND uid <= $3 AND (uid < $3 OR seq < $4) ORDER BY fire_time DESC, uid DESC, seq DESC LIMIT $5) AS r {of_known_job} \
        ORDER BY r.uid DESC, r.seq DESC",
    judged: "SELECT {fired} FROM (SELECT * FROM {p}runs WHERE verdict <> 'ok' AND verdict = $1 AND fire_time < $2 \
        AND fire_time >= $3 ORDER BY fire_time DESC, uid DESC, seq DESC LIMIT $4) AS r {of_known_job} \
        ORDER BY r.fire_time DESC, r.uid DESC, r.seq DESC",
    fired_by_job: "SELECT {fired} FROM jsonb_array_elements_text($1::jsonb) AS u (uid) CROSS JOIN LATERAL \
        (SELECT * FROM {p}runs WHERE uid = u.uid ORDER BY seq LIMIT $2) AS r {of_known_job} LIMIT $2",
    fired_open: "SELECT {fired} FROM (SELECT * FROM {p}runs WHERE state <> 'ended' ORDER BY uid, seq LIMIT $1) AS r {of_known_job}",
};
