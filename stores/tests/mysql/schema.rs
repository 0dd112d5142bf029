//! Tables: kept apart by prefix, filled by other programs. And the ways to connect.

use std::time::Duration;

use scheduler_core::{
    JobStore,
    store::{Changed, Clock, Hint, JobQuery, StoreErrorKind, Wakes},
};
use scheduler_stores::{MySqlOptions, MySqlStore};
use scheduler_testkit::store::{Bench, block_on};

use crate::{server, sql_servers::database::Database};

#[test]
fn schedulers_with_other_prefixes_share_a_database_without_meeting() {
    block_on(async {
        let (billing, reports) = (Database::new(Clock::Server), Database::new(Clock::Server));
        let bench = Bench::new(reports.clone().setup().await);
        bench.due_job("report").await;
        assert_eq!(billing.open().await.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
    });
}

#[test]
fn names_that_would_need_quotes_are_refused() {
    for name in ["1x", "a b", "a;", "ä", "Upper", &"x".repeat(33)] {
        let error = MySqlOptions::new().table_prefix(name).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn rows_of_another_language_are_jobs() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        let seen = bench.store().changed(0).await.unwrap().seen;
        let trigger = serde_json::to_string(&bench.job("any", bench.at()).body.trigger).unwrap();
        database
            .run(&format!(
                "INSERT INTO {{p}}jobs (uid, id, body, task, v, due)
                 VALUES (REPLACE(UUID(), '-', ''), 'from sql',
                    '{{\"v\": 1, \"task\": \"task\", \"colour\": \"red\", \"trigger\": {trigger}}}', 'task', 1,
                    1700000000000000);
                 UPDATE {{p}}meta SET value = value + 1 WHERE `key` = 'changes'"
            ))
            .await;
        let change = bench.store().changed(seen).await.unwrap();
        assert_eq!(change, Changed { seen: seen + 1, hint: Some(Hint::Resync) });
        let claimed = bench.a().claim_one("from sql").await;
        assert_eq!(claimed.job.body.extra["colour"], "red");
    });
}

/// As transactions of applications do.
#[test]
fn changes_that_are_noted_in_rows_of_their_own_are_heard_of_and_cleared_away() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let store = database.open().await;
        let mut seen = store.changed(0).await.unwrap().seen;
        for n in 0..121 {
            database.run(&format!("INSERT INTO {{p}}meta (`key`, value) VALUES ('changes {n:x}', 1)")).await;
            if n % 30 == 0 {
                let changed = store.changed(seen).await.unwrap();
                assert_eq!(changed.hint, Some(Hint::Resync), "change {n}");
                seen = changed.seen;
                let is_cleared = n == 120;
                assert_eq!(store.changed(seen).await.unwrap().hint, is_cleared.then_some(Hint::Resync), "after {n}");
                seen = store.changed(seen).await.unwrap().seen;
            }
        }
        assert_eq!(database.number("SELECT COUNT(*) FROM {p}meta WHERE `key` LIKE 'changes%'").await, 1);
        assert_eq!(database.number("SELECT COUNT(*) FROM {p}meta").await, 2);
    });
}

#[test]
fn a_url_without_a_database_says_so() {
    block_on(async {
        let error = MySqlStore::connect("mysql://app:secret@127.0.0.1").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("names no database") && !message.contains("secret"), "{message}");
    });
}

#[test]
fn debug_shows_the_place_and_no_password() {
    block_on(async {
        let url = server::url("mysql");
        let text = format!("{:?}", Database::new(Clock::Server).open().await);
        let (user, host) = url.trim_start_matches("mysql://").split_once('@').unwrap();
        assert!(text.contains("mysql database") && text.contains(host.split('/').next().unwrap()), "{text}");
        assert!(!text.contains(user), "{text}");
    });
}

#[test]
fn polling_can_be_turned_off() {
    block_on(async {
        let database = Database::new(Clock::Server);
        assert_eq!(database.open().await.limits().wakes, Wakes::Poll(Duration::from_secs(1)));
        let store = database.options().poll(None).connect(&server::url("mysql")).await.unwrap();
        assert_eq!(store.limits().wakes, Wakes::Never);
    });
}

/// The sample is what version 0.1 left on MariaDB, and has to be opened by each later one.
#[test]
fn what_an_earlier_version_left_is_opened_and_goes_on() {
    block_on(async {
        let database = Database::new(Clock::Server);
        database.run(include_str!("schema-1.sql")).await;
        let bench = Bench::new(database.clone().setup().await);
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
        let ids: Vec<&str> = listed.iter().map(|job| job.id().as_str()).collect();
        assert_eq!(ids, ["claimed", "ended", "runs", "waits"]);
        let adopted = bench.a().adopt().await;
        let mut ids: Vec<&str> = adopted.jobs.iter().map(|it| it.job.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["claimed", "runs", "waits"], "{adopted:?}");

        bench.due_job(" ").await;
        bench.b().claim_one(" ").await;
        bench.due_job("  ").await;
        let second = database.open().await;
        assert_eq!(second.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap().len(), 6);
    });
}
