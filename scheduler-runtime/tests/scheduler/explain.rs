//! Why a job did, did not, or will not run at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::{
    Answer, Coalesce, ErrorKind, JobSpec, Outcome, Overlap, Retry, WhenFinished,
    trigger::{Cron, Custom, CustomTrigger, Date, Interval},
};
use scheduler_executors::task;
use scheduler_runtime::{Runtime, Scheduler};
use serde_json::json;

use crate::{
    stage::Hand,
    world::{World, at, clock},
};

/// The explanation of a time of the day, without what all lines have: the job, the date, the zone and the node.
fn why(world: &World, job: &str, time: &str) -> String {
    let text = world.wait(world.scheduler.explain(job, clock(time))).unwrap().to_string();
    plain(&text)
}

fn plain(text: &str) -> String {
    let mut text = text.replace("2026-11-21 ", "").replace(" UTC", "");
    while let Some(node) = text.find(" on node ") {
        let word = node + " on node ".len();
        let end = text[word..].find([' ', ':']).map_or(text.len(), |end| word + end);
        text.replace_range(node..end, "");
    }
    text.split_once("` at ").unwrap().1.to_owned()
}

#[test]
fn the_fire_times_that_are_to_come_are_told() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::minutes(10)).id("clock"));

    assert_eq!(why(&world, "clock", "10:10:00"), "10:10:00: it will run; that is its next fire time");
    assert_eq!(why(&world, "clock", "10:30:00"), "10:30:00: it will run; its next fire time is 10:10:00");
    assert_eq!(
        why(&world, "clock", "10:25:00"),
        "10:25:00: that is not a fire time; the trigger fires at 10:20:00 before it and at 10:30:00 after it"
    );
    assert_eq!(
        why(&world, "clock", "10:00:00"),
        "10:00:00: that is not a fire time; the trigger fires at 10:10:00 for the first time"
    );
}

#[test]
fn what_ran_is_told_with_its_lateness_and_its_end() {
    let world = World::new(|builder| builder);
    let sleeps = world.runtime.clone();
    let work = task("work", move |ok: bool| {
        let sleeps = sleeps.clone();
        async move {
            sleeps.sleep(Duration::from_secs(3)).await;
            if ok { Ok(()) } else { Err("disk full") }
        }
    });
    world.wait(world.scheduler.add_task(work)).unwrap();
    world.add(JobSpec::new("work", Interval::seconds(60)).id("good").args(true));
    world.add(JobSpec::new("work", Interval::seconds(60)).id("bad").args(false));
    world.advance(59);
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(3);
    world.wait(world.scheduler.resume()).unwrap();
    world.advance(1);
    assert_eq!(why(&world, "good", "10:01:00"), "10:01:00: it is running since 10:01:02, in attempt 1");
    world.advance(2);

    assert_eq!(
        why(&world, "good", "10:01:00"),
        "10:01:00: it ran, from 10:01:02 (2s late), and ended as ok after 3s, in attempt 1"
    );
    assert_eq!(
        why(&world, "bad", "10:01:00"),
        "10:01:00: it ran, from 10:01:02 (2s late), and ended as error after 3s, in attempt 1: disk full"
    );
}

/// A world that was asleep from 10:00:00 to 10:01:15 while a job was due every ten seconds.
fn overslept(describe: impl FnOnce(JobSpec) -> JobSpec) -> World {
    let world = World::new(|builder| builder);
    world.add(describe(JobSpec::new("tick", Interval::seconds(10)).id("clock")));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(75);
    world.wait(world.scheduler.resume()).unwrap();
    world
}

#[test]
fn what_was_missed_is_told_with_what_was_allowed() {
    let world = overslept(|job| job.misfire_grace_time(Duration::from_secs(60)));
    assert_eq!(
        why(&world, "clock", "10:00:10"),
        "10:00:10: it was missed, being 65s late; the misfire grace time is 60s"
    );
    assert_eq!(
        why(&world, "clock", "10:00:40"),
        "10:00:40: it was coalesced into the run for 10:01:10; so were all from 10:00:20 to 10:01:00 (5)"
    );
    assert_eq!(
        why(&world, "clock", "10:01:10"),
        "10:01:10: it ran, from 10:01:15 (5s late), and ended as ok after 0s, in attempt 1"
    );
}

#[test]
fn what_was_coalesced_is_told_with_the_run_that_stands_for_it() {
    let world = overslept(|job| job.coalesce(Coalesce::Earliest));
    assert_eq!(
        why(&world, "clock", "10:01:00"),
        "10:01:00: it was coalesced into the run for 10:00:10; so were all from 10:00:20 to 10:01:10 (6)"
    );
}

#[test]
fn what_is_due_and_not_taken_is_told_with_what_becomes_of_it() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    let short = Interval::seconds(10);
    world.add(JobSpec::new("tick", short).id("short").misfire_grace_time(Duration::from_secs(3)));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(15);

    assert_eq!(
        why(&world, "clock", "10:00:10"),
        "10:00:10: it is due since 5s, and no node has taken it; is a scheduler with the task `tick` running, and in \
         reach of the store?"
    );
    assert_eq!(
        why(&world, "short", "10:00:10"),
        "10:00:10: it is due since 5s, and no node has taken it; later than 3s, it will be missed"
    );
}

#[test]
fn overlap_is_told() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("hand", hand.clone()));
    let every = || JobSpec::new("tick", Interval::seconds(10)).executor("hand");
    world.add(every().id("skips"));
    world.add(every().id("queues").overlap(Overlap::Queue(1)));
    world.advance(20);

    assert_eq!(
        why(&world, "skips", "10:00:20"),
        "10:00:20: it was skipped, since as many runs were running as may be (max_instances is 1)"
    );
    assert_eq!(why(&world, "queues", "10:00:20"), "10:00:20: its run waits until fewer runs are running");
}

#[test]
fn repeated_and_timed_out_runs_are_told() {
    let world = World::new(|builder| builder);
    let retry = Retry::attempts(2).backoff(Duration::from_secs(10)).jitter(0.0);
    world.add(JobSpec::new("fail", Interval::minutes(1)).id("moody").retry(retry));
    let sleeps = world.runtime.clone();
    let hang = task("hang", move || {
        let sleeps = sleeps.clone();
        async move { sleeps.sleep(Duration::from_secs(3600)).await }
    });
    world.wait(world.scheduler.add_task(hang)).unwrap();
    world.add(JobSpec::new("hang", Interval::minutes(1)).id("hangs").timeout(Duration::from_secs(5)));
    world.advance(66);
    assert_eq!(
        why(&world, "moody", "10:01:00"),
        "10:01:00: its attempt 1 failed, and the next one starts at 10:01:10: disk full"
    );
    world.advance(10);
    assert_eq!(
        why(&world, "moody", "10:01:00"),
        "10:01:00: it ran, from 10:01:10, and ended as error after 0s, in attempt 2: disk full"
    );
    let timed_out = why(&world, "hangs", "10:01:00");
    assert!(
        timed_out.starts_with("10:01:00: it ran, from 10:01:00, and ended as timeout after 5s, in attempt 1"),
        "{timed_out}"
    );
}

#[test]
fn pauses_are_told() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.advance(15);
    world.wait(job.pause()).unwrap();
    assert_eq!(
        why(&world, "clock", "10:00:30"),
        "10:00:30: it does not run, since the job is paused (since 10:00:15); resume it"
    );
    world.advance(20);
    // A time that has passed in the pause.
    assert_eq!(
        why(&world, "clock", "10:00:30"),
        "10:00:30: it does not run, since the job is paused (since 10:00:15); resume it"
    );
    world.wait(job.resume()).unwrap();
    world.advance(10);
    assert_eq!(
        why(&world, "clock", "10:00:30"),
        "10:00:30: the trigger fires then, but the job was not to: it was added, resumed or rescheduled only afterwards"
    );
}

#[test]
fn a_change_that_came_before_the_run_is_told() {
    let world = World::new(|builder| builder);
    let job = world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock"));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(15);
    world.wait(job.reschedule(Interval::seconds(60))).unwrap();
    assert_eq!(
        why(&world, "clock", "10:00:10"),
        "10:00:10: it was cancelled before it started: the job was changed before it ran"
    );
}

#[test]
fn what_the_history_has_forgotten_is_said_to_be_forgotten() {
    let world = World::new(|builder| builder);
    let spec = JobSpec::new("tick", Interval::seconds(10)).id("clock");
    world.add(spec.history(3));
    world.advance(600);
    let forgotten = why(&world, "clock", "10:00:10");
    assert!(
        forgotten
            .starts_with("10:00:10: the history does not reach back that far; it keeps 3 runs, the oldest for 10:0"),
        "{forgotten}"
    );
}

#[test]
fn a_job_that_has_had_its_last_fire_time_says_so() {
    let world = World::new(|builder| builder);
    let once = JobSpec::new("tick", Date::at(clock("10:00:10"))).id("once");
    world.add(once.when_finished(WhenFinished::Keep));
    world.advance(15);
    assert_eq!(
        why(&world, "once", "11:00:00"),
        "11:00:00: it does not run; the last fire time of the job was 10:00:10"
    );
    // One that is not kept has gone, and its history with it.
    world.add(JobSpec::new("tick", Date::at(clock("10:00:20"))).id("gone"));
    world.advance(15);
    let error = world.wait(world.scheduler.explain("gone", clock("10:00:20"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_fixed_delay_depends_on_the_run() {
    let hand = Hand::default();
    let world = World::new(|builder| builder.executor("hand", hand.clone()));
    world.add(JobSpec::new("tick", Interval::after_end(Duration::from_secs(10))).id("delay").executor("hand"));
    world.advance(12);
    assert_eq!(
        why(&world, "delay", "10:00:30"),
        "10:00:30: that depends on its run; it fires next some time after the end of that"
    );
    hand.end(Outcome::Ok(().into()));
    world.advance(0);
    assert_eq!(why(&world, "delay", "10:00:22"), "10:00:22: it will run; that is its next fire time");
    assert_eq!(
        why(&world, "delay", "10:00:15"),
        "10:00:15: that is not a fire time; the trigger fires at 10:00:10 before it and at 10:00:22 after it"
    );
}

#[test]
fn jitter_is_told() {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::minutes(10).jitter(Duration::from_secs(300))).id("spread"));
    let explanation = world.wait(world.scheduler.explain("spread", clock("10:10:00"))).unwrap();
    let due = explanation.due.unwrap();
    assert!(clock("10:10:00") < due && due < clock("10:15:00"));
    assert!(
        plain(&explanation.to_string())
            .starts_with("10:10:00: it will run; that is its next fire time; with its jitter it is due at 10:1")
    );
}

#[test]
fn a_trigger_that_fails_says_why() {
    let world = World::new(|builder| builder.trigger("tides", Fails));
    world.add(JobSpec::new("tick", Custom::new("tides", json!(null))).id("harbour"));
    world.advance(20);
    assert_eq!(
        why(&world, "harbour", "10:00:30"),
        "10:00:30: its trigger cannot say: custom trigger `tides`: the tide tables end"
    );
}

struct Fails;

impl CustomTrigger for Fails {
    fn next(
        &self,
        _: &serde_json::Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        if previous.is_some() { Err("the tide tables end".to_owned()) } else { Ok(Some(now + Duration::from_secs(10))) }
    }
}

#[test]
fn explanations_are_values_with_fields() {
    let world = overslept(|job| job.misfire_grace_time(Duration::from_secs(60)));
    let missed = world.wait(world.scheduler.explain("clock", clock("10:00:10"))).unwrap();
    assert!(matches!(missed.answer, Answer::Missed { .. }));
    assert_eq!(
        serde_json::to_value(missed).unwrap(),
        json!({
            "job": "clock",
            "at": "2026-11-21T10:00:10Z",
            "fire_time": "2026-11-21T10:00:10Z",
            "answer": "missed",
            "late": 65,
            "grace": 60,
            "together": null,
            "due": null,
            "pause": null,
            "clocks": null,
            "outdated": null,
            "zone": null,
        })
    );
}

#[test]
fn a_time_is_given_in_any_zone_and_told_in_that_of_the_trigger() {
    let world = World::new(|builder| builder.timezone(chrono_tz::Asia::Tokyo));
    world.add(JobSpec::new("tick", Cron::fields().hour("20").build().unwrap()).id("evening"));
    let noon = clock("11:00:00").with_timezone(&chrono_tz::Europe::Berlin);
    assert_eq!(
        world.wait(world.scheduler.explain("evening", noon)).unwrap().to_string(),
        "`evening` at 2026-11-21 20:00:00 JST: it will run; that is its next fire time"
    );
}

#[test]
fn handles_that_block_explain_as_well() {
    let runtime = at("10:00:00");
    let local = Scheduler::builder(runtime).task("tick", || async {}).local().unwrap();
    local.start().unwrap();
    let job = local.add_job(JobSpec::new("tick", Interval::seconds(10)).id("clock")).unwrap();
    assert_eq!(local.explain("clock", clock("10:00:10")).unwrap().answer, Answer::Next);
    let later = local.block_on(job.explain(clock("10:00:20"))).unwrap();
    assert_eq!(later.answer, Answer::Later { next: clock("10:00:10") });
}
