//! Finding jobs and runs over all stores, and changing groups of jobs.

use std::time::Duration;

use scheduler_core::{
    ErrorKind, JobChange, JobSpec, JobState, Verdict,
    store::{JobFilter, JobOrder, JobStateKind, RunFilter, RunStateKind},
    trigger::Interval,
};
use scheduler_runtime::{Cursor, FoundJobs, FoundRuns, GroupDone, Page};
use scheduler_stores::MemoryStore;

use crate::world::{World, clock, time};

/// Jobs of two tenants in two stores.
fn world() -> World {
    let world = World::new(|builder| builder.store("other", MemoryStore::new()).node_label("zone", "eu-1"));
    for (id, tag, store, seconds) in [
        ("42/a", "tenant:42", "default", 30),
        ("42/b", "tenant:42", "other", 10),
        ("42/c", "tenant:42", "default", 20),
        ("43/a", "tenant:43", "default", 10),
        ("43/b", "tenant:43", "other", 40),
    ] {
        world.add(JobSpec::new("tick", Interval::seconds(seconds)).id(id).store(store).tags([tag, "billing"]));
    }
    world.told();
    world
}

fn found(world: &World, filter: JobFilter) -> Vec<String> {
    world.wait(world.scheduler.find_jobs(filter)).unwrap().iter().map(|job| job.id.to_string()).collect()
}

fn ids(found: &FoundJobs) -> Vec<&str> {
    found.jobs.iter().map(|job| job.id.as_str()).collect()
}

#[test]
fn jobs_are_found_by_a_filter_in_all_stores_and_come_by_next_fire_time() {
    let world = world();
    assert_eq!(found(&world, JobFilter::new().tag("tenant:42")), ["42/b", "42/c", "42/a"]);
    assert_eq!(found(&world, JobFilter::new().tag("billing").id_prefix("43/")), ["43/a", "43/b"]);
    assert_eq!(found(&world, JobFilter::new().text("ENANT:43").task("tick")), ["43/a", "43/b"]);
    assert_eq!(found(&world, JobFilter::new().state(JobStateKind::Paused)), [""; 0]);

    let other = world.scheduler.in_store("other");
    let jobs = world.wait(other.find_jobs(JobFilter::new().tag("tenant:42"))).unwrap();
    assert_eq!(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["42/b"]);
    let counts = world.wait(world.scheduler.count_jobs(JobFilter::new())).unwrap();
    assert_eq!((counts.active, counts.total()), (5, 5));
    let nowhere = world.scheduler.in_store("nowhere");
    assert_eq!(world.wait(nowhere.count_jobs(JobFilter::new())).unwrap_err().kind(), ErrorKind::UnknownStore);
}

#[test]
fn pages_over_several_stores_are_in_order_and_go_on_by_cursor() {
    let world = world();
    let search = |order, page| world.wait(world.scheduler.search_jobs(JobFilter::new(), order, page)).unwrap();
    for (order, wanted) in [
        (JobOrder::Id, ["42/a", "42/b", "42/c", "43/a", "43/b"]),
        (JobOrder::NextFireTime, ["42/b", "43/a", "42/c", "42/a", "43/b"]),
    ] {
        let first = search(order, Page::first(2));
        assert_eq!(ids(&first), wanted[..2], "{order:?}");
        // As it comes back in a link.
        let cursor = Cursor::from(first.next.unwrap().to_string());
        let second = search(order, Page::after(cursor, 2));
        assert_eq!(ids(&second), wanted[2..4], "{order:?}");
        let third = search(order, Page::after(second.next.unwrap(), 2));
        assert_eq!((ids(&third), &third.next), (wanted[4..].to_vec(), &None), "{order:?}");
    }
    let by_id = search(JobOrder::Id, Page::first(1)).next.unwrap();
    let again = world.scheduler.search_jobs(JobFilter::new(), JobOrder::NextFireTime, Page::after(by_id, 1));
    let error = world.wait(again).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("it is one of jobs by id; begin with the first page"), "{error}");
}

/// Job, fire time and what became of it.
fn lines(found: &FoundRuns) -> Vec<String> {
    let line = |run: &scheduler_core::Run| match run.verdict() {
        Some(verdict) => format!("{} {verdict}", time(run.fire_time)),
        None => format!("{} open", time(run.fire_time)),
    };
    found.runs.iter().map(|(_, found)| format!("{} {}", found.job, line(&found.run))).collect()
}

#[test]
fn runs_are_found_over_all_jobs_and_stores_newest_first() {
    let world = world();
    world.add(JobSpec::new("fail", Interval::seconds(15)).id("broken").store("other"));
    world.advance(30);
    let search = |filter, page| world.wait(world.scheduler.search_runs(filter, page)).unwrap();

    let failed = search(RunFilter::new().verdict(Verdict::Error), Page::first(9));
    assert_eq!(lines(&failed), ["broken 10:00:30 error", "broken 10:00:15 error"]);
    assert_eq!((failed.runs[0].0.as_str(), failed.runs[0].1.run.error.as_deref()), ("other", Some("disk full")));
    let ok = search(RunFilter::new().verdict(Verdict::Ok).since(clock("10:00:20")), Page::first(3));
    let rest = search(
        RunFilter::new().verdict(Verdict::Ok).since(clock("10:00:20")),
        Page::after(ok.next.clone().unwrap(), 9),
    );
    let mut all: Vec<_> = lines(&ok).into_iter().chain(lines(&rest)).collect();
    assert_eq!((all.len(), rest.next), (6, None));
    assert!(all[..3].iter().all(|line| line.contains("10:00:30")), "{all:?}");
    all.sort_unstable();
    let wanted = [
        "42/a 10:00:30 ok",
        "42/b 10:00:20 ok",
        "42/b 10:00:30 ok",
        "42/c 10:00:20 ok",
        "43/a 10:00:20 ok",
        "43/a 10:00:30 ok",
    ];
    assert_eq!(all, wanted);
    assert_eq!(lines(&search(RunFilter::new().state(RunStateKind::Running), Page::first(9))), [""; 0]);
}

#[test]
fn the_nodes_are_shown_with_what_they_run() {
    let world = world();
    let runtime = world.runtime.clone();
    let slow = scheduler_executors::task("slow", move || {
        let runtime = runtime.clone();
        async move { scheduler_runtime::Runtime::sleep(&runtime, Duration::from_secs(5)).await }
    });
    world.wait(world.scheduler.add_task(slow)).unwrap();
    world.add(JobSpec::now("slow").id("long"));
    world.advance(1);
    let nodes = world.wait(world.scheduler.nodes()).unwrap();
    let running: Vec<_> = nodes
        .iter()
        .map(|(store, node)| (store.as_str(), node.running.iter().map(|it| it.job.as_str()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(running, [("default", vec!["long"])]);
    assert!(nodes[0].1.lease_until.is_some_and(|until| until > clock("10:00:01")));
    let info = &nodes[0].1.info;
    assert_eq!((info.labels["zone"].as_str(), info.version.as_deref()), ("eu-1", Some(env!("CARGO_PKG_VERSION"))));
    assert!(!cfg!(target_os = "linux") || info.host.as_ref().is_some_and(|host| !host.is_empty()), "{info:?}");
    let of_node = RunFilter::new().node(&nodes[0].1.id).state(RunStateKind::Running);
    let found = world.wait(world.scheduler.search_runs(of_node, Page::first(9))).unwrap();
    assert_eq!(lines(&found), ["long 10:00:00 open"]);
}

fn group(done: u64) -> GroupDone {
    let mut group = GroupDone::default();
    group.done = done;
    group
}

#[test]
fn a_group_is_paused_resumed_run_and_removed_in_one_call() {
    let world = world();
    let of_tenant = || JobFilter::new().tag("tenant:42");
    let scheduler = &world.scheduler;

    assert_eq!(world.wait(scheduler.pause_jobs(of_tenant())).unwrap(), group(3));
    assert_eq!(found(&world, JobFilter::new().state(JobStateKind::Paused)).len(), 3);
    // Those that are paused already are none of it.
    assert_eq!(world.wait(scheduler.pause_jobs(JobFilter::new())).unwrap(), group(2));
    assert_eq!(world.wait(scheduler.resume_jobs(of_tenant())).unwrap(), group(3));
    assert_eq!(found(&world, JobFilter::new().state(JobStateKind::Paused)), ["43/a", "43/b"]);
    world.told();

    assert_eq!(world.wait(scheduler.run_jobs_now(JobFilter::new().id_prefix("43/"))).unwrap(), group(2));
    let mut told = world.told();
    told.retain(|line| line.contains("executed"));
    assert_eq!(told, ["10:00:00 executed 43/a@10:00:00", "10:00:00 executed 43/b@10:00:00"]);

    let rescheduled = scheduler.reschedule_jobs(of_tenant(), Interval::seconds(7));
    assert_eq!(world.wait(rescheduled).unwrap(), group(3));
    let jobs = world.wait(scheduler.find_jobs(of_tenant())).unwrap();
    assert!(jobs.iter().all(|job| job.next_fire_time == Some(clock("10:00:07"))), "{jobs:?}");

    let renamed = scheduler.modify_jobs(of_tenant(), JobChange::default().tags(["tenant:44"]));
    assert_eq!(world.wait(renamed).unwrap(), group(3));
    assert_eq!(found(&world, of_tenant()), [""; 0]);

    assert_eq!(world.wait(scheduler.remove_jobs(JobFilter::new().tag("tenant:44"))).unwrap(), group(3));
    assert_eq!(found(&world, JobFilter::new()), ["43/a", "43/b"]);
}

#[test]
fn what_fails_for_one_job_of_a_group_is_told_and_the_others_are_done() {
    let world = world();
    let change = JobChange::default().trigger(Interval::after_end(Duration::from_secs(5)));
    world.wait(world.scheduler.modify_job("42/b", JobChange::default().max_instances(2))).unwrap();

    let changed = world.wait(world.scheduler.modify_jobs(JobFilter::new().tag("tenant:42"), change)).unwrap();

    assert_eq!(changed.done, 2);
    let [failed] = &changed.errors[..] else { panic!("{changed:?}") };
    assert_eq!((failed.store.as_str(), failed.job.as_str(), failed.error.kind()), ("other", "42/b", ErrorKind::Job));
    assert!(failed.error.to_string().contains("max_instances 2"), "{}", failed.error);
}

#[test]
fn a_group_of_thousands_is_done_page_by_page() {
    let world = World::new(|builder| builder);
    let spec = |n: u32| {
        JobSpec::new("tick", Interval::hours(1)).id(format!("{n:04}")).tag(if n.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        })
    };
    world.wait(world.scheduler.add_jobs((0..2_500).map(spec).collect()));

    assert_eq!(world.wait(world.scheduler.pause_jobs(JobFilter::new().tag("even"))).unwrap(), group(1_250));

    let counts = world.wait(world.scheduler.count_jobs(JobFilter::new())).unwrap();
    assert_eq!((counts.active, counts.paused), (1_250, 1_250));
    let job = world.wait(world.scheduler.job("0002")).unwrap().unwrap();
    assert_eq!(job.state, JobState::Paused);
    let page = world.scheduler.search_jobs(JobFilter::new().tag("odd"), JobOrder::Id, Page::first(3));
    assert_eq!(ids(&world.wait(page).unwrap()), ["0001", "0003", "0005"]);
}

#[test]
fn a_job_that_is_over_is_found_and_cannot_be_changed() {
    let world = World::new(|builder| builder);
    let scheduler = &world.scheduler;
    for _ in 0..2 {
        world.add(JobSpec::now("tick").id("once"));
        world.advance(1);
    }
    let live = world.add(JobSpec::new("tick", Interval::seconds(60)).id("once"));
    let finished = || JobFilter::new().id("once").state(JobStateKind::Finished);

    let jobs = world.wait(scheduler.find_jobs(finished())).unwrap();
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        assert!(job.uid != live.uid && job.to_string().ends_with(", over)"), "{job}");
        let run = world.wait(job.runs(9)).unwrap().remove(0);
        assert_eq!(run.verdict(), Some(Verdict::Ok));
        let explained = world.wait(job.explain(run.fire_time)).unwrap().to_string();
        assert!(explained.contains("ended as ok"), "{explained}");
        // The id is that of the job that goes on, which is not meant.
        for refused in
            [world.wait(job.pause()).map(drop), world.wait(job.remove()), world.wait(job.run_now()).map(drop)]
        {
            let error = refused.unwrap_err();
            assert!(error.is_not_found() && error.to_string().contains("is over"), "{error}");
        }
    }
    let refused = world.wait(scheduler.remove_jobs(finished())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert_eq!(world.wait(live.refresh()).unwrap().state, JobState::Active);

    let mut page = Page::first(1);
    let mut seen = Vec::new();
    loop {
        let found = world.wait(scheduler.search_jobs(finished(), JobOrder::NextFireTime, page)).unwrap();
        seen.extend(found.jobs.iter().map(|job| job.uid));
        let Some(next) = found.next else { break };
        page = Page::after(next, 1);
    }
    assert!(seen.len() == 2 && seen[0] < seen[1], "{seen:?}");
    let runs = world.wait(scheduler.search_runs(RunFilter::new().job("once"), Page::first(9))).unwrap().runs;
    assert_eq!(runs.len(), 2);
}
