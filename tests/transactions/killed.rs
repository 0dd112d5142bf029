//! A process that is killed between the job and its commit.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use test_support::test_store::TestStore;

use crate::{
    Service,
    applications::{Application, OnMongoDb, OnMySql, OnPostgres, OnSqlite},
    hourly,
};

const ADDED: &str = "the job is added";

pub(crate) async fn leaves_nothing<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    let [store, url, prefix] = test_store.parts();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .envs([("TRANSACTION_STORE", store), ("TRANSACTION_URL", url), ("TRANSACTION_PREFIX", prefix)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with(ADDED)), "the child ended before");
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(application.orders().await, Vec::<u32>::new());
    assert!(!service.has("hourly-1").await);
    let mut tx = application.begin().await;
    application.order(&mut tx, 2).await;
    service.scheduler.add_job_in(&mut tx, hourly(2)).await.unwrap();
    A::commit(tx).await;
    assert_eq!(application.orders().await, [2]);
    assert!(service.has("hourly-2").await && !service.has("hourly-1").await);
}

pub(crate) fn child() {
    let Ok(store) = env::var("TRANSACTION_STORE") else { return };
    let test_store =
        TestStore::at(&store, &env::var("TRANSACTION_URL").unwrap(), &env::var("TRANSACTION_PREFIX").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match store.as_str() {
            "sqlite" => adds_and_waits::<OnSqlite>(&test_store).await,
            "postgres" => adds_and_waits::<OnPostgres>(&test_store).await,
            "mysql" => adds_and_waits::<OnMySql>(&test_store).await,
            "mongodb" => adds_and_waits::<OnMongoDb>(&test_store).await,
            other => panic!("store {other}"),
        }
    });
}

async fn adds_and_waits<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    let mut tx = application.begin().await;
    application.order(&mut tx, 1).await;
    service.scheduler.add_job_in(&mut tx, hourly(1)).await.unwrap();
    let mut output = std::io::stdout();
    writeln!(output, "{ADDED}").unwrap();
    // The parent kills this process, or has ended itself.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    A::rollback(tx).await;
}
