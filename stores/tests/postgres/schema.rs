//! Tables: kept apart by prefix and schema, filled by other programs. And the ways to connect.

use scheduler_core::{
    JobStore,
    store::{Clock, Hint, JobQuery, StoreErrorKind},
};
use scheduler_stores::PostgresOptions;
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::{
    server,
    sql_servers::database::{Database, connection, run},
};

/// What administrators set for a whole database or a user, against which the store has to hold.
const DEFAULTS: [&str; 6] = [
    "default_transaction_isolation = 'serializable'",
    "default_transaction_read_only = on",
    "default_transaction_deferrable = on",
    "standard_conforming_strings = off",
    "timezone = 'Asia/Kathmandu'",
    "datestyle = 'SQL, DMY'",
];

#[test]
fn nodes_that_start_together_on_a_database_with_other_defaults_all_start_and_work() {
    block_on(async {
        let mut admin = connection().await;
        let name = server::prefix();
        run(&mut admin, &format!("CREATE DATABASE {name}")).await;
        for default in DEFAULTS {
            run(&mut admin, &format!("ALTER DATABASE {name} SET {default}")).await;
        }
        let url = server::url("postgres");
        let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
        for round in 0..3 {
            let open = || PostgresOptions::new().table_prefix(&format!("r{round}_")).unwrap();
            let stores: Vec<_> = std::thread::scope(|scope| {
                let handles: Vec<_> = (0..6).map(|_| scope.spawn(|| block_on(open().connect(&url)))).collect();
                handles.into_iter().map(|handle| handle.join().unwrap()).collect()
            });
            let stores: Vec<_> = stores.into_iter().map(Result::unwrap).collect();
            let bench = Bench::new(StoreUnderTest::new(stores[0].clone(), stores[1].clone()));
            bench.due_job("report").await;
            bench.a().start("report").await;
            bench.store().changed(0).await.unwrap();
        }
        run(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    });
}

#[test]
fn schedulers_with_other_prefixes_share_a_schema_without_meeting() {
    block_on(async {
        let (billing, reports) = (Database::new(Clock::Server), Database::new(Clock::Server));
        let bench = Bench::new(reports.clone().setup().await);
        bench.due_job("report").await;
        assert_eq!(billing.open().await.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
    });
}

#[test]
fn a_schema_of_its_own_is_created_and_used() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let schema = format!("{}own", database.prefix());
        let (options, url) = (|| PostgresOptions::new().schema(&schema).unwrap(), server::url("postgres"));
        let stores = futures_lite::future::zip(options().connect(&url), options().connect(&url)).await;
        let bench = Bench::new(StoreUnderTest::new(stores.0.unwrap(), stores.1.unwrap()));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        assert_eq!(database.number(&format!("SELECT count(*) FROM {schema}.scheduler_jobs")).await, 1);
        database.run(&format!("DROP SCHEMA {schema} CASCADE")).await;
    });
}

#[test]
fn names_that_would_need_quotes_are_refused() {
    for name in ["1x", "a b", "a;", "pg_x", "ä", "Upper", &"x".repeat(33)] {
        for refused in [PostgresOptions::new().table_prefix(name), PostgresOptions::new().schema(name)] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{name}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert_eq!(PostgresOptions::new().schema("").unwrap_err().kind(), StoreErrorKind::Rejected);
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
                "INSERT INTO {{p}}jobs (uid, id, body, task, v, next_fire_time, due)
                 VALUES (md5(random()::text || clock_timestamp()), 'from sql',
                    '{{\"v\": 1, \"task\": \"task\", \"colour\": \"red\", \"trigger\": {trigger}}}', 'task', 1,
                    1700000000000000, 1700000000000000);
                 NOTIFY {{p}}changes"
            ))
            .await;
        assert_eq!(bench.store().changed(seen).await.unwrap().hint, Some(Hint::Resync));
        let claimed = bench.a().claim_one("from sql").await;
        assert_eq!(claimed.job.body.extra["colour"], "red");
    });
}

#[test]
fn a_user_who_may_not_create_tables_is_told_so() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let role = format!("{}role", database.prefix());
        database.run(&format!("CREATE ROLE {role} LOGIN")).await;
        let url = server::url("postgres").replace("postgres@", &format!("{role}@"));
        let error = database.options().connect(&url).await.unwrap_err();
        database.run(&format!("DROP ROLE {role}")).await;
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains("the user lacks a privilege"), "{error}");
    });
}

#[test]
fn debug_shows_the_place_and_no_password() {
    block_on(async {
        let url = server::url("postgres").replace("postgres@", "postgres:secret@");
        let database = Database::new(Clock::Server);
        let store = database.options().connect(&url).await.unwrap();
        let text = format!("{store:?}");
        assert!(text.contains("postgres database") && text.contains(database.prefix()), "{text}");
        assert!(!text.contains("secret"), "{text}");
    });
}
