-- What schema 2 has left in MySQL, on top of what schema 1 had (`mysql.sql`): its tables, and jobs that are over and stay known, one of which has
-- the id of a job that goes on.
ALTER TABLE {p}jobs ADD COLUMN retention BIGINT, ADD COLUMN retained_until BIGINT,
    ADD KEY retained (retained_until), ADD KEY by_task (task(191)), ADD KEY by_state (state),
    ADD KEY by_next (next_fire_time, live_id);
ALTER TABLE {p}runs ADD COLUMN errors LONGTEXT, ADD COLUMN output LONGTEXT, DROP KEY open, ADD KEY open (is_open, uid),
    ADD KEY fired (fire_time, uid, seq), ADD KEY by_verdict (verdict, fire_time, uid, seq);
ALTER TABLE {p}nodes ADD COLUMN info LONGTEXT;
CREATE TABLE IF NOT EXISTS {p}tags (
    tag VARBINARY(200) NOT NULL,
    uid VARCHAR(32) NOT NULL,
    PRIMARY KEY (tag, uid),
    KEY of_job (uid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO {p}tags (tag, uid) SELECT CAST(t.tag AS BINARY), k.uid FROM {p}jobs AS k,
    JSON_TABLE(IF(JSON_VALID(k.body), k.body, '{}'), '$.tags[*]' COLUMNS (
        tag LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$'
    )) AS t WHERE OCTET_LENGTH(t.tag) <= 200;
UPDATE {p}meta SET value = 2 WHERE `key` = 'schema';
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f0', 'over', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f0', 1, 1795251600123456, 'ended', 'ok', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f0');
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f1', 'over', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f1', 1, 1795251600123456, 'ended', 'error', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f1');
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f2', 'waits', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f2', 1, 1795251600123456, 'ended', 'ok', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f2');
