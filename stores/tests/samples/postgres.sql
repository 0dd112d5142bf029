-- What schema 1 has left on PostgreSQL, under the prefix `{p}`: jobs in each state, with tags and without, open and ended runs, a
-- removed job that still runs, and two definitions that cannot be read.
CREATE TABLE {p}jobs (
    uid text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL,
    task text NOT NULL COLLATE pg_catalog."C",
    v bigint NOT NULL,
    max_instances bigint DEFAULT 1 NOT NULL,
    history bigint DEFAULT 100 NOT NULL,
    state text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    reason text,
    next_fire_time bigint,
    due bigint,
    last_end bigint,
    blocked bigint DEFAULT 0 NOT NULL,
    nudged bigint DEFAULT 0 NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    settled_fence bigint DEFAULT 0 NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    owner text COLLATE pg_catalog."C",
    claim_until bigint,
    totals text DEFAULT '{}'::text NOT NULL,
    CONSTRAINT {p}jobs_id_check CHECK ((id <> ''::text))
)
WITH (fillfactor='75', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.05');
CREATE TABLE {p}meta (
    key text NOT NULL COLLATE pg_catalog."C",
    value bigint NOT NULL
);
CREATE TABLE {p}nodes (
    id text NOT NULL COLLATE pg_catalog."C",
    lease_until bigint,
    last_claim_seq bigint NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE {p}runs (
    uid text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    fire_time bigint NOT NULL,
    first bigint,
    count bigint,
    state text NOT NULL COLLATE pg_catalog."C",
    wait text COLLATE pg_catalog."C",
    verdict text COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    takeovers bigint NOT NULL,
    due bigint NOT NULL,
    owner text COLLATE pg_catalog."C",
    fence bigint NOT NULL,
    cancel_requested bigint NOT NULL,
    started bigint,
    ended bigint,
    duration bigint,
    error text
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.05');
INSERT INTO {p}jobs VALUES ('0000000000000001000000000000feed', 'waits', '{"v":1,"name":"a job of the suite","task":"mail","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-27T15:46:35.541567Z","tags":["billing","tenant:42"],"meta":{"by":"ann"}}', 'mail', 1, 1, 100, 'active', NULL, 2111413595541567, 2111413595541567, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000002000000000000feed', 'untagged', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-27T15:46:35.541567Z","meta":{"by":"ann"}}', 'task', 1, 1, 100, 'active', NULL, 2111413595541567, 2111413595541567, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000003000000000000feed', 'paused', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-27T15:46:35.541567Z","tags":["tenant:42"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'paused', NULL, 2111413595541567, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000004000000000000feed', 'kept', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-27T15:46:35.541567Z","tags":["größe \"5\" ","tenant:43"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'kept', NULL, NULL, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000005000000000000feed', 'quarantined', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2036-11-27T15:46:35.541567Z","tags":["tenant:42"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'quarantined', 'its zone is unknown', 2111413595541567, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000006000000000000feed', 'runs', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-30T15:46:35.547059Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-30T15:46:35.547059Z","tags":["tenant:42"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'active', NULL, 1796053595547059, NULL, NULL, 0, 0, 0, 2, 1, 1, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('0000000000000008000000000000feed', 'removed', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-30T15:46:35.547059Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-30T15:46:35.547059Z","tags":["tenant:42"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'removed', NULL, NULL, NULL, NULL, 0, 0, 1, 2, 1, 1, NULL, NULL, '{}');
INSERT INTO {p}jobs VALUES ('000000000000000a000000000000feed', 'ended', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-30T15:46:35.547059Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-30T15:46:35.547059Z","tags":["billing"],"meta":{"by":"ann"}}', 'task', 1, 1, 100, 'active', NULL, 2111413595541567, 2111413595541567, 1796053595604106, 0, 1, 0, 2, 1, 2, NULL, NULL, '{"error":1,"skipped":1}');
INSERT INTO {p}jobs VALUES ('000000000000000c000000000000feed', 'claimed', '{"v":1,"name":"a job of the suite","task":"task","args":{"n":1,"to":"ann"},"trigger":{"type":"date","at":"2026-11-30T15:46:35.547059Z"},"executor":"default","options":{"coalesce":"latest","max_instances":1,"overlap":"skip","delivery":"at_least_once","history":100,"when_finished":"remove"},"chosen_fire_time":"2026-11-30T15:46:35.547059Z","meta":{"by":"ann"}}', 'task', 1, 1, 100, 'active', NULL, 1796053595547059, 1796053595547059, NULL, 0, 0, 0, 2, 0, 0, 'node-a', 1796053596607780, '{}');
INSERT INTO {p}meta VALUES ('schema', 1);
INSERT INTO {p}nodes VALUES ('node-a', 1796053596607780, 14);
INSERT INTO {p}runs VALUES ('0000000000000006000000000000feed', 1, 1796053595547059, NULL, NULL, 'running', NULL, NULL, 1, 0, 1796053595547059, 'node-a', 1, 0, 1796053595574575, NULL, NULL, NULL);
INSERT INTO {p}runs VALUES ('0000000000000008000000000000feed', 1, 1796053595547059, NULL, NULL, 'running', NULL, NULL, 1, 0, 1796053595547059, 'node-a', 1, 0, 1796053595592082, NULL, NULL, NULL);
INSERT INTO {p}runs VALUES ('000000000000000a000000000000feed', 1, 1796053595547059, NULL, NULL, 'ended', NULL, 'skipped', 1, 0, 1796053595547059, NULL, 0, 0, NULL, 1796053595600010, NULL, NULL);
INSERT INTO {p}runs VALUES ('000000000000000a000000000000feed', 2, 1796053595547059, NULL, NULL, 'ended', NULL, 'error', 1, 0, 1796053595547059, 'node-a', 1, 0, 1796053595600010, 1796053595604106, 333000, 'no route to host');
ALTER TABLE ONLY {p}jobs
    ADD CONSTRAINT {p}jobs_pkey PRIMARY KEY (uid);
ALTER TABLE ONLY {p}meta
    ADD CONSTRAINT {p}meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY {p}nodes
    ADD CONSTRAINT {p}nodes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY {p}runs
    ADD CONSTRAINT {p}runs_pkey PRIMARY KEY (uid, seq);
CREATE INDEX {p}jobs_due ON {p}jobs USING btree (due, uid) WHERE (due IS NOT NULL);
CREATE UNIQUE INDEX {p}jobs_live ON {p}jobs USING btree (id) WHERE (state <> ALL (ARRAY['ending'::text, 'removed'::text]));
CREATE INDEX {p}runs_open ON {p}runs USING btree (uid, seq) WHERE (state <> 'ended'::text);
CREATE INDEX {p}runs_running ON {p}runs USING btree (owner, cancel_requested) WHERE (state = 'running'::text);
INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000e000000000000feed', 'broken', '{"v":1,"task":"task","tags":["tenant:42"', 'task', 1, 2111413595541567, 2111413595541567);
INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000f000000000000feed', 'broken tags', '{"v":1,"task":"task","tags":"tenant:42","trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"}}', 'task', 1, 2111413595541567, 2111413595541567);
