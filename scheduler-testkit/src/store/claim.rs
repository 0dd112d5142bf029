//! Promises of [`JobStore::claim`](scheduler_core::JobStore::claim) but for taking over, which is in
//! [`adopt`](super::adopt).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use scheduler_core::{
    BODY_VERSION, JobRow, JobState, Run, RunState, Uid, Wait,
    store::{CLAIMED_RUNS, Declined, Fate, Inserted, Report, RunChange, SettleOutcome},
};

use super::{Bench, LEASE, block_on, moved, node::update_of, nth_run};

/// Jobs are claimed in the order of their due times, and of their uids where those are the same.
pub async fn jobs_are_claimed_in_the_order_of_due_and_uid(bench: &Bench) {
    let now = bench.now().await;
    let micros = TimeDelta::microseconds;
    let mut jobs = [("c", 1), ("a", 2), ("b", 2), ("d", 0)].map(|(id, ago)| bench.job(id, now - micros(ago)));
    jobs[1].uid = Uid(u128::MAX);
    jobs[2].uid = Uid(0x8000_0000_0000_0000_0000_0000_0000_0000);
    bench.store().insert(bench.at(), &jobs).await.unwrap();
    let claimed = bench.a().claim().await;
    let ids: Vec<&str> = claimed.jobs.iter().map(|it| it.job.id.as_str()).collect();
    assert_eq!(ids, ["b", "a", "c", "d"]);
}

/// A claim shows the job as it is, with a fence that has grown.
pub async fn a_claim_shows_the_job(bench: &Bench) {
    let job = bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    assert_eq!(claimed.job, JobRow { fence: claimed.job.fence, ..job });
    assert!(claimed.job.fence > 0);
    assert_eq!((claimed.running_count, claimed.waiting_count), (0, 0));
}

/// Nothing is claimed a microsecond before it is due, and the reply says when it is.
pub async fn nothing_is_claimed_before_it_is_due(bench: &Bench) {
    let soon = bench.now().await + TimeDelta::milliseconds(100);
    bench.add(&bench.job("report", soon)).await;
    let claimed = bench.a().claim().await;
    if claimed.now >= soon {
        // A server's clock went on while a loaded machine did not: the job is due by now.
        assert_eq!(claimed.jobs.len(), 1);
        return;
    }
    assert_eq!((&claimed.jobs[..], claimed.next_due, claimed.more), (&[][..], Some(soon), false));
    if bench.is_told_the_time() {
        bench.advance(Duration::from_micros(99_999)).await;
        assert_eq!(bench.a().claim().await.jobs, []);
        bench.advance(Duration::from_micros(1)).await;
    } else {
        bench.advance(Duration::from_millis(150)).await;
    }
    bench.a().claim_one("report").await;
}

/// A store with a clock of its own goes by it: a node whose clock is ten seconds fast takes nothing early.
pub async fn a_fast_clock_takes_nothing_early(bench: &Bench) {
    if bench.is_told_the_time() {
        return;
    }
    bench.add(&bench.job("report", bench.now().await + TimeDelta::seconds(5))).await;
    let mut fast = bench.a().claim_call();
    fast.at += TimeDelta::seconds(10);
    assert_eq!(bench.a().send(&fast).await.jobs, []);
}

/// A limit leaves the later ones out and says so.
pub async fn a_limit_leaves_jobs_out_and_says_so(bench: &Bench) {
    let now = bench.now().await;
    for n in 0..3 {
        bench.add(&bench.job(&format!("job-{n}"), now - TimeDelta::milliseconds(10 - n))).await;
    }
    let first = bench.a().claim_up_to(2).await;
    assert_eq!(first.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["job-0", "job-1"]);
    assert!(first.more && first.next_due.is_some_and(|due| due <= first.now), "{first:?}");
    for it in &first.jobs {
        bench.a().settle_one(&moved(it)).await;
    }
    let second = bench.a().claim_up_to(1).await;
    assert_eq!(second.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["job-2"]);
    assert_eq!((second.more, second.next_due), (false, None));
}

/// While a node is behind, what has become due since a time comes first, up to half of what it takes; the rest is what has been due
/// for longest.
pub async fn recent_jobs_come_before_a_backlog(bench: &Bench) {
    let now = bench.now().await;
    let ago = TimeDelta::milliseconds;
    let jobs: Vec<JobRow> = [50, 40, 30, 20].map(|n| bench.job(&format!("old-{n}"), now - ago(n))).into();
    bench.store().insert(bench.at(), &jobs).await.unwrap();
    let jobs: Vec<JobRow> = [9, 8, 7].map(|n| bench.job(&format!("new-{n}"), now - ago(n))).into();
    bench.store().insert(bench.at(), &jobs).await.unwrap();
    let claim_four = async |since| {
        let claim = bench.a().claim_call().with_limit(4).with_recent_since(Some(since));
        let claimed = bench.a().send(&claim).await;
        for it in &claimed.jobs {
            bench.a().settle_one(&moved(it)).await;
        }
        let ids: Vec<String> = claimed.jobs.iter().map(|it| it.job.id.to_string()).collect();
        (ids.join(" "), claimed.more)
    };
    assert_eq!(claim_four(now - ago(9)).await, ("new-9 new-8 old-50 old-40".to_owned(), true));
    assert_eq!(claim_four(now - ago(9)).await, ("new-7 old-30 old-20".to_owned(), false));
    assert_eq!(claim_four(now - ago(9)).await, (String::new(), false));
}

/// The next due time is the earliest among the jobs that the node can run, and none if there is none.
pub async fn the_next_due_is_the_earliest_that_the_node_could_take(bench: &Bench) {
    assert_eq!(bench.a().claim().await.next_due, None);
    let now = bench.now().await;
    let mut foreign = bench.job("foreign", now + TimeDelta::seconds(10));
    foreign.body.task = "another".into();
    let mut newer = bench.job("newer", now + TimeDelta::seconds(20));
    newer.body.v = BODY_VERSION + 1;
    let (mine, later) =
        (bench.job("mine", now + TimeDelta::seconds(30)), bench.job("later", now + TimeDelta::seconds(40)));
    for job in [&later, &foreign, &newer, &mine] {
        bench.add(job).await;
    }
    assert_eq!(bench.a().claim().await.next_due, mine.due);
    let paused = update_of(&mine).with_state(JobState::Paused).with_next_fire_time(None).with_due(None);
    bench.a().update(&paused).await;
    assert_eq!(bench.b().claim().await.next_due, later.due);
}

/// A delayed claim, whose number is not above the node's last one, takes nothing.
pub async fn a_claim_out_of_order_takes_nothing(bench: &Bench) {
    bench.due_job("first").await;
    let delayed = bench.a().claim_call();
    let call = bench.a().claim_call();
    assert_eq!(bench.a().send(&call).await.jobs.len(), 1);
    bench.due_job("second").await;
    for claim in [&delayed, &call] {
        let reply = bench.a().send(claim).await;
        assert_eq!((reply.jobs.len(), reply.more), (0, false));
    }
    assert_eq!(bench.b().claim_one("second").await.job.id, "second");
}

/// A node's own claims are taken again by its next claim, as after a lost reply; the fence grows.
pub async fn own_claims_are_taken_again(bench: &Bench) {
    bench.due_job("report").await;
    let lost = bench.a().claim_one("report").await;
    let again = bench.a().claim_one("report").await;
    assert!(again.job.fence > lost.job.fence);
    assert_eq!(bench.a().settle_one(&moved(&lost)).await, SettleOutcome::Taken);
    assert_eq!(bench.a().settle_one(&moved(&again)).await, applied());
}

/// While a claim holds, no other node can take the job: what the claimer has seen of its runs stays true. The others
/// learn when the claim ends.
pub async fn a_claim_keeps_other_nodes_out(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim().await;
    let other = bench.b().adopt().await;
    assert_eq!(other.jobs, []);
    let until = other.next_due.expect("the end of the claim");
    assert!(until > other.now && until <= bench.now().await + LEASE && until >= claimed.now, "{until}");
}

/// A claim whose time has passed is taken only by a claim that adopts.
pub async fn a_lapsed_claim_is_taken_when_adopting(bench: &Bench) {
    bench.due_job("report").await;
    let lapsed = bench.a().claim_one("report").await;
    bench.advance(LEASE).await;
    assert_eq!(bench.b().claim().await.jobs, []);
    assert_eq!(bench.b().adopt().await.jobs.len(), 1);
    assert_eq!(bench.a().settle_one(&moved(&lapsed)).await, SettleOutcome::Taken);
}

/// A claim whose time has passed is settled all the same if no other node has taken it.
pub async fn a_lapsed_claim_that_nobody_took_is_settled(bench: &Bench) {
    bench.due_job("report").await;
    let lapsed = bench.a().claim_one("report").await;
    bench.advance(LEASE).await;
    assert_eq!(bench.a().settle_one(&moved(&lapsed)).await, applied());
}

/// Jobs whose task or version a node does not know are left to others, and reported only when asked for.
pub async fn unknown_tasks_and_newer_versions_are_left_alone(bench: &Bench) {
    let now = bench.now().await;
    let mut foreign = bench.job("foreign", now - TimeDelta::milliseconds(2));
    foreign.body.task = "another".into();
    let mut newer = bench.job("newer", now - TimeDelta::milliseconds(1));
    newer.body.v = BODY_VERSION + 1;
    for job in [&foreign, &newer, &bench.job("mine", now)] {
        bench.add(job).await;
    }
    let quiet = bench.a().claim_up_to(1).await;
    assert_eq!((quiet.jobs[0].job.id.as_str(), quiet.jobs.len(), quiet.more), ("mine", 1, false));
    assert_eq!(quiet.declined, []);

    let told = bench.b().send(&bench.b().claim_call().with_declined(Report::Declined)).await;
    let declined = |job: &JobRow| Declined { id: job.id.clone(), task: job.body.task.clone(), v: job.body.v };
    assert_eq!(told.declined, [declined(&foreign), declined(&newer)]);

    let able = bench.b().claim_call().with_tasks(Arc::new(BTreeSet::from(["another".into()])));
    assert_eq!(bench.b().send(&able).await.jobs[0].job.id, "foreign");
}

/// A kept job can have a run to retry or to take over: it is claimed when it is due. A quarantined one is not.
pub async fn a_kept_job_is_claimed_when_it_is_due(bench: &Bench) {
    let mut kept = bench.job("kept", bench.now().await);
    kept.state = JobState::Kept;
    let mut broken = bench.job("broken", bench.now().await);
    broken.state = JobState::Quarantined("its trigger fails".to_owned());
    bench.add(&kept).await;
    bench.add(&broken).await;
    let claimed = bench.a().claim().await;
    assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(claimed.next_due, None);
}

/// Runs are counted over all nodes.
pub async fn a_claim_counts_the_runs_of_all_nodes(bench: &Bench) {
    bench.due_job("report").await;
    let now = Some(bench.now().await);
    let first = bench.a().start_and("report", |to| to.due = now).await;
    let second = bench.b().start_and("report", |to| to.due = now).await;
    let claimed = bench.a().claim_one("report").await;
    assert_eq!(claimed.running_count, 2);
    assert_eq!(claimed.running.iter().map(|run| run.id).collect::<Vec<_>>(), [first.run, second.run]);
    let owners: Vec<_> = claimed.running.iter().filter_map(|run| run.owner.clone()).collect();
    assert_eq!(owners, ["node-a", "node-b"]);
    assert_eq!((claimed.running[1].fence, claimed.running[1].attempt), (second.fence, 1));
}

/// A claim shows the oldest running runs and the first waiting ones, as many as fit, and the number of all.
pub async fn a_claim_shows_the_first_runs_and_counts_all(bench: &Bench) {
    bench.due_job("report").await;
    let claimed = bench.a().claim_one("report").await;
    let shown = CLAIMED_RUNS as u64;
    let mut to = moved(&claimed);
    to.due = Some(bench.now().await);
    for n in 1..=shown + 8 {
        to.runs.push(RunChange::Insert(nth_run(&claimed, n, RunState::Running)));
    }
    for n in shown + 9..=2 * shown + 18 {
        let mut run = nth_run(&claimed, n, RunState::Waiting(Wait::Queued));
        run.due = bench.at() + TimeDelta::seconds(1_000 - n as i64);
        to.runs.push(RunChange::Insert(run));
    }
    bench.a().settle_one(&to).await;

    let claimed = bench.a().claim_one("report").await;

    assert_eq!((claimed.running_count, claimed.waiting_count), (CLAIMED_RUNS + 8, CLAIMED_RUNS + 10));
    let seqs = |runs: &[Run]| runs.iter().map(|run| run.id.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&claimed.running), (1..=shown).collect::<Vec<_>>());
    let last = 2 * shown + 18;
    assert_eq!(seqs(&claimed.waiting), (last - shown + 1..=last).rev().collect::<Vec<_>>());
}

/// An idle claim, which takes nothing for a node that holds nothing, changes nothing that another node could notice.
pub async fn an_idle_claim_leaves_no_trace(bench: &Bench) {
    bench.add(&bench.job("report", bench.now().await + TimeDelta::hours(1))).await;
    let seen = bench.store().changed(0).await.unwrap().seen;
    for node in [bench.a(), bench.b(), bench.a()] {
        assert_eq!(node.adopt().await.jobs, []);
    }
    let change = futures_lite::future::poll_once(bench.store().changed(seen)).await;
    assert!(change.is_none_or(|change| change.unwrap().hint.is_none()));
}

/// Jobs that stay due after each move take turns: none waits while another has its second.
pub async fn jobs_with_a_backlog_take_turns(bench: &Bench) {
    const JOBS: usize = 6;
    for n in 0..JOBS {
        bench.due_job(&format!("job-{n}")).await;
    }
    for turn in 0..2 {
        let mut ids = BTreeSet::new();
        while ids.len() < JOBS {
            // Each move is later than those before it by the store's clock as well.
            bench.advance(Duration::from_millis(2)).await;
            let claimed = bench.a().claim_up_to(2).await;
            let moves: Vec<_> = claimed.jobs.iter().map(|it| moved(it).with_due(Some(claimed.now))).collect();
            assert!(!moves.is_empty(), "{claimed:?}");
            bench.a().settle(&moves).await;
            for it in claimed.jobs {
                assert!(ids.insert(it.job.id.clone()), "turn {turn}: job {} is served before its turn", it.job.id);
            }
        }
    }
}

/// Many nodes that claim at once take each job exactly once.
pub async fn each_job_is_claimed_exactly_once(bench: &Bench) {
    const JOBS: usize = 60;
    let now = bench.now().await;
    let jobs: Vec<JobRow> = (0..JOBS).map(|n| bench.job(&format!("job-{n}"), now)).collect();
    let added = bench.store().insert(bench.at(), &jobs).await.unwrap();
    assert!(added.value.iter().all(|outcome| *outcome == Inserted::Added));

    let taken = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..6 {
            let taken = &taken;
            scope.spawn(move || {
                let node = if n % 2 == 0 { bench.a() } else { bench.b() }.renamed(&format!("node-{n}"));
                loop {
                    let mut call = node.adopt_call().with_limit(4);
                    call.lease = Duration::from_secs(60);
                    let claimed = block_on(node.send(&call));
                    if claimed.jobs.is_empty() {
                        break;
                    }
                    let moves: Vec<_> = claimed.jobs.iter().map(moved).collect();
                    let settled = block_on(node.settle(&moves));
                    assert!(settled.outcomes.iter().all(|outcome| *outcome == applied()), "{settled:?}");
                    taken.lock().unwrap().extend(claimed.jobs.iter().map(|it| it.job.uid));
                }
            });
        }
    });
    let mut taken = taken.into_inner().unwrap();
    taken.sort();
    let mut all: Vec<Uid> = jobs.iter().map(|job| job.uid).collect();
    all.sort();
    assert_eq!(taken, all);
}

fn applied() -> SettleOutcome {
    SettleOutcome::Applied { job: Fate::Stays }
}
