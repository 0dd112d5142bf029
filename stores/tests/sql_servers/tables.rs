//! Tables that a migration tool makes, for users who may not.

use scheduler_core::store::{Clock, StoreErrorKind};
use scheduler_stores::MemoryStore;
use scheduler_testkit::store::{agree, block_on};

use super::database::Database;
use crate::{
    dialect::{self, CATALOGUE, NAME},
    server,
};

#[test]
fn the_statements_for_a_migration_tool_make_the_same_as_connecting() {
    block_on(async {
        let (by_tool, by_store) = (Database::new(Clock::Server), Database::new(Clock::Server));
        by_tool.run(&by_tool.options().schema_sql()).await;
        drop(by_store.open().await);

        let catalogue = catalogue(&by_store).await;
        assert!(catalogue.len() > 40, "{catalogue:#?}");
        assert_eq!(self::catalogue(&by_tool).await, catalogue);
        by_tool.options().create_tables(false).connect(&server::url(NAME)).await.unwrap();
    });
}

#[test]
fn a_user_who_may_only_read_and_write_rows_works_on_tables_that_are_there() {
    block_on(async {
        let (database, another) = (Database::new(Clock::Caller), Database::new(Clock::Caller));
        database.run(&database.options().schema_sql()).await;
        let tables =
            database.texts("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '{p}%'").await;
        let user = dialect::user_of_rows(database.prefix(), &tables).await;

        let store = database.options().create_tables(false).connect(&user.url).await.unwrap();
        agree(&MemoryStore::new(), &store, 7, 300).await;
        drop(store);
        // With tables of the newest schema there is nothing to create.
        drop(database.options().connect(&user.url).await.unwrap());

        let error = another.options().connect(&user.url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
        database.run(&user.remove).await;
    });
}

#[test]
fn tables_that_are_missing_are_named_when_none_may_be_created() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let connect = async || database.options().create_tables(false).connect(&server::url(NAME)).await;
        let table = |name: &str| format!("`{}{name}`", database.prefix());

        let error = connect().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        for name in ["jobs", "runs", "nodes", "meta", "tags"] {
            assert!(error.to_string().contains(&table(name)), "{error}");
        }
        assert!(error.to_string().contains("Options::schema_sql`"), "{error}");
        let there = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE '{p}%'";
        assert_eq!(database.number(there).await, 0);

        database.run(&database.options().schema_sql()).await;
        database.run("DROP TABLE {p}nodes").await;
        let error = connect().await.unwrap_err().to_string();
        assert!(error.contains(&table("nodes")) && !error.contains(&table("jobs")), "{error}");
    });
}

#[test]
fn tables_that_are_too_old_are_told_with_what_brings_them_up_to_date() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let options = || database.options().create_tables(false);
        database.run(&options().schema_sql()).await;
        database.run(&format!("DELETE FROM {{p}}meta WHERE {} = 'schema'", dialect::KEY)).await;
        let error = options().connect(&server::url(NAME)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        assert!(error.to_string().contains("no row `schema`"), "{error}");

        let error = options().schema_sql_from(99).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().starts_with("schema 99: this build knows schemas 0, which is none, to "), "{error}");
    });
}

/// All that the server knows of the tables.
async fn catalogue(database: &Database) -> Vec<String> {
    let mut all = Vec::new();
    for query in CATALOGUE {
        all.extend(database.texts(query).await.into_iter().map(|text| text.replace(database.prefix(), "{p}")));
    }
    all.sort();
    all
}
