//! Stores that are opened when the scheduler starts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join;
use scheduler_core::{
    Conflict, ErrorKind, JobSpec,
    engine::SchedulerState,
    store::{StoreError, StoreErrorKind},
    trigger::Interval,
};
use scheduler_runtime::{Builder, Scheduler};
use scheduler_stores::MemoryStore;
use scheduler_thread::ThreadRuntime;

use crate::world::World;

/// A database that is there at an attempt to open it, and says something else before.
#[derive(Clone)]
struct Database {
    store: MemoryStore,
    attempts: Arc<AtomicU32>,
    is_there_at: u32,
    before: StoreErrorKind,
}

impl Database {
    fn that_is_there_at(attempt: u32) -> Self {
        let before = StoreErrorKind::Unavailable;
        Self { store: MemoryStore::new(), attempts: Arc::default(), is_there_at: attempt, before }
    }

    fn opened_by(&self, builder: Builder) -> Builder {
        let database = self.clone();
        builder.open_store("default", move || {
            let database = database.clone();
            async move { database.open() }
        })
    }

    fn open(&self) -> Result<MemoryStore, StoreError> {
        match self.attempts.fetch_add(1, Ordering::Relaxed) + 1 {
            attempt if attempt >= self.is_there_at => Ok(self.store.clone()),
            _ => Err(StoreError::new(self.before, "database `app`: it does not answer")),
        }
    }

    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

fn hourly() -> JobSpec {
    JobSpec::new("tick", Interval::hours(1)).id("hourly").on_conflict(Conflict::Replace)
}

#[test]
fn a_store_is_opened_by_the_start_before_the_jobs_of_the_program_are_added() {
    let database = Database::that_is_there_at(1);
    let world = World::stopped(|builder| database.opened_by(builder).job(hourly()));
    assert_eq!(database.attempts(), 0);
    assert_eq!(
        world.refused(hourly()).to_string(),
        "there is no store `default`; the scheduler has none; store `default` is opened when the scheduler starts"
    );

    world.wait(world.scheduler.start()).unwrap();

    assert_eq!(world.told(), ["10:00:00 store default added", "10:00:00 added hourly", "10:00:00 started"]);
    assert_eq!(database.attempts(), 1);
    assert_eq!(world.wait(world.scheduler.job("hourly")).unwrap().unwrap().store().as_str(), "default");
}

#[test]
fn the_start_waits_with_growing_pauses_for_a_store_that_is_not_there_yet() {
    let database = Database::that_is_there_at(8);
    let world =
        World::stopped(|builder| database.opened_by(builder).job(hourly()).wait_for_stores(Duration::from_secs(60)));

    world.wait(world.scheduler.start()).unwrap();

    // 100 + 200 + 400 + 800 + 1600 + 2000 + 2000 ms.
    assert_eq!(world.told(), ["10:00:07.100 store default added", "10:00:07.100 added hourly", "10:00:07.100 started"]);
    assert_eq!(database.attempts(), 8);
}

#[test]
fn a_store_that_does_not_come_in_time_is_an_error_of_the_start_which_can_be_tried_again() {
    let database = Database::that_is_there_at(5);
    let world =
        World::stopped(|builder| database.opened_by(builder).wait_for_stores(Duration::from_millis(250)).job(hourly()));

    let error = world.wait(world.scheduler.start()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    assert_eq!(error.to_string(), "store `default`: database `app`: it does not answer");
    assert_eq!(database.attempts(), 3, "at once, after 100 ms, and when the time is over");
    assert_eq!(world.wait(world.scheduler.state()), SchedulerState::Stopped);
    assert!(world.told().is_empty());

    world.wait(world.scheduler.start()).unwrap();
    assert_eq!(world.told().last().unwrap(), "10:00:00.350 started");
}

#[test]
fn what_does_not_pass_is_not_waited_for() {
    let before = StoreErrorKind::Incompatible;
    let database = Database { before, ..Database::that_is_there_at(2) };
    let world = World::stopped(|builder| database.opened_by(builder).wait_for_stores(Duration::from_secs(60)));
    assert_eq!(world.wait(world.scheduler.start()).unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(database.attempts(), 1);
}

#[test]
fn two_starts_at_once_open_a_store_once() {
    let database = Database::that_is_there_at(3);
    let world = World::stopped(|builder| database.opened_by(builder).wait_for_stores(Duration::from_secs(60)));
    let (one, two) = world.wait(join(world.scheduler.start(), world.scheduler.start()));
    assert_eq!((one, two.unwrap_err().kind()), (Ok(()), ErrorKind::AlreadyStarted));
    assert_eq!(database.attempts(), 3);
}

#[test]
fn a_name_is_given_to_one_store() {
    let database = Database::that_is_there_at(1);
    let builder = Scheduler::builder(ThreadRuntime::new().unwrap()).store("default", MemoryStore::new());
    let error = database.opened_by(builder).build().unwrap_err();
    assert_eq!(error.to_string(), "store `default` is given twice; each needs a name of its own");
}
