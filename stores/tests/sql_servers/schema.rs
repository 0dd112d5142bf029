//! Tables: created once, refused if newer. And the ways to connect.

use scheduler_core::store::{Clock, StoreErrorKind};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use test_support::sql_samples as samples;

use super::database::Database;
use crate::{
    dialect::{KEY, NAME, PoolOptions, SAMPLE, SAMPLE_2, Store},
    server,
};

#[test]
fn nodes_that_start_together_wait_for_each_other() {
    let database = Database::new(Clock::Server);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(database.open()))).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let database = Database::new(Clock::Server);
        drop(database.open().await);
        database.run(&format!("UPDATE {{p}}meta SET value = 7 WHERE {KEY} = 'schema'")).await;
        let error = database.options().connect(&server::url(NAME)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("schema 7") && message.contains("up to 3"), "{message}");
        assert!(message.contains(database.prefix()) && message.contains(&format!("{NAME} database")), "{message}");
    });
}

#[test]
fn what_schema_1_has_left_is_opened_and_found() {
    block_on(async {
        let (by_store, by_tool) = (Database::new(Clock::Server), Database::new(Clock::Server));
        for database in [&by_store, &by_tool] {
            database.run(SAMPLE).await;
            let error = database.options().create_tables(false).connect(&server::url(NAME)).await.unwrap_err();
            assert!(error.to_string().contains("schema_sql_from(1)"), "{error}");
        }
        samples::check(&by_store.open().await).await;
        let options = || by_tool.options().create_tables(false);
        by_tool.run(&options().schema_sql_from(1).unwrap()).await;
        samples::check(&options().connect(&server::url(NAME)).await.unwrap()).await;
    });
}

#[test]
fn what_schema_2_has_left_is_opened_and_found() {
    block_on(async {
        let (by_store, by_tool) = (Database::new(Clock::Server), Database::new(Clock::Server));
        for database in [&by_store, &by_tool] {
            database.run(SAMPLE).await;
            database.run(SAMPLE_2).await;
        }
        samples::check_with_finished(&by_store.open().await).await;
        let options = || by_tool.options().create_tables(false);
        by_tool.run(&options().schema_sql_from(2).unwrap()).await;
        samples::check_with_finished(&options().connect(&server::url(NAME)).await.unwrap()).await;
    });
}

#[test]
fn a_pool_of_the_application_says_where_to_connect() {
    let database = Database::new(Clock::Server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = runtime.block_on(PoolOptions::new().max_connections(1).connect(&server::url(NAME))).unwrap();
    let store = runtime.block_on(database.options().from_pool(&pool)).unwrap();
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
    runtime.block_on(bench.due_job("report"));
    drop((pool, runtime));
    assert_eq!(block_on(bench.b().claim()).jobs.len(), 1, "the connections do not end with the pool");
}

#[test]
fn a_url_that_is_none_says_so() {
    block_on(async {
        for url in [format!("{NAME}//x"), "sqlite://x/y".to_owned(), String::new()] {
            let error = Store::connect(&url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{error}");
            assert!(error.to_string().starts_with(&format!("{NAME} url: ")), "{error}");
        }
    });
}
