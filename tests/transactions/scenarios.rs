//! What holds on each database.

use std::{collections::BTreeSet, sync::Arc};

use apscheduler::{Conflict, JobSpec, RunState, Wait};
use test_support::test_store::TestStore;

use crate::{Service, applications::Application, hourly, reminder, until};

pub(crate) async fn commits_and_rolls_back<A: Application>(test_store: &TestStore) {
    let mut service = Service::started(test_store).await;
    let application = A::connect(test_store).await;

    let mut tx = application.begin().await;
    application.order(&mut tx, 1).await;
    let job = service.scheduler.add_job_in(&mut tx, reminder(1)).await.unwrap();
    assert_eq!((job.id.as_str(), job.store().as_str()), ("remind-1", "default"));
    A::rollback(tx).await;

    let mut tx = application.begin().await;
    application.order(&mut tx, 2).await;
    let job = service.scheduler.add_job_in(&mut tx, reminder(2)).await.unwrap();
    assert!(job.next_fire_time.is_some());
    assert!(!service.has("remind-2").await, "it is not there before the commit");
    A::commit(tx).await;

    assert_eq!(service.reminded().await, ("remind-2".to_owned(), 2));
    assert_eq!(application.orders().await, [2]);
    assert!(!service.has("remind-1").await);
    // Of the first one nothing has run, and nothing will.
    assert!(service.reminded.try_recv().is_err());
    assert_eq!(service.end().await, Vec::<String>::new(), "it is not told of jobs whose commit it does not hear of");
}

pub(crate) async fn adds_many<A: Application>(test_store: &TestStore) {
    let mut service = Service::started(test_store).await;
    let application = A::connect(test_store).await;

    let mut tx = application.begin().await;
    let specs = (1..=20).map(reminder).chain([JobSpec::now("unknown"), reminder(7)]).collect();
    let added = service.scheduler.add_jobs_in(&mut tx, specs).await;
    let (good, bad): (Vec<_>, Vec<_>) = added.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (20, 2), "{bad:?}");
    A::commit(tx).await;

    let mut orders = BTreeSet::new();
    while orders.len() < 20 {
        orders.insert(service.reminded().await.1);
    }
    assert_eq!(orders, (1..=20).collect());
    service.end().await;
}

pub(crate) async fn removes<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    service.scheduler.add_job(hourly(1)).await.unwrap();

    let mut tx = application.begin().await;
    service.scheduler.remove_job_in(&mut tx, "hourly-1").await.unwrap();
    assert!(service.has("hourly-1").await, "it is there until the commit");
    A::rollback(tx).await;
    assert!(service.has("hourly-1").await);

    let mut tx = application.begin().await;
    service.scheduler.remove_job_in(&mut tx, "hourly-1").await.unwrap();
    // Its id is free within the transaction.
    service.scheduler.add_job_in(&mut tx, hourly(1).args(3)).await.unwrap();
    service.scheduler.remove_job_in(&mut tx, "hourly-1").await.unwrap();
    let gone = service.scheduler.remove_job_in(&mut tx, "hourly-1").await.unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    A::commit(tx).await;
    assert!(!service.has("hourly-1").await);
}

pub(crate) async fn runs_now<A: Application>(test_store: &TestStore) {
    let mut service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    let job = service.scheduler.add_job(hourly(1)).await.unwrap();

    let mut tx = application.begin().await;
    service.scheduler.run_job_now_in(&mut tx, "hourly-1").await.unwrap();
    A::rollback(tx).await;
    assert!(job.runs(9).await.unwrap().is_empty());

    let mut tx = application.begin().await;
    let run = service.scheduler.run_job_now_in(&mut tx, "hourly-1").await.unwrap();
    let unknown = service.scheduler.run_job_now_in(&mut tx, "hourly-2").await.unwrap_err();
    assert!(unknown.is_not_found(), "{unknown}");
    A::commit(tx).await;

    let runs = job.runs(9).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| (run.id, run.state)).collect::<Vec<_>>(),
        [(run, RunState::Waiting(Wait::Requested))]
    );
    service.scheduler.start().await.unwrap();
    assert_eq!(service.reminded().await, ("hourly-1".to_owned(), 1));
    assert_eq!(job.refresh().await.unwrap().next_fire_time, job.next_fire_time);
    service.end().await;
}

pub(crate) async fn replaces_and_keeps<A: Application>(test_store: &TestStore) {
    let service = Service::new(test_store).await;
    let application = A::connect(test_store).await;
    let old = service.scheduler.add_job(hourly(1)).await.unwrap();
    let arguments = async || service.scheduler.job("hourly-1").await.unwrap().unwrap().body.args.clone();

    let mut tx = application.begin().await;
    let kept = service.scheduler.add_job_in(&mut tx, hourly(1).args(5).on_conflict(Conflict::Keep)).await.unwrap();
    assert_eq!((kept.uid, &kept.body.args), (old.uid, &old.body.args));
    A::commit(tx).await;
    assert_eq!(arguments().await, 1);

    let replace = || hourly(1).args(6).on_conflict(Conflict::Replace);
    let mut tx = application.begin().await;
    let replaced = service.scheduler.add_job_in(&mut tx, replace()).await.unwrap();
    assert_eq!((replaced.uid, &replaced.body.args), (old.uid, &6.into()));
    assert_eq!(replaced.next_fire_time, old.next_fire_time, "it is another's place, and the same trigger");
    A::rollback(tx).await;
    assert_eq!(arguments().await, 1);

    let mut tx = application.begin().await;
    service.scheduler.add_job_in(&mut tx, replace()).await.unwrap();
    assert_eq!(arguments().await, 1, "it is replaced by the commit");
    A::commit(tx).await;
    assert_eq!(arguments().await, 6);
}

/// With each database's own isolation level. An SQLite file has one writer at a time, the others wait.
pub(crate) async fn adds_from_many_transactions_at_once<A: Application>(test_store: &TestStore) {
    const APPLICATIONS: u32 = 6;
    const EACH: u32 = 15;
    let service = Service::new(test_store).await;
    let application = Arc::new(A::connect(test_store).await);
    std::thread::scope(|scope| {
        for number in 0..APPLICATIONS {
            let (application, scheduler) = (Arc::clone(&application), service.scheduler.clone());
            let runtime = tokio::runtime::Handle::current();
            scope.spawn(move || {
                runtime.block_on(async {
                    for n in 0..EACH {
                        let order = number * EACH + n + 1;
                        let mut tx = application.begin().await;
                        application.order(&mut tx, order).await;
                        // Ids that are next to each other, and drawn ones, which begin with the time.
                        scheduler.add_job_in(&mut tx, hourly(order)).await.unwrap();
                        let drawn = JobSpec::new("remind", apscheduler::trigger::Interval::hours(1)).args(order);
                        scheduler.add_job_in(&mut tx, drawn).await.unwrap();
                        A::commit(tx).await;
                    }
                });
            });
        }
    });
    assert_eq!(application.orders().await.len() as u32, APPLICATIONS * EACH);
    assert_eq!(service.scheduler.jobs().await.unwrap().len() as u32, 2 * APPLICATIONS * EACH);
}

/// The node that runs the job is not the one that was asked to add it.
pub(crate) async fn is_not_told_before<A: Application>(test_store: &TestStore) {
    let (web, mut worker) = (Service::new(test_store).await, Service::started(test_store).await);
    let application = A::connect(test_store).await;
    for order in 1..=3 {
        let mut tx = application.begin().await;
        web.scheduler.add_job_in(&mut tx, reminder(order)).await.unwrap();
        A::commit(tx).await;
        assert_eq!(worker.reminded().await.1, order);
    }
    until(async || worker.scheduler.jobs().await.unwrap().is_empty()).await;
    worker.end().await;
}
