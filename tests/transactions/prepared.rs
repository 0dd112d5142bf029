//! Jobs whose statements another client runs. Here that is sqlx, which is told nothing but the texts and the values.

use apscheduler::{
    Conflict, ErrorKind, PreparedJob,
    store::{SqlStatement, SqlValue},
    stores::clients::sqlx::{self, AssertSqlSafe},
};
use test_support::test_store::TestStore;

use crate::{
    Service,
    applications::{Application, OnMySql, OnPostgres, OnSqlite},
    hourly, reminder,
};

macro_rules! on_sqlx {
    ($($store:ident: $application:ident;)*) => {$(
        mod $store {
            use super::*;

            async fn run(tx: &mut <$application as Application>::Tx, statements: Vec<SqlStatement>) {
                for SqlStatement { sql, values, .. } in statements {
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for value in values {
                        query = match value {
                            SqlValue::Integer(number) => query.bind(number),
                            SqlValue::Text(text) => query.bind(text),
                        };
                    }
                    query.execute(&mut **tx).await.unwrap();
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_prepared_job_is_there_and_runs_when_another_client_commits_it() {
                let test_store = TestStore::new(stringify!($store));
                let mut service = Service::started(&test_store).await;
                let application = $application::connect(&test_store).await;

                let mut tx = application.begin().await;
                run(&mut tx, service.scheduler.prepare(reminder(1)).await.unwrap().statements).await;
                $application::rollback(tx).await;

                let PreparedJob { job, statements, .. } = service.scheduler.prepare(reminder(2)).await.unwrap();
                assert!(!service.has("remind-2").await, "nothing is written by itself");
                let mut tx = application.begin().await;
                application.order(&mut tx, 2).await;
                run(&mut tx, statements).await;
                $application::commit(tx).await;
                assert_eq!(service.reminded().await, ("remind-2".to_owned(), 2));
                assert!(!service.has("remind-1").await);
                assert_eq!(job.id, "remind-2");

                let paused = service.scheduler.prepare(hourly(3).paused().name("o'neill \\ \" 日本")).await.unwrap();
                let mut tx = application.begin().await;
                run(&mut tx, paused.statements).await;
                $application::commit(tx).await;
                let there = service.scheduler.job("hourly-3").await.unwrap().unwrap();
                assert_eq!(*there, paused.job);
                service.end().await;
            }
        }
    )*};
}

on_sqlx! { sqlite: OnSqlite; postgres: OnPostgres; mysql: OnMySql; }

#[tokio::test]
async fn what_cannot_be_prepared_says_why() {
    let service = Service::on(apscheduler::stores::MemoryStore::new());
    let no_database = service.scheduler.prepare(reminder(1)).await.unwrap_err();
    assert_eq!(no_database.kind(), ErrorKind::Store);
    assert!(no_database.to_string().contains("is no SQL database"), "{no_database}");
    for policy in [Conflict::Replace, Conflict::Keep] {
        let refused = service.scheduler.prepare(reminder(1).on_conflict(policy)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(refused.to_string().contains("add it by `add_job_in`"), "{refused}");
    }
    let unknown = service.scheduler.prepare(apscheduler::JobSpec::now("unknown")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownTask);
    let wrong = service.scheduler.prepare(reminder(1).args("one")).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Arguments);
    assert!(service.scheduler.jobs().await.unwrap().is_empty());
}
