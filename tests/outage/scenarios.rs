//! One body for each promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use apscheduler::{
    Delivery, ErrorKind, EventKind, EventMask, JobSpec, RunId, ShutdownMode, Verdict,
    trigger::{First, Interval},
};

use crate::stage::{JOBS, Stage, has_failed, has_recovered, now, store_events};

/// Longer than any outage here.
const LONG_LEASE: Duration = Duration::from_secs(90);

/// How long a call may take whose server does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn a_server_that_is_killed_and_comes_back_loses_nothing(stage: &Stage) {
    stage.run(async {
        let nodes = [stage.node(LONG_LEASE).await, stage.node(LONG_LEASE).await];
        let mut events = store_events(&nodes);
        for node in &nodes {
            node.start().await.unwrap();
        }
        stage.add_jobs(&nodes[0]).await;
        for round in 0..2 {
            stage.more_starts(30).await;

            stage.server.kill();
            let teller = stage.told(&mut events, "the store has failed", has_failed).await;
            let begun = now();
            let refused = nodes[1].add_job(JobSpec::now("note").id(format!("refused-{round}"))).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::StoreUnavailable, "{refused}");
            assert!(begun.elapsed() < PATIENCE, "it was refused after {:?} only", begun.elapsed());

            stage.server.start_again();
            stage.next(&mut events[teller], "the store has recovered", has_recovered).await;
            stage.more_starts(30).await;
            let once = nodes[1].add_job(JobSpec::now("note").id(format!("once-{round}"))).await.unwrap();
            stage
                .within("a job that is added afterwards runs", async {
                    while once.refresh().await.is_ok() {
                        stage.more_starts(1).await;
                    }
                })
                .await;
        }
        for node in &nodes {
            stage.within("a shutdown", node.shutdown(ShutdownMode::Wait)).await.unwrap();
        }
    });
    // No lease has passed, so there is no second attempt of anything.
    assert!(stage.starts().iter().all(|(_, attempt)| *attempt == 1), "{:?}", stage.starts());
    assert_all_is_accounted_for(stage);
}

pub(crate) fn an_outage_longer_than_the_lease_takes_nobodys_runs(stage: &Stage) {
    // A node that comes back a lease after the other one is taken for dead. Both are back within a second, and a busy machine
    // may take another.
    let lease = Duration::from_secs(4);
    stage.run(async {
        let nodes = [stage.node(lease).await, stage.node(lease).await];
        let mut events = store_events(&nodes);
        let mut runs: Vec<_> = nodes.iter().map(|node| node.events(EventMask::RUN_EXECUTED)).collect();
        for node in &nodes {
            node.start().await.unwrap();
        }
        let forever = Interval::hours(24).first(First::Now);
        nodes[0].add_job(JobSpec::new("hold", forever).id("long").delivery(Delivery::AtLeastOnce)).await.unwrap();
        stage.add_jobs(&nodes[0]).await;
        stage.more_starts(30).await;

        stage.server.kill();
        let teller = stage.told(&mut events, "the store has failed", has_failed).await;
        tokio::time::sleep(lease + Duration::from_secs(1)).await;
        stage.server.start_again();
        stage.next(&mut events[teller], "the store has recovered", has_recovered).await;
        // Long enough for another node to take the run over, if one did.
        tokio::time::sleep(lease * 2).await;
        stage.more_starts(30).await;
        stage.released.send_replace(true);
        let is_long = |kind: &EventKind| kind.run().is_some_and(|run| run.job.id == "long");
        stage.told(&mut runs, "the long run ends", is_long).await;
        for node in &nodes {
            stage.within("a shutdown", node.shutdown(ShutdownMode::Wait)).await.unwrap();
        }
    });
    let contents = stage.contents();
    let (job, runs) = contents.of("long");
    assert_eq!((job.totals.of(Verdict::Ok), runs.len(), runs[&1].takeovers), (1, 1, 0));
    assert_all_is_accounted_for(stage);
}

pub(crate) fn a_server_that_is_away_at_the_start_is_waited_for(stage: &Stage) {
    stage.run(async {
        let writer = stage.node(LONG_LEASE).await;
        stage.add_jobs(&writer).await;
        writer.shutdown(ShutdownMode::Wait).await.unwrap();
        let node = stage.node(LONG_LEASE).await;
        let mut events = store_events(std::slice::from_ref(&node));
        stage.server.kill();

        let begun = now();
        let refused = stage.test_store.try_open().await.unwrap_err();
        assert_eq!(refused.kind(), apscheduler::store::StoreErrorKind::Unavailable, "{refused}");
        assert!(begun.elapsed() < PATIENCE, "it was refused after {:?} only", begun.elapsed());
        stage.within("a start", node.start()).await.unwrap();
        let teller = stage.told(&mut events, "the store has failed", has_failed).await;

        stage.server.start_again();
        stage.next(&mut events[teller], "the store has recovered", has_recovered).await;
        stage.more_starts(30).await;
        stage.within("a shutdown", node.shutdown(ShutdownMode::Wait)).await.unwrap();
    });
    assert_all_is_accounted_for(stage);
}

pub(crate) fn a_server_that_hangs_is_noticed_and_doubles_nothing(stage: &Stage) {
    stage.run(async {
        let nodes = [stage.node(LONG_LEASE).await, stage.node(LONG_LEASE).await];
        let mut events = store_events(&nodes);
        for node in &nodes {
            node.start().await.unwrap();
        }
        stage.add_jobs(&nodes[0]).await;
        stage.more_starts(30).await;

        let begun = now();
        stage.server.pause();
        let teller = stage.told(&mut events, "the store has failed", has_failed).await;
        assert!(begun.elapsed() < PATIENCE, "it was noticed after {:?} only", begun.elapsed());
        stage.server.go_on();
        stage.next(&mut events[teller], "the store has recovered", has_recovered).await;
        stage.more_starts(30).await;
        for node in &nodes {
            stage.within("a shutdown", node.shutdown(ShutdownMode::Wait)).await.unwrap();
        }
    });
    assert!(stage.starts().iter().all(|(_, attempt)| *attempt == 1), "{:?}", stage.starts());
    assert_all_is_accounted_for(stage);
}

/// Each fire time has one verdict, each attempt was started once, and each fire time of the job that gives none up has run.
fn assert_all_is_accounted_for(stage: &Stage) {
    let contents = stage.contents();
    for (id, period) in JOBS {
        contents.assert_tiles(id, period);
    }
    let starts = stage.starts();
    let attempts: BTreeSet<_> = starts.iter().collect();
    assert_eq!(attempts.len(), starts.len(), "an attempt was started twice: {starts:?}");
    let mut counts: BTreeMap<RunId, u32> = BTreeMap::new();
    for (run, _) in &starts {
        *counts.entry(*run).or_default() += 1;
    }
    for run in contents.of("every-one").1.values().filter(|run| !run.is_open()) {
        assert_eq!((run.verdict(), run.first), (Some(Verdict::Ok), None), "{run:?}");
        assert_eq!(counts.get(&run.id), Some(&(run.takeovers + 1)), "{run:?}");
    }
}
