//! Clocks that were far ahead, and zones whose rules were others.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Conflict, ErrorKind, JobRow, JobSpec, JobState, JobStore, Totals, Uid,
    store::Clock,
    trigger::{Cron, Interval},
};
use scheduler_runtime::Scheduler;
use scheduler_stores::MemoryStore;

use crate::{
    stage::FaultyStore,
    world::{World, at, clock},
};

#[test]
fn a_store_that_goes_by_its_servers_clock_is_refused_where_time_is_a_tests() {
    let of_server = || FaultyStore::default().with_limits(|limits| limits.with_clock(Clock::Server));
    let error = Scheduler::builder(at("10:00:00")).store("jobs", of_server()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with("store `jobs` goes by the clock of its server"), "{error}");

    let world = World::new(|builder| builder);
    assert_eq!(world.wait(world.scheduler.add_store("jobs", of_server())).unwrap_err(), error);
}

fn hourly() -> JobSpec {
    JobSpec::new("tick", Interval::hours(1)).id("hourly").on_conflict(Conflict::Replace)
}

#[test]
fn a_job_of_a_clock_that_was_ahead_is_explained_and_comes_back_when_it_is_replaced_or_resumed() {
    for is_replaced in [true, false] {
        let world = World::new(|builder| builder);
        world.runtime.step_clock(TimeDelta::days(365 * 73));
        world.add(hourly());
        world.runtime.step_clock(TimeDelta::days(-365 * 73));
        world.advance(2 * 3_600);
        let told = world.told();
        assert!(told.last().unwrap().ends_with("clock of Node stepped -2302128000s"), "{told:#?}");

        let at = clock("13:00:00");
        let why = world.runtime.run(world.scheduler.explain("hourly", at)).unwrap().to_string();
        assert!(why.contains("was computed when the clock was ahead"), "{why}");

        if is_replaced {
            world.add(hourly());
        } else {
            world.runtime.run(world.scheduler.resume_job("hourly")).unwrap();
        }
        world.advance(3_600);
        let told = world.told();
        assert!(told[0].contains("corrected hourly: 2099-"), "{told:#?}");
        assert_eq!(told[2..], ["13:00:00 submitted hourly@13:00:00", "13:00:00 executed hourly@13:00:00"]);
    }
}

/// A job for 14 o'clock in Berlin, 13 in UTC, as a build with other rules of the zone has left it.
fn world_with(next: DateTime<Utc>) -> World {
    let store = MemoryStore::new();
    let spec = r#"{"v": 1, "task": "tick", "trigger": {"type": "cron", "dialect": "crontab", "expression": "0 14 * * *",
                   "timezone": "Europe/Berlin"}}"#;
    let row = JobRow {
        uid: Uid(7),
        id: "daily".into(),
        body: serde_json::from_str(spec).unwrap(),
        state: JobState::Active,
        next_fire_time: Some(next),
        due: Some(next),
        last_end: None,
        blocked: false,
        revision: 0,
        fence: 0,
        last_seq: 0,
        totals: Totals::default(),
    };
    futures_executor::block_on(store.insert(clock("10:00:00"), &[row])).unwrap();
    World::new(|builder| builder.store("default", store))
}

#[test]
fn a_job_that_other_rules_of_its_zone_made_an_hour_early_runs_at_the_right_hour() {
    let world = world_with(clock("12:00:00"));
    world.runtime.run_until(clock("13:00:00"));
    assert_eq!(
        world.told(),
        [
            "12:00:00 corrected daily: 2026-11-21 12:00:00 UTC to 2026-11-21 13:00:00 UTC",
            "13:00:00 submitted daily@13:00:00",
            "13:00:00 executed daily@13:00:00",
        ]
    );
}

#[test]
fn a_job_that_other_rules_of_its_zone_made_an_hour_late_runs_at_the_right_hour_once_it_is_replaced() {
    let world = world_with(clock("14:00:00"));
    let cron = Cron::crontab("0 14 * * *").unwrap().timezone(Tz::Europe__Berlin);
    world.add(JobSpec::new("tick", cron).id("daily").on_conflict(Conflict::Replace));
    world.runtime.run_until(clock("14:00:00"));
    let told = world.told();
    assert_eq!(
        told[told.len() - 4..],
        [
            "10:00:00 corrected daily: 2026-11-21 14:00:00 UTC to 2026-11-21 13:00:00 UTC",
            "10:00:00 modified daily",
            "13:00:00 submitted daily@13:00:00",
            "13:00:00 executed daily@13:00:00",
        ]
    );
}

#[test]
fn a_job_that_other_rules_of_its_zone_made_late_runs_once_if_nobody_replaces_it_and_that_is_told() {
    let world = world_with(clock("14:00:00"));
    world.runtime.run_until(clock("23:00:00"));
    let told = world.told();
    assert_eq!(
        told[told.len() - 3..],
        [
            "14:00:00 late daily: 2026-11-21 14:00:00 UTC instead of 2026-11-21 13:00:00 UTC",
            "14:00:00 submitted daily@14:00:00",
            "14:00:00 executed daily@14:00:00",
        ]
    );
    let job = world.runtime.run(world.scheduler.job("daily")).unwrap().unwrap();
    assert_eq!(job.next_fire_time, Some(clock("13:00:00") + TimeDelta::days(1)));
}
