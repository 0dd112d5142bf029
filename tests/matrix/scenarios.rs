//! One body for each promise.

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use apscheduler::{
    Conflict, Delivery, ErrorKind, EventKind, EventMask, Failures, JobChange, JobSpec, JobState, Overlap, Retry,
    RunContext, RunId, Scheduler, ShutdownMode, SystemClock, Verdict,
    executors::{ThreadPool, blocking, task},
    stores::MemoryStore,
    trigger::{Cron, Date, First, Interval},
};
use chrono::{SubsecRound, TimeDelta, Utc};

use crate::stage::{DEADLINE, Mortal, Stage};

fn millis(n: u64) -> Interval {
    Interval::every(Duration::from_millis(n))
}

pub(crate) fn an_interval_job_runs_again_and_again_at_its_fire_times(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.start().await.unwrap();
        let job = scheduler.add_job(JobSpec::new("tick", millis(100)).id("clock")).await.unwrap();
        let first = job.next_fire_time.unwrap();

        let mut last = None;
        for _ in 0..3 {
            let event = stage.next(&mut events).await;
            let run = event.kind.run().unwrap();
            assert!(event.at >= run.fire_time, "never early");
            assert_eq!((run.fire_time - first).num_microseconds().unwrap() % 100_000, 0, "on the grid");
            assert!(last < Some(run.fire_time), "in order, none twice");
            last = Some(run.fire_time);
        }
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_cron_job_fires_each_second_it_names(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.start().await.unwrap();
        let cron = Cron::quartz("* * * ? * *").unwrap();
        scheduler.add_job(JobSpec::new("tick", cron).id("clock")).await.unwrap();

        for _ in 0..2 {
            let event = stage.next(&mut events).await;
            let fire_time = event.kind.run().unwrap().fire_time;
            assert_eq!(fire_time, fire_time.trunc_subsecs(0));
            assert!(event.at >= fire_time);
        }
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_one_shot_runs_at_once_and_goes(stage: &Stage) {
    stage.run(async {
        let double = |n: u32| async move { n * 2 };
        let scheduler = stage.builder().await.task("double", double).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED | EventMask::JOB_REMOVED);
        scheduler.start().await.unwrap();

        scheduler.add_job(JobSpec::now("double").id("once").args(21)).await.unwrap();

        let event = stage.next(&mut events).await;
        assert!(matches!(&event.kind, EventKind::RunExecuted { output, .. } if *output == 42), "{event:?}");
        let event = stage.next(&mut events).await;
        assert!(matches!(&event.kind, EventKind::JobRemoved { job, .. } if job.id == "once"), "{event:?}");
        assert!(scheduler.job("once").await.unwrap().is_none());
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn jobs_are_added_listed_changed_and_removed(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.build().unwrap();
        let every = |hours| JobSpec::new("tick", Interval::hours(hours));
        let added = scheduler.add_jobs(vec![every(2).id("two"), every(1).id("one"), every(3).id("three")]).await;
        assert!(added.iter().all(Result::is_ok), "{added:?}");
        scheduler.start_paused().await.unwrap();

        let ids = || async {
            let jobs = scheduler.jobs().await.unwrap();
            jobs.iter().map(|job| job.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids().await, ["one", "two", "three"]);
        let one = scheduler.job("one").await.unwrap().unwrap();
        let one = one.modify(JobChange::default().name("First").max_instances(2)).await.unwrap();
        assert_eq!((one.body.display_name(), one.body.options.max_instances.get()), ("First", 2));
        let one = one.reschedule(Interval::hours(4)).await.unwrap();
        assert_eq!(ids().await, ["two", "three", "one"]);
        let one = one.pause().await.unwrap();
        assert_eq!((&one.state, one.next_fire_time), (&JobState::Paused, None));
        let one = one.resume().await.unwrap();
        assert_eq!(one.state, JobState::Active);
        one.remove().await.unwrap();
        assert!(one.refresh().await.unwrap_err().is_not_found());
        assert_eq!(scheduler.remove_all_jobs().await, Ok(2));
        assert_eq!(ids().await, Vec::<String>::new());
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_job_of_the_same_id_is_refused_kept_or_replaced(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.build().unwrap();
        let spec = |hours| JobSpec::new("tick", Interval::hours(hours)).id("report");
        let first = scheduler.add_job(spec(1).name("first")).await.unwrap();

        let error = scheduler.add_job(spec(2)).await.unwrap_err();
        assert!(error.is_conflict() && error.to_string().contains("`report`"), "{error}");
        let kept = scheduler.add_job(spec(2).on_conflict(Conflict::Keep)).await.unwrap();
        assert_eq!((kept.uid, kept.body.display_name()), (first.uid, "first"));
        let same = scheduler.add_job(spec(1).name("second").on_conflict(Conflict::Replace)).await.unwrap();
        assert_eq!((same.next_fire_time, same.body.display_name()), (first.next_fire_time, "second"));
        let other = scheduler.add_job(spec(3).on_conflict(Conflict::Replace)).await.unwrap();
        assert!(other.next_fire_time > first.next_fire_time);
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_blocking_task_does_not_hold_up_the_others(stage: &Stage) {
    stage.run(async {
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let block = move || gate.lock().unwrap().recv_timeout(DEADLINE).map_err(|error| error.to_string());
        let scheduler = stage.builder().await.blocking_task("block", block).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR);
        scheduler.start().await.unwrap();

        scheduler.add_job(JobSpec::now("block").id("blocked")).await.unwrap();
        scheduler.add_job(JobSpec::now("tick").id("free")).await.unwrap();
        let event = stage.next(&mut events).await;
        assert_eq!(event.kind.run().unwrap().job.id, "free");
        open.send(()).unwrap();

        let event = stage.next(&mut events).await;
        assert!(matches!(&event.kind, EventKind::RunExecuted { run, .. } if run.job.id == "blocked"), "{event:?}");
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_thread_pool_runs_tasks_of_both_kinds(stage: &Stage) {
    stage.run(async {
        let here = || thread::current().name().unwrap_or_default().to_owned();
        let builder = stage.builder().await.executor("pool", ThreadPool::new());
        let scheduler = builder
            .register(task("async", move || async move { here() }))
            .register(blocking("blocking", here))
            .build()
            .unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED | EventMask::RUN_ERROR);
        scheduler.start().await.unwrap();

        for name in ["async", "blocking"] {
            scheduler.add_job(JobSpec::now(name).executor("pool")).await.unwrap();
        }

        let mut threads = Vec::new();
        for _ in 0..2 {
            let event = stage.next(&mut events).await;
            let EventKind::RunExecuted { output, .. } = &event.kind else { panic!("{event:?}") };
            threads.push(output.as_str().unwrap().to_owned());
        }
        assert_eq!(threads[0].trim_end_matches(char::is_numeric), threads[1].trim_end_matches(char::is_numeric));
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn errors_and_panics_are_told_and_kept_in_the_history(stage: &Stage) {
    async fn fail() -> Result<(), &'static str> {
        Err("disk full")
    }
    async fn panics() {
        panic!("(this panic is part of the test)")
    }
    stage.run(async {
        let scheduler = stage.builder().await.task("fail", fail).task("panic", panics).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_ERROR);
        scheduler.start().await.unwrap();

        for (task, error) in [("fail", "disk full"), ("panic", "panicked: (this panic is part of the test)")] {
            let spec = JobSpec::new(task, Interval::hours(1).first(First::Now)).id(task);
            let job = scheduler.add_job(spec).await.unwrap();
            let event = stage.next(&mut events).await;
            assert!(matches!(&event.kind, EventKind::RunError { error: told, .. } if told == error), "{event:?}");
            let runs = job.runs(10).await.unwrap();
            assert_eq!(runs.len(), 1);
            assert_eq!((runs[0].verdict(), runs[0].error.as_deref()), (Some(Verdict::Error), Some(error)));
            assert_eq!(job.refresh().await.unwrap().totals.of(Verdict::Error), 1);
        }
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_failed_run_is_retried_until_it_succeeds(stage: &Stage) {
    stage.run(async {
        let moody = |context: RunContext| async move {
            if context.attempt < 3 { Err(format!("not at {}", context.attempt)) } else { Ok(context.attempt) }
        };
        let scheduler = stage.builder().await.task("moody", moody).build().unwrap();
        let mask = EventMask::RUN_SUBMITTED | EventMask::RUN_RETRIED | EventMask::RUN_EXECUTED | EventMask::RUN_ERROR;
        let mut events = scheduler.events(mask);
        scheduler.start().await.unwrap();
        let retry = Retry::attempts(5).backoff(Duration::from_millis(20));
        let spec = JobSpec::new("moody", Interval::hours(1).first(First::Now)).id("moody").retry(retry);
        let job = scheduler.add_job(spec).await.unwrap();

        for attempt in 1..=3 {
            let event = stage.next(&mut events).await;
            assert!(matches!(&event.kind, EventKind::RunSubmitted(run) if run.attempt == attempt), "{event:?}");
            let event = stage.next(&mut events).await;
            let run = event.kind.run().unwrap();
            assert_eq!((run.run.seq, run.attempt), (1, attempt));
            match &event.kind {
                EventKind::RunRetried { error, .. } => assert_eq!(*error, format!("not at {attempt}")),
                EventKind::RunExecuted { output, .. } => assert_eq!((output, attempt), (&3.into(), 3)),
                other => panic!("{other:?}"),
            }
        }
        let runs = job.runs(10).await.unwrap();
        assert_eq!((runs.len(), runs[0].verdict(), runs[0].attempt), (1, Some(Verdict::Ok), 3));
        assert_eq!(job.refresh().await.unwrap().totals.sum(), 1, "a fire time has one verdict");
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_run_that_takes_too_long_is_timed_out(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.task("hang", std::future::pending::<()>).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_RETRIED | EventMask::RUN_TIMEOUT);
        scheduler.start().await.unwrap();
        let spec = JobSpec::new("hang", Interval::hours(1).first(First::Now)).id("hang");
        let retry = Retry::attempts(2).backoff(Duration::from_millis(20)).on(Failures::TIMEOUT);
        let job = scheduler.add_job(spec.timeout(Duration::from_millis(50)).retry(retry)).await.unwrap();

        let event = stage.next(&mut events).await;
        assert!(matches!(&event.kind, EventKind::RunRetried { run, .. } if run.attempt == 1), "{event:?}");
        let event = stage.next(&mut events).await;
        let EventKind::RunTimeout { run, duration } = &event.kind else { panic!("{event:?}") };
        assert!(run.attempt == 2 && *duration >= Duration::from_millis(50), "{event:?}");
        let runs = job.runs(10).await.unwrap();
        assert_eq!((runs.len(), runs[0].verdict()), (1, Some(Verdict::Timeout)));
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn shutting_down_waits_for_running_runs(stage: &Stage) {
    stage.run(async {
        let runtime = Arc::clone(&stage.runtime);
        let nap = move || {
            let runtime = Arc::clone(&runtime);
            async move { runtime.sleep(Duration::from_millis(200)).await }
        };
        let scheduler = stage.builder().await.task("nap", nap).build().unwrap();
        // Not that the job was added: it may start before `add_job` has its answer.
        let mask = EventMask::RUN_SUBMITTED | EventMask::RUN_EXECUTED | EventMask::SCHEDULER_SHUTDOWN;
        let mut events = scheduler.events(mask);
        scheduler.start().await.unwrap();
        scheduler.add_job(JobSpec::new("nap", Interval::hours(1).first(First::Now)).id("nap")).await.unwrap();
        while !matches!(stage.next(&mut events).await.kind, EventKind::RunSubmitted(_)) {}

        stage.within(scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();

        let kinds = [stage.next(&mut events).await, stage.next(&mut events).await];
        assert!(matches!(&kinds[0].kind, EventKind::RunExecuted { .. }), "{kinds:?}");
        assert!(matches!(&kinds[1].kind, EventKind::SchedulerShutdown), "{kinds:?}");
        assert_eq!(events.next().await, None);
        assert_eq!(scheduler.start().await.unwrap_err().kind(), ErrorKind::ShutDown);
    });
}

pub(crate) fn a_restart_on_the_same_store_catches_up(stage: &Stage) {
    stage.run(async {
        let first = stage.builder().await.build().unwrap();
        first.start_paused().await.unwrap();
        let hour_ago = Utc::now() - TimeDelta::hours(1);
        let spec = JobSpec::new("tick", Interval::minutes(10).starting_at(hour_ago)).id("clock");
        let job = first.add_job(spec.first_fire_time(hour_ago)).await.unwrap();
        let due = job.next_fire_time.unwrap();
        stage.within(first.shutdown(ShutdownMode::Wait)).await.unwrap();

        let second = stage.builder().await.build().unwrap();
        let mut events = second.events(EventMask::RUN_COALESCED | EventMask::RUN_EXECUTED);
        second.start().await.unwrap();

        let event = stage.next(&mut events).await;
        let EventKind::RunCoalesced(given_up) = &event.kind else { panic!("{event:?}") };
        assert_eq!((given_up.first, given_up.count), (Some(due), Some(6)));
        let event = stage.next(&mut events).await;
        let run = event.kind.run().unwrap();
        assert_eq!(run.fire_time, due + TimeDelta::hours(1));
        let job = second.job("clock").await.unwrap().unwrap();
        assert_eq!(job.next_fire_time, Some(due + TimeDelta::minutes(70)));
        assert_eq!((job.totals.of(Verdict::Coalesced), job.totals.of(Verdict::Ok)), (6, 1));
        stage.within(second.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn several_nodes_never_run_a_fire_time_twice(stage: &Stage) {
    const JOBS: usize = 5;
    stage.run(async {
        let (told, tells) = mpsc::channel();
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let told = told.clone();
            let note = move |context: RunContext| {
                let told = told.clone();
                async move { told.send((context.run_id, context.attempt, context.fire_time)).map_err(|_| "nobody listens") }
            };
            let node = stage.builder().await.task("note", note).build().unwrap();
            node.start().await.unwrap();
            nodes.push(node);
        }
        let mut events: Vec<_> = nodes.iter().map(|node| node.events(EventMask::RUN_EXECUTED)).collect();
        let first = Utc::now();
        for n in 0..JOBS {
            let spec = JobSpec::new("note", millis(100).starting_at(first)).id(format!("{n}"));
            nodes[n % nodes.len()].add_job(spec).await.unwrap();
        }

        for _ in 0..60 {
            let next: Vec<_> = events.iter_mut().map(|events| Box::pin(events.next())).collect();
            stage.within(futures_util::future::select_all(next)).await.0.unwrap().unwrap();
        }
        for node in &nodes {
            stage.within(node.shutdown(ShutdownMode::Wait)).await.unwrap();
        }

        let started: Vec<(RunId, u32, _)> = tells.try_iter().collect();
        let distinct: BTreeSet<_> = started.iter().map(|(run, ..)| (run.uid, run.seq)).collect();
        assert_eq!(distinct.len(), started.len(), "a run was started twice: {started:?}");
        let fire_times: BTreeSet<_> = started.iter().map(|(run, _, fire_time)| (run.uid, *fire_time)).collect();
        assert_eq!(fire_times.len(), started.len(), "a fire time was run twice: {started:?}");
        assert!(started.iter().all(|(_, attempt, _)| *attempt == 1), "{started:?}");
    });
}

pub(crate) fn a_job_added_on_one_node_wakes_another(stage: &Stage) {
    // Nothing but the news of the job makes an idle node look before half a lease has passed.
    let lease = Duration::from_secs(600);
    stage.run(async {
        let idle = stage.builder().await.lease(lease).build().unwrap();
        let mut events = idle.events(EventMask::RUN_EXECUTED);
        idle.start().await.unwrap();
        let client = stage.builder().await.lease(lease).build().unwrap();
        for n in 0..2 {
            client.add_job(JobSpec::now("tick").id(format!("{n}"))).await.unwrap();
            let event = stage.next(&mut events).await;
            assert_eq!(event.kind.run().unwrap().job.id, format!("{n}").as_str());
        }
        idle.shutdown(ShutdownMode::Wait).await.unwrap();
        client.shutdown(ShutdownMode::Wait).await.unwrap();
    });
}

pub(crate) fn a_node_that_vanishes_is_taken_over_after_its_lease(stage: &Stage) {
    let lease = Duration::from_millis(400);
    stage.run(async {
        let mortal = Mortal::on(&stage.runtime);
        let hang = std::future::pending::<()>;
        let builder = stage.builder_on(Arc::new(mortal.clone())).await.lease(lease);
        let first = builder.task("work", hang).build().unwrap();
        let mut events = first.events(EventMask::RUN_SUBMITTED);
        first.start().await.unwrap();
        let spec = JobSpec::new("work", Date::at(Utc::now())).id("once").delivery(Delivery::AtLeastOnce);
        first.add_job(spec).await.unwrap();
        let begun = stage.next(&mut events).await;
        let before = begun.kind.run().unwrap().clone();

        let attempt = |context: RunContext| async move { context.attempt };
        let second = stage.builder().await.lease(lease).task("work", attempt).build().unwrap();
        let mut events = second.events(EventMask::RUN_EXECUTED);
        second.start().await.unwrap();
        mortal.die();

        let event = stage.next(&mut events).await;
        let EventKind::RunExecuted { run, output, .. } = &event.kind else { panic!("{event:?}") };
        assert_eq!((run.run, run.fire_time, run.attempt), (before.run, before.fire_time, 2));
        assert_eq!(*output, 2);
        // No sooner than the lease could have passed.
        assert!(event.at - begun.at >= TimeDelta::milliseconds(400), "{} after {}", event.at, begun.at);
        stage.within(second.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn a_job_is_run_now_beside_its_schedule(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.start().await.unwrap();
        let job = scheduler.add_job(JobSpec::new("tick", Interval::hours(1)).id("clock")).await.unwrap();

        let mut asked_for = Vec::new();
        for n in 0..2 {
            if n == 1 {
                job.pause().await.unwrap();
            }
            asked_for.push(job.run_now().await.unwrap());
            let event = stage.next(&mut events).await;
            assert_eq!(event.kind.run().unwrap().run, asked_for[n]);
        }

        let job = job.resume().await.unwrap();
        assert_eq!((&job.state, job.totals.of(Verdict::Ok)), (&JobState::Active, 2));
        let runs = job.runs(10).await.unwrap();
        assert_eq!(runs.iter().rev().map(|run| run.id).collect::<Vec<_>>(), asked_for);
        stage.within(scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn a_running_run_is_cancelled(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.task("hang", std::future::pending::<()>).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_SUBMITTED | EventMask::RUN_CANCELLED);
        scheduler.start().await.unwrap();
        let spec = JobSpec::new("hang", Interval::hours(1).first(First::Now)).id("long").overlap(Overlap::Queue(1));
        let job = scheduler.add_job(spec).await.unwrap();
        let event = stage.next(&mut events).await;
        let running = event.kind.run().unwrap().run;
        let waiting = job.run_now().await.unwrap();

        // First the one that waits, so that it cannot start in the other's place.
        for run in [waiting, running] {
            // As it comes over HTTP.
            let id: RunId = run.to_string().parse().unwrap();
            scheduler.cancel_run("long", id).await.unwrap();
            let event = stage.next(&mut events).await;
            assert!(matches!(&event.kind, EventKind::RunCancelled(told) if told.run == run), "{event:?}");
        }

        let verdicts: Vec<_> = job.runs(10).await.unwrap().iter().map(|run| run.verdict()).collect();
        assert_eq!(verdicts, [Some(Verdict::Cancelled); 2]);
        assert_eq!(job.cancel_run(running).await, Ok(()));
        assert!(job.cancel_run(RunId { seq: 9, ..running }).await.unwrap_err().is_not_found());
        assert!(scheduler.cancel_run("other", running).await.unwrap_err().is_not_found());
        stage.within(scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn a_run_on_another_node_is_cancelled(stage: &Stage) {
    // Nothing but the news of the request makes the node look before a third of that has passed.
    let lease = Duration::from_secs(600);
    stage.run(async {
        let hang = std::future::pending::<()>;
        let runner = stage.builder().await.lease(lease).task("hang", hang).build().unwrap();
        let mut events = runner.events(EventMask::RUN_SUBMITTED | EventMask::RUN_CANCELLED);
        runner.start().await.unwrap();
        let client = stage.builder().await.lease(lease).task("hang", hang).build().unwrap();
        client.add_job(JobSpec::now("hang").id("once")).await.unwrap();
        let event = stage.next(&mut events).await;
        let run = event.kind.run().unwrap().run;

        client.cancel_run("once", run).await.unwrap();

        let event = stage.next(&mut events).await;
        assert!(matches!(&event.kind, EventKind::RunCancelled(told) if told.run == run), "{event:?}");
        stage.within(runner.shutdown(ShutdownMode::Wait)).await.unwrap();
        stage.within(client.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn several_stores_are_used_at_once(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.store("scratch", MemoryStore::new()).build().unwrap();
        let mut events = scheduler.events(EventMask::RUN_EXECUTED);
        scheduler.start().await.unwrap();

        for store in ["default", "scratch"] {
            scheduler.in_store(store).add_job(JobSpec::now("tick").id("same")).await.unwrap();
        }

        let (one, two) = (stage.next(&mut events).await, stage.next(&mut events).await);
        let stores: BTreeSet<_> = [&one, &two].map(|event| event.kind.run().unwrap().job.store.to_string()).into();
        assert_eq!(stores, BTreeSet::from(["default".to_owned(), "scratch".to_owned()]));
        stage.within(scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

pub(crate) fn jobs_move_between_stores(stage: &Stage) {
    stage.run(async {
        let scheduler = stage.builder().await.store("scratch", MemoryStore::new()).build().unwrap();
        let (here, there) = (scheduler.in_store("default"), scheduler.in_store("scratch"));
        let spec = |id: &str| JobSpec::new("tick", Interval::hours(1)).id(id).name("a 'name' \"ü\"").max_instances(3);
        let first = here.add_job(spec("clock").delivery(Delivery::AtLeastOnce)).await.unwrap();
        here.add_job(spec("resting").paused()).await.unwrap();
        let before = here.export_jobs().await.unwrap();

        for (from, to) in [(&here, &there), (&there, &here)] {
            let json = serde_json::to_string(&from.export_jobs().await.unwrap()).unwrap();
            assert_eq!(from.remove_all_jobs().await, Ok(2));
            let added = to.import_jobs(serde_json::from_str(&json).unwrap(), Conflict::Error).await;
            assert!(added.iter().all(Result::is_ok), "{added:?}");
            assert_eq!(to.export_jobs().await.unwrap(), before);
        }

        let clock = here.job("clock").await.unwrap().unwrap();
        assert_eq!((&clock.body, clock.next_fire_time), (&first.body, first.next_fire_time));
        let again = here.import_jobs(before, Conflict::Error).await;
        assert!(again.iter().all(|added| added.as_ref().is_err_and(|error| error.is_conflict())), "{again:?}");
        stage.within(scheduler.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
}

/// A task that tells of itself, and where it does so.
fn telling() -> (impl Fn() -> Result<(), String> + Clone + Send + Sync + 'static, mpsc::Receiver<()>) {
    let (told, tells) = mpsc::channel();
    (move || told.send(()).map_err(|error| error.to_string()), tells)
}

pub(crate) fn a_background_scheduler_runs_jobs(stage: &Stage) {
    let (tell, tells) = telling();
    let scheduler = stage.run(stage.builder()).blocking_task("tell", tell).background().unwrap();
    scheduler.start().unwrap();

    let job = scheduler.add_job(JobSpec::new("tell", millis(50)).id("clock")).unwrap();
    for _ in 0..3 {
        tells.recv_timeout(DEADLINE).unwrap();
    }
    job.pause().unwrap();

    assert_eq!(scheduler.jobs().unwrap()[0].state, JobState::Paused);
    scheduler.shutdown(ShutdownMode::Wait).unwrap();
    assert!(!scheduler.is_running());
}

pub(crate) fn a_blocking_scheduler_runs_until_it_is_shut_down(stage: &Stage) {
    let scheduler = stage.run(stage.builder()).blocking().unwrap();
    let handle = scheduler.handle();
    let stop = move || {
        let handle: Scheduler = handle.clone();
        async move { handle.begin_shutdown(ShutdownMode::Wait) }
    };
    scheduler.add_task(task("stop", stop)).unwrap();
    scheduler.add_job(JobSpec::new("stop", millis(50)).id("stop")).unwrap();

    scheduler.start().unwrap();

    assert!(!scheduler.is_running());
}

pub(crate) fn a_local_scheduler_runs_tasks_that_are_not_send(stage: &Stage) {
    let scheduler = stage.run(stage.builder()).local().unwrap();
    let here = thread::current().id();
    let count = Rc::new(Cell::new(0));
    let (counts, handle) = (Rc::clone(&count), scheduler.handle());
    let tick = move || {
        let (count, handle) = (Rc::clone(&counts), handle.clone());
        async move {
            assert_eq!(thread::current().id(), here);
            count.set(count.get() + 1);
            if count.get() == 3 { handle.begin_shutdown(ShutdownMode::Wait) } else { Ok(()) }
        }
    };
    scheduler.task("count", tick).unwrap();
    scheduler.add_job(JobSpec::new("count", millis(50)).id("count")).unwrap();

    scheduler.run().unwrap();

    assert_eq!(count.get(), 3);
}

pub(crate) fn a_pumped_scheduler_runs_within_the_loop_of_its_host(stage: &Stage) {
    let scheduler = stage.run(stage.builder()).pumped().unwrap();
    let (wake, wakes) = mpsc::channel();
    scheduler.on_wake(move || _ = wake.send(()));
    let here = thread::current().id();
    let count = Rc::new(Cell::new(0));
    let (counts, handle) = (Rc::clone(&count), scheduler.handle());
    let tick = move || {
        let (count, handle) = (Rc::clone(&counts), handle.clone());
        async move {
            assert_eq!(thread::current().id(), here);
            count.set(count.get() + 1);
            if count.get() == 3 { handle.begin_shutdown(ShutdownMode::Wait) } else { Ok(()) }
        }
    };
    scheduler.task("count", tick).unwrap();
    let handle = scheduler.handle();
    scheduler.spawn_local(async move {
        handle.add_job(JobSpec::new("count", millis(50)).id("count")).await.unwrap();
        handle.start().await.unwrap();
    });

    let begun = SystemClock::now().monotonic;
    loop {
        let wait = scheduler.pump(SystemClock::now());
        if scheduler.is_ended() {
            break;
        }
        assert!(SystemClock::now().monotonic - begun < DEADLINE, "the store's answers wake the host");
        // Woken or not, it is time to pump.
        let _ = wakes.recv_timeout(wait.unwrap_or(DEADLINE));
    }

    assert_eq!(count.get(), 3);
}
