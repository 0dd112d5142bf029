//! The simulated runtime: time is what the test makes it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::pending;
use scheduler_runtime::Runtime;
use scheduler_testkit::SimulatedRuntime;

mod keeps_its_promises {
    use super::*;

    scheduler_testkit::runtime_conformance!(
        SimulatedRuntime::starting_at(at("2026-01-01T00:00:00.123456789Z")),
        in_one_thread
    );
}

#[test]
fn time_jumps_from_sleeper_to_sleeper_and_ends_where_it_was_told() {
    let (runtime, log) = new_year();
    for minutes in [30, 10, 20] {
        note_after(&runtime, &log, minutes);
    }

    runtime.run_until(at("2026-01-01T00:25:00Z"));

    assert_eq!(log.take(), ["10 at 00:10:00", "20 at 00:20:00"]);
    assert_eq!(runtime.now().utc, at("2026-01-01T00:25:00Z"));
    assert_eq!(runtime.now().monotonic, minutes(25));
    assert_eq!(runtime.next_wake(), Some(minutes(5)));
    assert_eq!(runtime.wake_ups(), 2);

    runtime.advance(minutes(5));

    assert_eq!(log.take(), ["30 at 00:30:00"]);
    assert_eq!(runtime.next_wake(), None);
}

#[test]
fn what_falls_on_the_last_instant_runs_and_so_does_what_it_spawns() {
    let (runtime, log) = new_year();
    let (inner, notes) = (runtime.clone(), log.clone());
    runtime.spawn(Box::pin(async move {
        inner.sleep(minutes(1)).await;
        let (again, notes) = (inner.clone(), notes);
        inner.spawn(Box::pin(async move {
            again.sleep(Duration::ZERO).await;
            notes.note("grandchild", &again);
        }));
    }));

    runtime.advance(minutes(1));

    assert_eq!(log.take(), ["grandchild at 00:01:00"]);
}

#[test]
fn advancing_by_nothing_runs_what_can_run_now() {
    let (runtime, log) = new_year();
    note_after(&runtime, &log, 0);
    note_after(&runtime, &log, 1);
    assert!(log.take().is_empty());

    runtime.advance(Duration::ZERO);

    assert_eq!(log.take(), ["0 at 00:00:00"]);
    assert_eq!(runtime.now().monotonic, Duration::ZERO);
}

#[test]
fn sleepers_of_one_instant_wake_in_the_order_in_which_they_lay_down() {
    let (runtime, log) = new_year();
    for name in ["first", "second", "third"] {
        let (inner, notes) = (runtime.clone(), log.clone());
        runtime.spawn(Box::pin(async move {
            inner.sleep(minutes(1)).await;
            notes.note(name, &inner);
        }));
    }

    runtime.advance(minutes(1));

    assert_eq!(log.take(), ["first at 00:01:00", "second at 00:01:00", "third at 00:01:00"]);
}

#[test]
fn blocking_work_runs_in_its_turn_among_the_futures() {
    let (runtime, log) = new_year();
    for name in ["future", "work", "another future"] {
        let (inner, notes) = (runtime.clone(), log.clone());
        match name {
            "work" => runtime.spawn_blocking(Box::new(move || notes.note(name, &inner))),
            _ => runtime.spawn(Box::pin(async move { notes.note(name, &inner) })),
        }
    }

    runtime.advance(Duration::ZERO);

    assert_eq!(log.take(), ["future at 00:00:00", "work at 00:00:00", "another future at 00:00:00"]);
}

#[test]
fn a_step_of_the_wall_clock_moves_no_sleep() {
    let (runtime, log) = new_year();
    note_after(&runtime, &log, 10);
    runtime.advance(minutes(5));

    runtime.step_clock(TimeDelta::minutes(-60));
    runtime.advance(minutes(5));

    assert_eq!(log.take(), ["10 at 23:10:00"]);
    assert_eq!(runtime.now().monotonic, minutes(10));
}

#[test]
fn run_until_goes_by_the_wall_clock_with_the_steps_on_the_way() {
    let (runtime, log) = new_year();
    note_after(&runtime, &log, 50);
    let inner = runtime.clone();
    runtime.spawn(Box::pin(async move {
        inner.sleep(minutes(10)).await;
        inner.step_clock(TimeDelta::minutes(30));
    }));

    runtime.run_until(at("2026-01-01T01:00:00Z"));

    assert_eq!(runtime.now().monotonic, minutes(30));
    assert!(log.take().is_empty());

    runtime.run_until(at("2026-01-01T00:00:00Z"));

    assert_eq!(runtime.now().monotonic, minutes(30), "the time told has passed already");
}

#[test]
fn block_on_passes_as_much_time_as_its_future_takes_and_no_more() {
    let (runtime, log) = new_year();
    note_after(&runtime, &log, 59);
    note_after(&runtime, &log, 61);

    runtime.block_on(runtime.sleep(minutes(60)));

    assert_eq!(log.take(), ["59 at 00:59:00"]);
    assert_eq!(runtime.now().monotonic, minutes(60));
}

#[test]
fn a_reading_is_rounded_down_and_what_is_cut_off_still_counts() {
    let runtime = SimulatedRuntime::starting_at(at("2026-01-01T00:00:00.000000999Z"));
    assert_eq!(runtime.now().utc, at("2026-01-01T00:00:00Z"));

    runtime.advance(Duration::from_nanos(1));

    assert_eq!(runtime.now().utc, at("2026-01-01T00:00:00.000001Z"));
}

#[test]
fn a_dropped_simulation_drops_its_futures() {
    let held = Arc::new(());
    let (runtime, _) = new_year();
    let (inside, sleep) = (Arc::clone(&held), runtime.sleep(minutes(1)));
    runtime.spawn(Box::pin(async move {
        sleep.await;
        drop(inside);
    }));
    runtime.advance(Duration::ZERO);

    drop(runtime);

    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
#[should_panic(expected = "nothing can run and nothing sleeps")]
fn waiting_for_what_never_comes_is_a_panic_and_not_a_hang() {
    new_year().0.block_on(Box::pin(pending()));
}

#[test]
#[should_panic(expected = "a future wakes itself for ever")]
fn a_future_that_wakes_itself_for_ever_is_a_panic_and_not_a_hang() {
    let (runtime, _) = new_year();
    runtime.spawn(Box::pin(std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })));
    runtime.advance(Duration::ZERO);
}

#[test]
#[should_panic(expected = "from inside of one of its futures")]
fn driving_the_simulation_from_inside_of_it_is_a_panic_and_not_a_hang() {
    let (runtime, _) = new_year();
    let inner = runtime.clone();
    runtime.block_on(Box::pin(async move { inner.advance(minutes(1)) }));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: &str, runtime: &SimulatedRuntime) {
        let line = format!("{what} at {}", runtime.now().utc.format("%H:%M:%S"));
        self.0.lock().expect("notes do not panic").push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("notes do not panic"))
    }
}

fn new_year() -> (SimulatedRuntime, Log) {
    (SimulatedRuntime::starting_at(at("2026-01-01T00:00:00Z")), Log::default())
}

fn note_after(runtime: &SimulatedRuntime, log: &Log, wait: u64) {
    let (inner, notes) = (runtime.clone(), log.clone());
    let sleep = runtime.sleep(minutes(wait));
    runtime.spawn(Box::pin(async move {
        sleep.await;
        notes.note(&wait.to_string(), &inner);
    }));
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}
