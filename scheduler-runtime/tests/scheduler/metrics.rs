//! The numbers that a recorder gets.
#![cfg(feature = "metrics")]

use std::{collections::BTreeMap, time::Duration};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use scheduler_core::{Event, EventMask, JobSpec, Outcome, Retry, engine::ShutdownMode, trigger::Interval};
use scheduler_executors::{Spawn, task};
use scheduler_runtime::Runtime;

use crate::{
    stage::{FaultyStore, Hand},
    world::World,
};

/// Runs a part of a test under a recorder of its own.
fn recorded(test: impl FnOnce(&Numbers)) {
    let recorder = DebuggingRecorder::new();
    let numbers = Numbers(recorder.snapshotter());
    metrics::with_local_recorder(&recorder, || test(&numbers));
}

struct Numbers(Snapshotter);

impl Numbers {
    /// What was recorded since the last look under names that begin so, without the prefix that all share: values of
    /// counters and gauges, and all that went into a histogram.
    fn of(&self, names: &str) -> BTreeMap<String, String> {
        let values = self.0.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
            let (_, key) = key.into_parts();
            let name = key.name().strip_prefix("apscheduler_").unwrap();
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Gauge(value) => value.to_string(),
                DebugValue::Histogram(values) => format!("{:?}", values.iter().map(|it| it.0).collect::<Vec<_>>()),
            };
            name.starts_with(names).then(|| (format!("{name}{{{}}}", labels.join(" ")), value))
        });
        values.collect()
    }

    #[track_caller]
    fn expect(&self, names: &str, expected: &[(&str, &str)]) {
        let found = self.of(names);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
    }
}

/// A world that has slept while fire times became due: 10:00:10 to 10:00:40 of one job, 10:00:30 of another.
fn overslept() -> World {
    let world = World::new(|builder| builder);
    world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock").misfire_grace_time(Duration::from_secs(20)));
    world.add(JobSpec::new("fail", Interval::seconds(30)).id("broken"));
    world.wait(world.scheduler.pause()).unwrap();
    world.advance(45);
    world.wait(world.scheduler.resume()).unwrap();
    world
}

#[test]
fn what_is_due_and_what_is_claimed_is_counted() {
    recorded(|numbers| {
        let _world = overslept();
        numbers.expect("fire_times", &[("fire_times_due_total{store=default}", "5")]);
    });
    recorded(|numbers| {
        let _world = overslept();
        numbers.expect("jobs", &[("jobs_claimed_total{store=default}", "2")]);
    });
}

#[test]
fn what_starts_how_late_it_is_and_how_it_ends_is_counted() {
    recorded(|numbers| {
        let _world = overslept();
        numbers.expect(
            "run",
            &[
                ("run_duration_seconds{store=default task=fail verdict=error}", "[0.0]"),
                ("run_duration_seconds{store=default task=tick verdict=ok}", "[0.0]"),
                ("run_lateness_seconds{store=default executor=default task=fail}", "[15.0]"),
                ("run_lateness_seconds{store=default executor=default task=tick}", "[5.0]"),
                ("runs_ended_total{store=default task=fail verdict=error}", "1"),
                ("runs_ended_total{store=default task=tick verdict=coalesced}", "1"),
                ("runs_ended_total{store=default task=tick verdict=missed}", "2"),
                ("runs_ended_total{store=default task=tick verdict=ok}", "1"),
                ("runs_running{executor=default}", "0"),
                ("runs_started_total{store=default executor=default task=fail}", "1"),
                ("runs_started_total{store=default executor=default task=tick}", "1"),
                ("runs_waiting{store=default}", "0"),
            ],
        );
    });
}

#[test]
fn what_executors_have_is_a_gauge_that_goes_down_however_a_run_ends() {
    recorded(|numbers| {
        let hand = Hand::default();
        let world = World::new(|builder| builder.executor("hand", hand.clone()));
        for _ in 0..3 {
            world.add(JobSpec::now("tick").executor("hand"));
        }
        world.advance(7);
        numbers.expect("runs_running", &[("runs_running{executor=hand}", "3")]);
        // The recorder begins at zero after each look.
        hand.end(Outcome::Ok(().into()));
        world.advance(0);
        numbers.expect("runs_running", &[("runs_running{executor=hand}", "-1")]);
        hand.drop_all();
        world.advance(0);
        numbers.expect("runs_running", &[("runs_running{executor=hand}", "-2")]);
    });
}

#[test]
fn a_run_that_is_under_way_when_the_scheduler_ends_is_not_counted_for_ever() {
    recorded(|numbers| {
        let hand = Hand::default();
        let world = World::new(|builder| builder.executor("hand", hand.clone()));
        world.add(JobSpec::now("tick").executor("hand"));
        world.advance(1);
        world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();
        hand.drop_all();
        world.advance(0);
        numbers.expect(
            "runs_",
            &[
                ("runs_ended_total{store=default task=tick verdict=cancelled}", "1"),
                ("runs_running{executor=hand}", "0"),
                ("runs_started_total{store=default executor=hand task=tick}", "1"),
                ("runs_waiting{store=default}", "0"),
            ],
        );
    });
}

#[test]
fn the_answers_of_a_store_are_timed_by_verb() {
    recorded(|numbers| {
        let world = World::new(|builder| builder);
        let slow = FaultyStore::slow(world.runtime.clone(), Duration::from_millis(250));
        world.wait(world.scheduler.add_store("slow", slow)).unwrap();
        world.advance(1);
        numbers.of("");
        world.wait(world.scheduler.in_store("slow").jobs()).unwrap();
        assert_eq!(numbers.of("store_call")["store_call_seconds{store=slow verb=jobs}"], "[0.25]");
    });
}

#[test]
fn the_failures_of_a_store_are_counted() {
    recorded(|numbers| {
        let store = FaultyStore::default();
        let world = World::new(|builder| builder.store("shared", store.clone()));
        store.go_away();
        world.wait(world.scheduler.wakeup()).unwrap();
        world.wait(world.scheduler.in_store("shared").jobs()).unwrap_err();
        let failed = numbers.of("store_failures_total");
        assert_eq!(failed["store_failures_total{store=shared verb=turn}"], "1");
        assert_eq!(failed["store_failures_total{store=shared verb=jobs}"], "1");
    });
}

#[test]
fn durations_are_in_seconds_and_the_slots_of_closures_share_a_label() {
    recorded(|numbers| {
        let world = World::new(|builder| builder);
        for seconds in [2, 5] {
            let clock = world.runtime.clone();
            let work = move || {
                let clock = clock.clone();
                async move { clock.sleep(Duration::from_secs(seconds)).await }
            };
            world.add(JobSpec::closure(
                task("work", work),
                scheduler_core::trigger::Date::at(crate::world::clock("10:00:01")),
            ));
        }
        world.advance(10);
        numbers
            .expect("run_duration", &[("run_duration_seconds{store=default task=closure verdict=ok}", "[2.0, 5.0]")]);
    });
}

#[test]
fn what_a_slow_reader_of_events_misses_is_counted() {
    recorded(|numbers| {
        let world = World::new(|builder| builder);
        let mut events = world.scheduler.events_with_capacity(EventMask::RUN_EXECUTED, 1);
        world.add(JobSpec::new("tick", Interval::seconds(10)));
        world.advance(45);
        numbers.expect("events_dropped", &[("events_dropped_total{}", "3")]);
        assert!(matches!(events.try_next(), Some(Ok(event)) if matches!(&*event, Event { .. })));
    });
}

#[test]
fn each_metric_is_described_with_its_unit() {
    recorded(|numbers| {
        let world = World::new(|builder| builder);
        world.add(JobSpec::new("tick", Interval::seconds(10)));
        world.advance(15);
        for (key, unit, description, _) in numbers.0.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let expected = if key.name().ends_with("_seconds") { "seconds" } else { "count" };
            assert_eq!(unit.map(|unit| unit.as_str()), Some(expected), "{}", key.name());
            assert!(description.is_some());
        }
    });
}

/// A world with three runs for an executor that takes one at a time, each of seven seconds.
fn crowded() -> World {
    let runtime = crate::world::at("10:00:00");
    let clock = runtime.clone();
    let world = World::new_on(runtime, |builder| {
        builder.executor("narrow", Spawn::new().limit(1)).task("slow", move || {
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(7)).await }
        })
    });
    for _ in 0..3 {
        world.add(JobSpec::now("slow").executor("narrow"));
    }
    world
}

#[test]
fn what_waits_for_its_executor_is_a_gauge() {
    recorded(|numbers| {
        let world = crowded();
        world.advance(1);
        numbers.expect("runs_waiting", &[("runs_waiting{store=default}", "2")]);
        world.advance(30);
        numbers.expect("runs_waiting", &[("runs_waiting{store=default}", "0")]);
    });
}

#[test]
fn what_waits_for_its_executor_is_late() {
    recorded(|numbers| {
        let world = crowded();
        world.advance(30);
        numbers.expect(
            "run_lateness",
            &[("run_lateness_seconds{store=default executor=narrow task=slow}", "[0.0, 7.0, 14.0]")],
        );
    });
}

#[test]
fn attempts_that_are_repeated_are_counted_beside_the_end() {
    recorded(|numbers| {
        let world = World::new(|builder| builder);
        let retry = Retry::attempts(3).backoff(Duration::from_secs(10)).jitter(0.0);
        world.add(JobSpec::now("fail").retry(retry));
        world.advance(60);
        let runs = numbers.of("runs_");
        assert_eq!(runs["runs_started_total{store=default executor=default task=fail}"], "3");
        assert_eq!(runs["runs_retried_total{store=default task=fail}"], "2");
        assert_eq!(runs["runs_ended_total{store=default task=fail verdict=error}"], "1");
    });
}
