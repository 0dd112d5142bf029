//! What is refused.

use apscheduler::{
    ErrorKind, JobSpec,
    executors::task,
    trigger::{Cron, Date},
};
use chrono::Utc;
use test_support::test_store::TestStore;

use crate::{Service, applications::Application, hourly, reminder};

pub(crate) async fn are_those_of_add_job<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    service.scheduler.add_job(hourly(1)).await.unwrap();
    let closure = || task("closure", || async {});
    let wrong: [(ErrorKind, &dyn Fn() -> JobSpec); 7] = [
        (ErrorKind::Conflict, &|| hourly(1)),
        (ErrorKind::UnknownTask, &|| JobSpec::now("reminder").id("a")),
        (ErrorKind::Arguments, &|| JobSpec::now("remind").id("b").args("seven")),
        (ErrorKind::UnknownExecutor, &|| reminder(2).executor("fast")),
        (ErrorKind::UnknownStore, &|| reminder(2).store("archive")),
        (ErrorKind::NeverFires, &|| {
            JobSpec::new("remind", Cron::fields().year("2020").build().unwrap()).id("c").args(1)
        }),
        (ErrorKind::TooLarge, &|| reminder(2).name("x".repeat(2 << 20))),
    ];
    for (kind, spec) in wrong {
        let mut tx = application.begin().await;
        let within = service.scheduler.add_job_in(&mut tx, spec()).await.unwrap_err();
        A::rollback(tx).await;
        let without = service.scheduler.add_job(spec()).await.unwrap_err();
        assert_eq!(within.kind(), kind, "{within}");
        if kind != ErrorKind::NeverFires {
            // The time that the message of that one names goes on.
            assert_eq!(within, without);
        }
    }
    let mut tx = application.begin().await;
    let spec = JobSpec::closure(closure(), Date::at(Utc::now()));
    let refused = service.scheduler.add_job_in(&mut tx, spec).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closure, "{refused}");
    A::rollback(tx).await;
}

pub(crate) async fn of_the_transaction<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    let mut tx = application.begin().await;
    let refused = service.scheduler.add_job_in(&mut tx, reminder(1).store("scratch")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Store);
    let message = refused.to_string();
    assert!(message.starts_with("store `scratch`: ") && message.contains("in no transaction"), "{message}");

    // The transaction is of another database than the job's.
    if test_store.parts()[0] != "sqlite" {
        let another = Service::new(&TestStore::new("sqlite")).await;
        let refused = another.scheduler.add_job_in(&mut tx, reminder(1)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Store);
        assert!(refused.to_string().contains("the transaction is of another database"), "{refused}");
    }

    // The transaction is as good as before.
    application.order(&mut tx, 1).await;
    service.scheduler.add_job_in(&mut tx, hourly(1)).await.unwrap();
    A::commit(tx).await;
    assert!(service.has("hourly-1").await);
}

mod without_a_transaction {
    use super::{Service, TestStore, hourly};
    use crate::applications::{Application, OnMongoDb, OnMySql, OnPostgres, OnSqlite};

    macro_rules! on_sqlx {
        ($($store:ident: $application:ident;)*) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $store() {
                let test_store = TestStore::new(stringify!($store));
                let service = Service::new(&test_store).await;
                let application = $application::connect(&test_store).await;
                let mut connection = application.pool.acquire().await.unwrap();
                let refused = service.scheduler.add_job_in(&mut *connection, hourly(1)).await.unwrap_err();
                assert!(refused.to_string().contains("no transaction is open on the connection"), "{refused}");
                assert!(!service.has("hourly-1").await);
            }
        )*};
    }

    on_sqlx! { sqlite: OnSqlite; postgres: OnPostgres; mysql: OnMySql; }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn mongodb() {
        let test_store = TestStore::new("mongodb");
        let service = Service::new(&test_store).await;
        let mut session = OnMongoDb::connect(&test_store).await.begin().await;
        session.abort_transaction().await.unwrap();
        let refused = service.scheduler.add_job_in(&mut session, hourly(1)).await.unwrap_err();
        assert!(refused.to_string().contains("no transaction is open on the session"), "{refused}");
        assert!(!service.has("hourly-1").await);
        // The session takes a transaction as before.
        session.start_transaction().await.unwrap();
        service.scheduler.add_job_in(&mut session, hourly(1)).await.unwrap();
        OnMongoDb::commit(session).await;
        assert!(service.has("hourly-1").await);
    }
}
