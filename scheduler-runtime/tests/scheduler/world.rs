//! A scheduler on the virtual clock, and a transcript of what it tells.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_core::{Error, Event, EventKind, EventMask, Outdated, Removal, RunRef};
use scheduler_runtime::{Builder, Runtime, Scheduler};
use scheduler_testkit::SimulatedRuntime;

/// A scheduler that starts its life at ten o'clock on a Saturday.
pub(crate) struct World {
    pub(crate) runtime: SimulatedRuntime,
    pub(crate) scheduler: Scheduler,
    log: Log,
}

impl World {
    /// A scheduler that has not been started, with what `with` adds to it.
    pub(crate) fn stopped(with: impl FnOnce(Builder) -> Builder) -> Self {
        Self::stopped_on(at("10:00:00"), with)
    }

    fn stopped_on(runtime: SimulatedRuntime, with: impl FnOnce(Builder) -> Builder) -> Self {
        let log = Log::default();
        let told = log.clone();
        let builder = Scheduler::builder(runtime.clone())
            .listener(EventMask::ALL, move |event| told.write(line(event)))
            // So that what happens at one instant is told at that instant.
            .accuracy(Duration::ZERO)
            .task("tick", || async {})
            .task("fail", || async { Err::<(), _>("disk full") });
        let scheduler = with(builder).build().unwrap();
        let world = Self { runtime, scheduler, log };
        world.advance(0);
        world.told();
        world
    }

    /// A scheduler that runs, with what `with` adds to it.
    pub(crate) fn new(with: impl FnOnce(Builder) -> Builder) -> Self {
        Self::new_on(at("10:00:00"), with)
    }

    /// The same on a clock that its tasks know as well.
    pub(crate) fn new_on(runtime: SimulatedRuntime, with: impl FnOnce(Builder) -> Builder) -> Self {
        let world = Self::stopped_on(runtime, with);
        world.wait(world.scheduler.start()).unwrap();
        world.told();
        world
    }

    /// Another scheduler in the same world, running.
    pub(crate) fn beside(&self, with: impl FnOnce(Builder) -> Builder) -> Self {
        let world = Self::stopped_on(self.runtime.clone(), with);
        world.wait(world.scheduler.start()).unwrap();
        world.told();
        world
    }

    /// Lives until a call has its answer, and through the rest of that instant.
    pub(crate) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        let answer = block_on(&self.runtime, call);
        self.advance(0);
        answer
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.runtime.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn add(&self, spec: scheduler_core::JobSpec) -> scheduler_runtime::Job {
        self.wait(self.scheduler.add_job(spec)).unwrap()
    }

    pub(crate) fn refused(&self, spec: scheduler_core::JobSpec) -> Error {
        self.wait(self.scheduler.add_job(spec)).expect_err("the job is refused")
    }

    /// The events since the last look.
    pub(crate) fn told(&self) -> Vec<String> {
        self.log.read()
    }

    /// Where tasks of a test write into the transcript.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }
}

/// Lines in the order in which they were written.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The virtual clock at a time of the day on which the tests play, a Saturday.
pub(crate) fn at(time: &str) -> SimulatedRuntime {
    SimulatedRuntime::starting_at(clock(time))
}

/// A time of that day.
pub(crate) fn clock(time: &str) -> DateTime<Utc> {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

pub(crate) fn block_on<T>(runtime: &dyn Runtime, call: impl Future<Output = T>) -> T {
    let mut answer = None;
    runtime.block_on(Box::pin(async { answer = Some(call.await) }));
    answer.expect("block_on returns when its future has ended")
}

/// An event as a line: its time, what happened, to what.
pub(crate) fn line(event: &Event) -> String {
    format!("{} {}", time(event.at), what(&event.kind))
}

fn what(kind: &EventKind) -> String {
    match kind {
        EventKind::SchedulerStarted => "started".to_owned(),
        EventKind::SchedulerShutdown => "shut down".to_owned(),
        EventKind::SchedulerFailed { error } => format!("failed: {error}"),
        EventKind::SchedulerPaused => "paused".to_owned(),
        EventKind::SchedulerResumed => "resumed".to_owned(),
        EventKind::ExecutorAdded(name) => format!("executor {name} added"),
        EventKind::ExecutorRemoved(name) => format!("executor {name} removed"),
        EventKind::StoreAdded(name) => format!("store {name} added"),
        EventKind::StoreRemoved(name) => format!("store {name} removed"),
        EventKind::AllJobsRemoved { store, count } => format!("all {count} jobs of {store} removed"),
        EventKind::JobAdded(job) => format!("added {}", job.id),
        EventKind::JobRemoved { job, reason: Removal::Requested } => format!("removed {}", job.id),
        EventKind::JobRemoved { job, reason: Removal::Finished } => format!("finished {}", job.id),
        EventKind::JobModified(job) => format!("modified {}", job.id),
        EventKind::JobPaused { job, pause } => {
            let said = [&pause.by, &pause.note].into_iter().flatten().map(|it| format!(", {it}")).collect::<String>();
            format!("paused {}{said}", job.id)
        }
        EventKind::JobWaiting { job, key } => format!("waiting {} for {key}", job.id),
        EventKind::JobQuarantined { job, reason, .. } => format!("quarantined {job}: {reason}"),
        EventKind::JobDeclined { job, reason, .. } => format!("declined {job}: {reason}"),
        EventKind::RunSubmitted(run) => format!("submitted {}", fire_time(run)),
        EventKind::RunQueued(run) => format!("queued {}", fire_time(run)),
        EventKind::RunExecuted { run, output, .. } if output.is_null() => format!("executed {}", fire_time(run)),
        EventKind::RunExecuted { run, output, .. } => format!("executed {} -> {output}", fire_time(run)),
        EventKind::RunError { run, error, .. } => format!("error {}: {error}", fire_time(run)),
        EventKind::RunTimeout { run, .. } => format!("timeout {}", fire_time(run)),
        EventKind::RunRetried { run, error, due, .. } => {
            format!("retried {} at {}: {error}", fire_time(run), time(*due))
        }
        EventKind::RunCancelled(run) => format!("cancelled {}", fire_time(run)),
        EventKind::RunLost(run) => format!("lost {}", fire_time(run)),
        EventKind::RunCoalesced(run) => format!("coalesced {}", fire_time(run)),
        EventKind::RunMissed(run) => format!("missed {}", fire_time(run)),
        EventKind::RunSkipped(run) => format!("skipped {}", fire_time(run)),
        EventKind::RunTakenOver(run) => format!("taken over {}", fire_time(run)),
        EventKind::RunOverran { run, .. } => format!("overran {}", fire_time(run)),
        EventKind::LoopHeldUp { by, duration } => format!("held up for {duration:?} by {by}"),
        EventKind::RunTakenAway(run) => format!("taken away {}", fire_time(run)),
        EventKind::RunGivenBack(run) => format!("given back {}", fire_time(run)),
        EventKind::StoreFailed { store, error, .. } => format!("store {store} failed: {error}"),
        EventKind::StoreRecovered(store) => format!("store {store} recovered"),
        EventKind::FireTimeCorrected { job, outdated: Outdated::LateByOtherZoneRules { kept, right } } => {
            format!("late {}: {kept} instead of {right}", job.id)
        }
        EventKind::FireTimeCorrected { job, outdated } => {
            format!("corrected {}: {} to {}", job.id, outdated.kept(), outdated.right())
        }
        EventKind::ClockStepped { clock, by } => format!("clock of {clock:?} stepped {}s", by.as_seconds_f64()),
        EventKind::ListenerFailed { error } => format!("listener failed: {error}"),
        other => format!("{other:?}"),
    }
}

/// `job@fire time`, a range as `job@first..last (count)`, an attempt after the first as `#2`.
fn fire_time(run: &RunRef) -> String {
    let id = &run.job.id;
    let attempt = if run.attempt > 1 { format!(" #{}", run.attempt) } else { String::new() };
    match (run.first, run.count) {
        (Some(first), Some(count)) => format!("{id}@{}..{} ({count})", time(first), time(run.fire_time)),
        (Some(first), None) => format!("{id}@{}..{}", time(first), time(run.fire_time)),
        (None, _) => format!("{id}@{}{attempt}", time(run.fire_time)),
    }
}

pub(crate) fn time(at: DateTime<Utc>) -> String {
    let text = at.format("%H:%M:%S%.3f").to_string();
    text.strip_suffix(".000").unwrap_or(&text).to_owned()
}
