-- What schema 1 has left in an SQLite file, under the prefix `{p}`: jobs in each state, with tags and without, open and ended runs, a
-- removed job that still runs, and two definitions that cannot be read.
BEGIN TRANSACTION;
CREATE TABLE {p}meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO {p}meta VALUES('changes',14);
INSERT INTO {p}meta VALUES('schema',1);
CREATE TABLE {p}jobs (
    uid TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL CHECK (id <> ''),
    body TEXT NOT NULL,
    task TEXT NOT NULL,
    v INTEGER NOT NULL,
    max_instances INTEGER NOT NULL DEFAULT 1,
    history INTEGER NOT NULL DEFAULT 100,
    state TEXT NOT NULL DEFAULT 'active',
    reason TEXT,
    next_fire_time INTEGER,
    due INTEGER,
    last_end INTEGER,
    blocked INTEGER NOT NULL DEFAULT 0,
    nudged INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    settled_fence INTEGER NOT NULL DEFAULT 0,
    last_seq INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    claim_until INTEGER,
    totals TEXT NOT NULL DEFAULT '{}'
);
INSERT INTO {p}jobs VALUES('0000000000000001000000000000feed','waits','{"v":1,"name":"a job of the suite","task":"mail","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-18T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-18T09:00:00.123456Z","tags":["billing","tenant:42"],"meta":{"by":"ann"}}','mail',1,1,100,'active',NULL,2110611600123456,2110611600123456,NULL,0,0,0,0,0,0,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000002000000000000feed','untagged','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-18T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-18T09:00:00.123456Z","meta":{"by":"ann"}}','task',1,1,100,'active',NULL,2110611600123456,2110611600123456,NULL,0,0,0,0,0,0,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000003000000000000feed','paused','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-18T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-18T09:00:00.123456Z","tags":["tenant:42"],"meta":{"by":"ann"}}','task',1,1,100,'paused',NULL,2110611600123456,NULL,NULL,0,0,1,0,0,0,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000004000000000000feed','kept','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-18T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-18T09:00:00.123456Z","tags":["größe \"5\" ","tenant:43"],"meta":{"by":"ann"}}','task',1,1,100,'kept',NULL,NULL,NULL,NULL,0,0,1,0,0,0,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000005000000000000feed','quarantined','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-18T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-18T09:00:00.123456Z","tags":["tenant:42"],"meta":{"by":"ann"}}','task',1,1,100,'quarantined','its zone is unknown',2110611600123456,NULL,NULL,0,0,1,0,0,0,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000006000000000000feed','runs','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-21T09:00:00.123456Z","tags":["tenant:42"],"meta":{"by":"ann"}}','task',1,1,100,'active',NULL,1795251600123456,NULL,NULL,0,0,0,2,1,1,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('0000000000000008000000000000feed','removed','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-21T09:00:00.123456Z","tags":["tenant:42"],"meta":{"by":"ann"}}','task',1,1,100,'removed',NULL,NULL,NULL,NULL,0,0,1,2,1,1,NULL,NULL,'{}');
INSERT INTO {p}jobs VALUES('000000000000000a000000000000feed','ended','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-21T09:00:00.123456Z","tags":["billing"],"meta":{"by":"ann"}}','task',1,1,100,'active',NULL,2110611600123456,2110611600123456,1795251600123456,0,1,0,2,1,2,NULL,NULL,'{"error":1,"skipped":1}');
INSERT INTO {p}jobs VALUES('000000000000000c000000000000feed','claimed','{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-21T09:00:00.123456Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-21T09:00:00.123456Z","meta":{"by":"ann"}}','task',1,1,100,'active',NULL,1795251600123456,1795251600123456,NULL,0,0,0,2,0,0,'node-a',1795251601123456,'{}');
CREATE TABLE {p}runs (
    uid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    fire_time INTEGER NOT NULL,
    first INTEGER,
    count INTEGER,
    state TEXT NOT NULL,
    wait TEXT,
    verdict TEXT,
    attempt INTEGER NOT NULL,
    takeovers INTEGER NOT NULL,
    due INTEGER NOT NULL,
    owner TEXT,
    fence INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    duration INTEGER,
    error TEXT,
    PRIMARY KEY (uid, seq)
) WITHOUT ROWID;
INSERT INTO {p}runs VALUES('0000000000000006000000000000feed',1,1795251600123456,NULL,NULL,'running',NULL,NULL,1,0,1795251600123456,'node-a',1,0,1795251600123456,NULL,NULL,NULL);
INSERT INTO {p}runs VALUES('0000000000000008000000000000feed',1,1795251600123456,NULL,NULL,'running',NULL,NULL,1,0,1795251600123456,'node-a',1,0,1795251600123456,NULL,NULL,NULL);
INSERT INTO {p}runs VALUES('000000000000000a000000000000feed',1,1795251600123456,NULL,NULL,'ended',NULL,'skipped',1,0,1795251600123456,NULL,0,0,NULL,1795251600123456,NULL,NULL);
INSERT INTO {p}runs VALUES('000000000000000a000000000000feed',2,1795251600123456,NULL,NULL,'ended',NULL,'error',1,0,1795251600123456,'node-a',1,0,1795251600123456,1795251600123456,333000,'no route to host');
CREATE TABLE {p}nodes (
    id TEXT NOT NULL PRIMARY KEY,
    lease_until INTEGER,
    last_claim_seq INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO {p}nodes VALUES('node-a',1795251601123456,14);
CREATE UNIQUE INDEX {p}jobs_live ON {p}jobs (id) WHERE state NOT IN ('ending', 'removed');
CREATE INDEX {p}jobs_due ON {p}jobs (due, uid) WHERE due IS NOT NULL;
CREATE INDEX {p}jobs_claimed ON {p}jobs (owner, claim_until) WHERE owner IS NOT NULL;
CREATE INDEX {p}runs_open ON {p}runs (uid, seq) WHERE state <> 'ended';
CREATE INDEX {p}runs_running ON {p}runs (owner, cancel_requested) WHERE state = 'running';
INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000e000000000000feed', 'broken', '{"v":1,"task":"task","tags":["tenant:42"', 'task', 1, 2111413595541567, 2111413595541567);
INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000f000000000000feed', 'broken tags', '{"v":1,"task":"task","tags":"tenant:42","trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"}}', 'task', 1, 2111413595541567, 2111413595541567);
COMMIT;
