//! SQLite files: shared, read-only, damaged, newer, and in step with the memory store.

mod file;

use std::str::FromStr;

use file::File;
use scheduler_core::{
    JobId, JobStore, Listed,
    store::{Changed, Hint, Inserted, JobQuery, StoreErrorKind, Wakes},
};
use scheduler_stores::{MemoryStore, SqliteOptions, SqliteStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, agree, block_on};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use test_support::{repeats, sql_samples as samples};

#[test]
fn the_same_calls_get_the_same_answers_as_from_the_memory_store() {
    block_on(async {
        for seed in 0..repeats(6, 20) {
            let file = File::new();
            agree(&MemoryStore::new(), &file.open().await, seed, 400).await;
        }
    });
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let file = File::new();
        drop(file.open().await);
        file.run("UPDATE scheduler_meta SET value = 7 WHERE key = 'schema'").await;
        let error = SqliteStore::connect(&file.url()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(
            message.contains("schema 7") && message.contains("up to 3") && message.contains("jobs.db"),
            "{message}"
        );
    });
}

#[test]
fn what_schema_1_has_left_is_opened_and_found() {
    block_on(async {
        let (by_store, by_tool) = (File::new(), File::new());
        for file in [&by_store, &by_tool] {
            file.write(b"");
            file.run(&include_str!("samples/sqlite.sql").replace("{p}", "scheduler_")).await;
        }
        let options = || SqliteOptions::new().create_tables(false);
        let error = options().connect(&by_tool.url()).await.unwrap_err();
        assert!(error.to_string().contains("schema_sql_from(1)"), "{error}");
        samples::check(&by_store.open().await).await;
        by_tool.run(&options().schema_sql_from(1).unwrap()).await;
        samples::check(&options().connect(&by_tool.url()).await.unwrap()).await;
    });
}

#[test]
fn what_schema_2_has_left_is_opened_and_found() {
    block_on(async {
        let (by_store, by_tool) = (File::new(), File::new());
        for file in [&by_store, &by_tool] {
            file.write(b"");
            for sample in [include_str!("samples/sqlite.sql"), include_str!("samples/sqlite-2.sql")] {
                file.run(&sample.replace("{p}", "scheduler_")).await;
            }
        }
        samples::check_with_finished(&by_store.open().await).await;
        let options = || SqliteOptions::new().create_tables(false);
        by_tool.run(&options().schema_sql_from(2).unwrap()).await;
        samples::check_with_finished(&options().connect(&by_tool.url()).await.unwrap()).await;
    });
}

#[test]
fn the_statements_for_a_migration_tool_make_the_same_as_connecting() {
    block_on(async {
        let (by_tool, by_store) = (File::new(), File::new());
        by_tool.write(b"");
        let options = || SqliteOptions::new().create_tables(false);
        let error = options().connect(&by_tool.url()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        for told in ["`scheduler_jobs`", "`scheduler_meta`", "`SqliteOptions::schema_sql`"] {
            assert!(error.to_string().contains(told), "{error}");
        }
        by_tool.run(&options().schema_sql()).await;
        drop(by_store.open().await);

        let catalogue = by_store.texts("SELECT concat(name, ' ', sql) FROM sqlite_schema ORDER BY name").await;
        assert!(catalogue.len() > 8, "{catalogue:#?}");
        assert_eq!(by_tool.texts("SELECT concat(name, ' ', sql) FROM sqlite_schema ORDER BY name").await, catalogue);
        let meta = "SELECT concat(key, ' ', value) FROM scheduler_meta ORDER BY key";
        assert_eq!(by_tool.texts(meta).await, by_store.texts(meta).await);
        agree(&MemoryStore::new(), &options().connect(&by_tool.url()).await.unwrap(), 7, 300).await;

        by_tool.run("DROP TABLE scheduler_nodes").await;
        let error = options().connect(&by_tool.url()).await.unwrap_err().to_string();
        assert!(error.contains("`scheduler_nodes`") && !error.contains("`scheduler_jobs`"), "{error}");
    });
}

#[test]
fn a_file_that_is_not_there_is_not_created_if_tables_are_not() {
    block_on(async {
        let file = File::new();
        let error = SqliteOptions::new().create_tables(false).connect(&file.url()).await.unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert!(!file.path("").exists());
    });
}

#[test]
fn a_read_only_file_can_be_read_and_says_so_when_written_to() {
    block_on(async {
        let file = File::new();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        let job = bench.due_job("report").await;
        let read_only = SqliteStore::connect(&format!("{}?mode=ro", file.url())).await.unwrap();
        assert_eq!(read_only.job(&job.id).await.unwrap(), Some(Listed::Job(job.clone())));
        let error = read_only.insert(bench.at(), &[bench.job("another", bench.at())]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert!(error.to_string().contains("jobs.db"), "{error}");
    });
}

#[test]
fn a_read_only_file_without_tables_says_so() {
    block_on(async {
        let file = File::new();
        file.write(b"");
        let error = SqliteStore::connect(&format!("{}?mode=ro", file.url())).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    });
}

#[test]
fn a_file_that_is_no_database_says_so() {
    block_on(async {
        let file = File::new();
        file.write(&[0x5A; 8_192]);
        let error = SqliteStore::connect(&file.url()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("jobs.db") && message.contains("damaged or no database"), "{message}");
    });
}

#[test]
fn a_file_that_cannot_be_opened_says_why() {
    block_on(async {
        let file = File::new();
        let folder = file.path("").parent().unwrap().display().to_string();
        for (url, words) in [
            ("sqlite:///no/such/folder/jobs.db".to_owned(), "its folder `/no/such/folder` does not exist; create it"),
            (format!("sqlite://{folder}"), "it is a folder; name a file in it"),
            (format!("{}?mode=rw", file.url()), "it does not exist; create it, or let `mode=rwc` do that"),
            (format!("{}?mode=ro", file.url()), "it does not exist"),
        ] {
            let error = SqliteStore::connect(&url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
        file.write(b"");
        let error = SqliteStore::connect(&format!("{}/jobs.db", file.url())).await.unwrap_err();
        assert!(error.to_string().contains("/jobs.db` is no folder"), "{error}");
    });
}

#[test]
fn a_url_that_names_no_sqlite_file_says_so_without_its_password() {
    block_on(async {
        for (url, words) in [
            ("postgres://app:secret@db.example.com/app", "begins with `sqlite://`"),
            ("redis://:secret@cache/0", "not with `redis://`"),
            ("sqlite://", "no file is named"),
            ("sqlite:", "no file is named"),
            ("sqlite://jobs.db?mode=wo", "unknown value"),
        ] {
            let error = SqliteStore::connect(url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{error}");
            assert!(error.to_string().contains(words) && !error.to_string().contains("secret"), "{error}");
        }
        assert!(!std::path::Path::new("postgres:").exists());
    });
}

#[test]
fn a_database_in_memory_is_refused() {
    block_on(async {
        let error = SqliteStore::connect("sqlite::memory:").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        assert!(error.to_string().contains("MemoryStore"), "{error}");
    });
}

#[test]
fn schedulers_with_other_prefixes_share_a_file_without_meeting() {
    block_on(async {
        let file = File::new();
        let billing = SqliteOptions::new().table_prefix("billing_").unwrap().connect(&file.url()).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        bench.due_job("report").await;
        assert_eq!(billing.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
        for prefix in ["1x", "a b", "a;", "sqlite_x", "ä", &"x".repeat(33)] {
            let error = SqliteOptions::new().table_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{prefix}");
        }
    });
}

#[test]
fn a_pool_of_the_application_can_be_used_outside_of_any_runtime() {
    block_on(async {
        let file = File::new();
        let options = SqliteConnectOptions::from_str(&file.url()).unwrap().create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let (a, b) = (SqliteStore::from_pool(&pool).await.unwrap(), SqliteStore::from_pool(&pool).await.unwrap());
        let bench = Bench::new(StoreUnderTest::new(a, b));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM scheduler_jobs").fetch_one(&pool).await.unwrap();
        assert_eq!(jobs, 1);
    });
}

#[test]
fn one_store_serves_tokio_smol_and_threads() {
    let file = File::new();
    let store = block_on(file.open());
    let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(bench.due_job("from tokio"));
    smol::block_on(bench.due_job("from smol"));
    std::thread::scope(|scope| scope.spawn(|| block_on(bench.due_job("from a thread"))).join().unwrap());
    assert_eq!(block_on(bench.a().claim()).jobs.len(), 3);
}

#[test]
fn processes_that_start_together_wait_for_each_other() {
    let file = File::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(SqliteStore::connect(&file.url())))).collect();
        for handle in handles {
            handle.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_file_that_another_process_keeps_locked_is_unavailable() {
    block_on(async {
        let file = File::new();
        drop(file.open().await);
        let mut other = file.connection().await;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let patience = std::time::Duration::from_millis(20);
        let options = SqliteConnectOptions::from_str(&file.url()).unwrap().busy_timeout(patience);
        let store = SqliteStore::connect_with(options).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));

        let error = store.insert(bench.at(), &[bench.job("report", bench.at())]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(store.job(&"report".into()).await.unwrap(), None, "reading does not wait");

        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        bench.due_job("report").await;
    });
}

/// A lease that cannot be read is not taken for one that has passed.
#[test]
fn a_node_whose_row_was_damaged_is_named() {
    block_on(async {
        let file = File::new();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        bench.due_job("report").await;
        bench.a().start("report").await;
        for (lease, told) in [("'soon'", "a `lease_until` is no whole number"), ("9223372036854775807", "is no time")] {
            file.run(&format!("UPDATE scheduler_nodes SET lease_until = {lease}")).await;
            let error = bench.b().store.claim(&bench.b().claim_call()).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Incompatible);
            assert!(error.to_string().contains(told) && error.to_string().contains("correct it"), "{error}");
        }
        file.run("UPDATE scheduler_nodes SET lease_until = 1").await;
        assert_eq!(bench.b().adopt().await.jobs.len(), 1);
    });
}

#[test]
fn an_idle_claim_writes_nothing() {
    block_on(async {
        let file = File::new();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        bench.add(&bench.job("report", bench.at() + chrono::TimeDelta::hours(1))).await;
        let mut watcher = file.connection().await;
        let before: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut watcher).await.unwrap();
        for _ in 0..3 {
            bench.a().adopt().await;
            bench.b().adopt().await;
        }
        let after: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut watcher).await.unwrap();
        assert_eq!(after, before);
    });
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    block_on(async {
        let file = File::new();
        let store = file.open().await;
        let bench = Bench::new(StoreUnderTest::new(store.clone(), file.open().await));
        for n in 0..50 {
            let job = bench.job(&format!("job-{n}"), bench.at());
            let call = async {
                store.insert(bench.at(), std::slice::from_ref(&job)).await.unwrap();
            };
            let mut call = Box::pin(call);
            for _ in 0..n {
                if futures_lite::future::poll_once(&mut call).await.is_some() {
                    break;
                }
            }
            drop(call);
        }
        bench.due_job("after all").await;
        assert!(bench.b().claim().await.jobs.iter().any(|it| it.job.id == "after all"));
    });
}

#[test]
fn rows_of_another_language_are_jobs() {
    block_on(async {
        let file = File::new();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        let seen = bench.store().changed(0).await.unwrap().seen;
        let due = bench.at().timestamp_micros();
        file.run(&format!(
            "INSERT INTO scheduler_jobs (uid, id, body, task, v, next_fire_time, due) VALUES
                (lower(hex(randomblob(16))), 'from sql', '{{\"v\": 1, \"task\": \"task\", \"colour\": \"red\",
                 \"trigger\": {}}}', 'task', 1, {due}, {due});
             UPDATE scheduler_meta SET value = value + 1 WHERE key = 'changes';",
            serde_json::to_string(&bench.job("any", bench.at()).body.trigger).unwrap()
        ))
        .await;
        let change = bench.store().changed(seen).await.unwrap();
        assert_eq!(change, Changed { seen: seen + 1, hint: Some(Hint::Resync) });
        let claimed = bench.a().claim_one("from sql").await;
        assert_eq!(claimed.job.body.extra["colour"], "red");
    });
}

#[test]
fn polling_can_be_turned_off() {
    block_on(async {
        let file = File::new();
        let store = SqliteOptions::new().poll(None).connect(&file.url()).await.unwrap();
        assert_eq!(store.limits().wakes, Wakes::Never);
        assert_eq!(file.open().await.limits().wakes, Wakes::Poll(std::time::Duration::from_secs(1)));
    });
}

#[test]
fn big_jobs_go_in_by_the_megabyte() {
    block_on(async {
        let file = File::new();
        let bench = Bench::new(StoreUnderTest::new(file.open().await, file.open().await));
        let mut jobs: Vec<_> = (0..12).map(|n| bench.job(&format!("job-{n}"), bench.at())).collect();
        for job in &mut jobs {
            job.body.args = serde_json::json!("x".repeat(900_000));
        }
        let reply = bench.store().insert(bench.at(), &jobs).await.unwrap();
        assert_eq!(reply.value, vec![Inserted::Added; 12]);
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
        let removed = bench.store().remove(bench.at(), &ids).await.unwrap();
        assert!(removed.value.iter().all(|removed| removed.running() == Some(0)), "{:?}", removed.value);
    });
}
