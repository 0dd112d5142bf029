-- What schema 2 has left in PostgreSQL, on top of what schema 1 had (`postgres.sql`): its tables, and jobs that are over and stay known, one of which has
-- the id of a job that goes on.
ALTER TABLE {p}jobs ADD COLUMN retention BIGINT, ADD COLUMN retained_until BIGINT;
CREATE INDEX {p}jobs_retained ON {p}jobs (retained_until) WHERE retained_until IS NOT NULL;
ALTER TABLE {p}runs ADD COLUMN errors TEXT, ADD COLUMN output TEXT;
ALTER TABLE {p}nodes ADD COLUMN info TEXT;
CREATE TABLE {p}tags (
    tag TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, uid)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX {p}tags_of ON {p}tags (uid);
DO $fill$
DECLARE
    tagged record;
BEGIN
    FOR tagged IN SELECT uid, body FROM {p}jobs WHERE strpos(body, '"tags"') > 0 LOOP
        BEGIN
            INSERT INTO {p}tags (tag, uid) SELECT DISTINCT t.value #>> '{}', tagged.uid
                FROM jsonb_array_elements(tagged.body::jsonb -> 'tags') AS t
                WHERE jsonb_typeof(t.value) = 'string' AND octet_length(t.value #>> '{}') <= 200;
        EXCEPTION WHEN data_exception THEN
        END;
    END LOOP;
END
$fill$;
CREATE INDEX {p}jobs_task ON {p}jobs (task) WHERE state NOT IN ('ending', 'removed');
CREATE INDEX {p}jobs_state ON {p}jobs (state) WHERE state NOT IN ('active', 'ending', 'removed');
CREATE INDEX {p}jobs_next ON {p}jobs (next_fire_time, id) WHERE state NOT IN ('ending', 'removed');
CREATE INDEX {p}runs_fired ON {p}runs (fire_time, uid, seq);
CREATE INDEX {p}runs_verdict ON {p}runs (verdict, fire_time, uid, seq) WHERE verdict <> 'ok';
UPDATE {p}meta SET value = 2 WHERE key = 'schema';
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f0', 'over', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f0', 1, 1795251600123456, 'ended', 'ok', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f0');
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f1', 'over', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f1', 1, 1795251600123456, 'ended', 'error', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f1');
INSERT INTO {p}jobs (uid, id, body, task, v, state, last_seq, totals, retention, retained_until) VALUES ('000000000000000000000000000000f2', 'waits', '{"v":1,"task":"mail","args":{"n":1},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"options":{"retention":315360000},"tags":["billing"]}', 'mail', 1, 'ending', 1, '{"ok":1}', 315360000000000, 4102444800000000);
INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested) VALUES ('000000000000000000000000000000f2', 1, 1795251600123456, 'ended', 'ok', 1, 0, 1795251600123456, 'node-a', 1, 0);
INSERT INTO {p}tags (tag, uid) VALUES ('billing', '000000000000000000000000000000f2');
