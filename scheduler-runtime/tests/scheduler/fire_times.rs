//! Fire times to come: of a job as it is, and with another trigger.

use chrono::{DateTime, Utc};
use scheduler_core::{
    ErrorKind, JobSpec, Pause, Trigger,
    trigger::{Cron, Custom, Date, Interval},
};
use serde_json::json;

use crate::world::{World, clock};

fn times(times: Vec<DateTime<Utc>>) -> Vec<String> {
    times.into_iter().map(|at| at.format("%H:%M").to_string()).collect()
}

#[test]
fn a_job_tells_its_fire_times_for_as_long_as_it_has_some() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::minutes(10)).id("clock"));
    let job = world.wait(world.scheduler.job("clock")).unwrap().unwrap();
    assert_eq!(times(job.fire_times(3).unwrap()), ["10:10", "10:20", "10:30"]);
    assert!(job.fire_times(0).unwrap().is_empty());

    let paused = world.wait(job.pause()).unwrap();
    assert!(paused.fire_times(3).unwrap().is_empty());
    let paused = world.wait(job.pause_with(Pause::new().until(clock("10:25:00")))).unwrap();
    assert_eq!(times(paused.fire_times(2).unwrap()), ["10:30", "10:40"]);

    world.add(JobSpec::new("tick", Date::at(clock("11:00:00"))).id("once"));
    let once = world.wait(world.scheduler.job("once")).unwrap().unwrap();
    assert_eq!(times(once.fire_times(3).unwrap()), ["11:00"]);
    world.add(JobSpec::new("tick", Interval::after_end(std::time::Duration::from_secs(60))).id("after"));
    let after = world.wait(world.scheduler.job("after")).unwrap().unwrap();
    assert_eq!(after.fire_times(3).unwrap().len(), 1);
}

#[test]
fn what_is_previewed_is_what_a_reschedule_gives() {
    let world = World::new(|builder| builder.timezone_named("Asia/Tokyo"));
    world.add(JobSpec::new("tick", Interval::minutes(10)).id("clock"));
    for trigger in [
        Trigger::from(Cron::crontab("H 9 * * *").unwrap()),
        Trigger::from(Cron::crontab("30 20 * * *").unwrap()),
        Trigger::from(Interval::hours(2)),
        Trigger::from(Date::at(clock("11:00:00"))),
    ] {
        let previewed = world.scheduler.preview("clock", trigger.clone(), 5).unwrap();
        let unchanged = world.wait(world.scheduler.job("clock")).unwrap().unwrap();
        assert_ne!(unchanged.body.trigger.to_string(), trigger.to_string());
        let job = world.wait(world.scheduler.reschedule_job("clock", trigger.clone())).unwrap();
        assert_eq!(job.fire_times(5).unwrap(), previewed, "{trigger}");
        world.wait(world.scheduler.reschedule_job("clock", Interval::minutes(10))).unwrap();
    }
    let unknown = Trigger::from(Custom::new("tides", json!(null)));
    assert_eq!(world.scheduler.preview("clock", unknown, 5).unwrap_err().kind(), ErrorKind::Trigger);
    assert_eq!(world.scheduler.timezone(), chrono_tz::Asia::Tokyo);
    assert_eq!(world.scheduler.now(), clock("10:00:00"));
}
