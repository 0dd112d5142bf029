-- What schema 1 has left on MariaDB, under the prefix `{p}`: jobs in each state, with tags and without, open and ended runs, a
-- removed job that still runs, and two definitions that cannot be read.
CREATE TABLE `{p}meta` (
  `key` varchar(32) NOT NULL,
  `value` bigint(20) NOT NULL,
  PRIMARY KEY (`key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}meta` (`key`, `value`) VALUES ('changes', 14);
INSERT INTO `{p}meta` (`key`, `value`) VALUES ('schema', 1);
CREATE TABLE `{p}nodes` (
  `id` varchar(255) NOT NULL,
  `lease_until` bigint(20) DEFAULT NULL,
  `last_claim_seq` bigint(20) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}nodes` (`id`, `lease_until`, `last_claim_seq`) VALUES ('node-a', 1796053596859088, 14);
CREATE TABLE `{p}jobs` (
  `uid` varchar(32) NOT NULL,
  `id` varchar(191) NOT NULL,
  `body` longtext NOT NULL,
  `task` text NOT NULL,
  `v` bigint(20) NOT NULL,
  `max_instances` bigint(20) NOT NULL DEFAULT 1,
  `history` bigint(20) NOT NULL DEFAULT 100,
  `state` varchar(32) NOT NULL DEFAULT 'active',
  `reason` longtext DEFAULT NULL,
  `next_fire_time` bigint(20) DEFAULT NULL,
  `due` bigint(20) DEFAULT NULL,
  `last_end` bigint(20) DEFAULT NULL,
  `blocked` bigint(20) NOT NULL DEFAULT 0,
  `nudged` bigint(20) NOT NULL DEFAULT 0,
  `revision` bigint(20) NOT NULL DEFAULT 0,
  `fence` bigint(20) NOT NULL DEFAULT 0,
  `settled_fence` bigint(20) NOT NULL DEFAULT 0,
  `last_seq` bigint(20) NOT NULL DEFAULT 0,
  `owner` varchar(255) DEFAULT NULL,
  `claim_until` bigint(20) DEFAULT NULL,
  `totals` varchar(1024) NOT NULL DEFAULT '{}',
  `live_id` varbinary(764) GENERATED ALWAYS AS (case when `state` in ('ending','removed') then NULL else cast(`id` as char charset binary) end) STORED,
  PRIMARY KEY (`uid`),
  UNIQUE KEY `live` (`live_id`),
  KEY `due_first` (`due`,`uid`),
  KEY `owned` (`owner`),
  CONSTRAINT `{p}jobs_id` CHECK (octet_length(`id`) > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000001000000000000feed', 'waits', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"mail\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2036-11-27T15:46:35.728880Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2036-11-27T15:46:35.728880Z\",\"tags\":[\"billing\",\"tenant:42\"],\"meta\":{\"by\":\"ann\"}}', 'mail', 1, 1, 100, 'active', NULL, 2111413595728880, 2111413595728880, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000002000000000000feed', 'untagged', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2036-11-27T15:46:35.728880Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2036-11-27T15:46:35.728880Z\",\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'active', NULL, 2111413595728880, 2111413595728880, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000003000000000000feed', 'paused', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2036-11-27T15:46:35.728880Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2036-11-27T15:46:35.728880Z\",\"tags\":[\"tenant:42\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'paused', NULL, 2111413595728880, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000004000000000000feed', 'kept', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2036-11-27T15:46:35.728880Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2036-11-27T15:46:35.728880Z\",\"tags\":[\"größe \\\"5\\\" \",\"tenant:43\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'kept', NULL, NULL, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000005000000000000feed', 'quarantined', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2036-11-27T15:46:35.728880Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2036-11-27T15:46:35.728880Z\",\"tags\":[\"tenant:42\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'quarantined', 'its zone is unknown', 2111413595728880, NULL, NULL, 0, 0, 1, 0, 0, 0, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000006000000000000feed', 'runs', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T15:46:35.729318Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2026-11-30T15:46:35.729318Z\",\"tags\":[\"tenant:42\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'active', NULL, 1796053595729318, NULL, NULL, 0, 0, 0, 2, 1, 1, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000008000000000000feed', 'removed', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T15:46:35.729318Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2026-11-30T15:46:35.729318Z\",\"tags\":[\"tenant:42\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'removed', NULL, NULL, NULL, NULL, 0, 0, 1, 2, 1, 1, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('000000000000000a000000000000feed', 'ended', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T15:46:35.729318Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2026-11-30T15:46:35.729318Z\",\"tags\":[\"billing\"],\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'active', NULL, 2111413595728880, 2111413595728880, 1796053595843550, 0, 1, 0, 2, 1, 2, NULL, NULL, '{\"error\":1,\"skipped\":1}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('000000000000000c000000000000feed', 'claimed', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T15:46:35.729318Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"},\"chosen_fire_time\":\"2026-11-30T15:46:35.729318Z\",\"meta\":{\"by\":\"ann\"}}', 'task', 1, 1, 100, 'active', NULL, 1796053595729318, 1796053595729318, NULL, 0, 0, 0, 2, 0, 0, 'node-a', 1796053596859088, '{}');
CREATE TABLE `{p}runs` (
  `uid` varchar(32) NOT NULL,
  `seq` bigint(20) NOT NULL,
  `fire_time` bigint(20) NOT NULL,
  `first` bigint(20) DEFAULT NULL,
  `count` bigint(20) DEFAULT NULL,
  `state` varchar(32) NOT NULL,
  `wait` varchar(32) DEFAULT NULL,
  `verdict` varchar(32) DEFAULT NULL,
  `attempt` bigint(20) NOT NULL,
  `takeovers` bigint(20) NOT NULL,
  `due` bigint(20) NOT NULL,
  `owner` varchar(255) DEFAULT NULL,
  `fence` bigint(20) NOT NULL,
  `cancel_requested` bigint(20) NOT NULL,
  `started` bigint(20) DEFAULT NULL,
  `ended` bigint(20) DEFAULT NULL,
  `duration` bigint(20) DEFAULT NULL,
  `error` longtext DEFAULT NULL,
  `is_open` bigint(20) GENERATED ALWAYS AS (case when `state` = 'ended' then NULL else 1 end) STORED,
  `running_on` varchar(255) GENERATED ALWAYS AS (case when `state` = 'running' then `owner` else NULL end) STORED,
  PRIMARY KEY (`uid`,`seq`),
  KEY `open` (`uid`,`is_open`),
  KEY `running` (`running_on`,`cancel_requested`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('0000000000000006000000000000feed', 1, 1796053595729318, NULL, NULL, 'running', NULL, NULL, 1, 0, 1796053595729318, 'node-a', 1, 0, 1796053595795071, NULL, NULL, NULL);
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('0000000000000008000000000000feed', 1, 1796053595729318, NULL, NULL, 'running', NULL, NULL, 1, 0, 1796053595729318, 'node-a', 1, 0, 1796053595810085, NULL, NULL, NULL);
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('000000000000000a000000000000feed', 1, 1796053595729318, NULL, NULL, 'ended', NULL, 'skipped', 1, 0, 1796053595729318, NULL, 0, 0, NULL, 1796053595831753, NULL, NULL);
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('000000000000000a000000000000feed', 2, 1796053595729318, NULL, NULL, 'ended', NULL, 'error', 1, 0, 1796053595729318, 'node-a', 1, 0, 1796053595831753, 1796053595843550, 333000, 'no route to host');
INSERT INTO `{p}jobs` (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000e000000000000feed', 'broken', '{"v":1,"task":"task","tags":["tenant:42"', 'task', 1, 2111413595541567, 2111413595541567);
INSERT INTO `{p}jobs` (uid, id, body, task, v, next_fire_time, due) VALUES ('000000000000000f000000000000feed', 'broken tags', '{"v":1,"task":"task","tags":"tenant:42","trigger":{"type":"date","at":"2036-11-27T15:46:35.541567Z"}}', 'task', 1, 2111413595541567, 2111413595541567);
