-- What the store of version 0.1.0 has left on MariaDB 10.11, under the prefix `{p}`: jobs that wait, run, have run and are
-- claimed by `node`. Texts in it compare with blanks added at their ends.
CREATE TABLE `{p}meta` (
  `key` varchar(32) NOT NULL,
  `value` bigint(20) NOT NULL,
  PRIMARY KEY (`key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}meta` (`key`, `value`) VALUES ('changes', 5);
INSERT INTO `{p}meta` (`key`, `value`) VALUES ('schema', 1);
CREATE TABLE `{p}nodes` (
  `id` varchar(255) NOT NULL,
  `lease_until` bigint(20) DEFAULT NULL,
  `last_claim_seq` bigint(20) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}nodes` (`id`, `lease_until`, `last_claim_seq`) VALUES ('node', 1796017958673363, 7);
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
  CONSTRAINT `CONSTRAINT_1` CHECK (`id` <> '')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000001000000000000beef', 'waits', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T05:52:37.599652Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"}}', 'task', 1, 1, 100, 'active', NULL, 1796017957599652, 1796017957599652, NULL, 0, 0, 0, 3, 0, 0, 'node', 1796017958673363, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000002000000000000beef', 'runs', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T05:52:37.602730Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"}}', 'task', 1, 1, 100, 'active', NULL, NULL, NULL, NULL, 0, 0, 0, 2, 1, 1, NULL, NULL, '{}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000004000000000000beef', 'ended', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T05:52:37.633613Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"}}', 'task', 1, 1, 100, 'active', NULL, NULL, NULL, 1796017957654769, 0, 1, 0, 2, 1, 1, NULL, NULL, '{\"ok\":1}');
INSERT INTO `{p}jobs` (`uid`, `id`, `body`, `task`, `v`, `max_instances`, `history`, `state`, `reason`, `next_fire_time`, `due`, `last_end`, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`, `last_seq`, `owner`, `claim_until`, `totals`) VALUES ('0000000000000006000000000000beef', 'claimed', '{\"v\":1,\"name\":\"a job of the suite\",\"task\":\"task\",\"args\":{\"n\":1,\"to\":\"ann\"},\"trigger\":{\"type\":\"date\",\"at\":\"2026-11-30T05:52:37.668987Z\"},\"executor\":\"default\",\"options\":{\"coalesce\":\"latest\",\"max_instances\":1,\"overlap\":\"skip\",\"delivery\":\"at_least_once\",\"history\":100,\"when_finished\":\"remove\"}}', 'task', 1, 1, 100, 'active', NULL, 1796017957668987, 1796017957668987, NULL, 0, 0, 0, 1, 0, 0, 'node', 1796017958673363, '{}');
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
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('0000000000000002000000000000beef', 1, 1796017957602730, NULL, NULL, 'running', NULL, NULL, 1, 0, 1796017957602730, 'node', 1, 0, 1796017957622980, NULL, NULL, NULL);
INSERT INTO `{p}runs` (`uid`, `seq`, `fire_time`, `first`, `count`, `state`, `wait`, `verdict`, `attempt`, `takeovers`, `due`, `owner`, `fence`, `cancel_requested`, `started`, `ended`, `duration`, `error`) VALUES ('0000000000000004000000000000beef', 1, 1796017957633613, NULL, NULL, 'ended', NULL, 'ok', 1, 0, 1796017957633613, 'node', 1, 0, 1796017957650822, 1796017957654769, 333000, NULL);
