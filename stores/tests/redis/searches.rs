//! Searches by the sorted sets: what they find among many jobs and runs, how much of these they read, what keeping the sets up costs, and
//! what an earlier schema has left.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redis::{ConnectionLike, Value, cmd};
use scheduler_core::{
    JobRow, JobState, JobStore, Listed, Run, RunState, Verdict, Wait,
    store::{
        ClaimedJob, Clock, Entry, FoundRun, JobFilter, JobOrder, JobSearch, JobStateKind, Move, RunChange, RunFilter,
        RunReport, RunSearch, RunStateKind, scan,
    },
};
use scheduler_stores::RedisStore;
use scheduler_testkit::store::{Bench, block_on, moved, nth_run};

use crate::{relay::Relay, test_store::TestStore};

async fn bench(test_store: &TestStore) -> Bench {
    let (a, b) = (test_store.open_on_callers_clock().await, test_store.open_on_callers_clock().await);
    Bench::new(test_store.clone().with(a, b))
}

/// Jobs of which half have the tag and task `often` and some the tag and task `rare`; some are paused, and many share a next fire time.
/// Each has been moved once, with two runs that have ended and, of some, one that waits or goes on.
async fn fill(bench: &Bench, count: usize) {
    let now = bench.now().await;
    let job = |n: usize| -> JobRow {
        let mut job = bench.job(&format!("job {:05}", (n * 7919) % count), now);
        let word = if n % 500 == 7 { "rare" } else { ["often", "other"][n % 2] };
        (job.body.tags, job.body.task) = ([word, ["third", "another", "last"][n % 3]].into(), word.into());
        job
    };
    let jobs: Vec<JobRow> = (0..count).map(job).collect();
    for jobs in jobs.chunks(1_000) {
        bench.store().insert(bench.at(), jobs).await.unwrap();
    }
    let tasks = ["often", "other", "rare"].map(Into::into);
    let tasks = std::sync::Arc::new(tasks.into());
    let mut left = count;
    while left > 0 {
        let claim = bench.a().claim_call().with_limit(200).with_tasks(std::sync::Arc::clone(&tasks));
        let claimed = bench.a().send(&claim).await.jobs;
        assert!(!claimed.is_empty(), "{left} are left");
        left -= claimed.len();
        let moves: Vec<Move> = claimed.iter().map(|claimed| move_of(claimed, now)).collect();
        bench.a().settle(&moves).await;
    }
}

fn move_of(claimed: &ClaimedJob, now: DateTime<Utc>) -> Move {
    let n: i64 = claimed.job.id.as_str().trim_start_matches("job ").parse().unwrap();
    let mut to = moved(claimed);
    let next = now + TimeDelta::days(1 + n % 50);
    (to.next_fire_time, to.due) = if n % 10 == 0 { (None, None) } else { (Some(next), Some(next)) };
    to.state = if n % 400 == 3 { JobState::Paused } else { JobState::Kept };
    if n % 400 != 4 && to.state == JobState::Kept {
        to.state = JobState::Active;
        to.due = to.due.or(Some(now + TimeDelta::days(90)));
    }
    let mut add = |nth: u64, state: RunState| {
        let fire_time = now + TimeDelta::seconds(n % 700 - nth as i64);
        to.runs.push(RunChange::Insert(Run { fire_time, ..nth_run(claimed, nth, state) }));
    };
    add(1, RunState::Ended(if n % 90 == 3 { Verdict::Missed } else { Verdict::Ok }));
    add(2, RunState::Ended(Verdict::Ok));
    match n {
        _ if n % 100 == 5 => add(3, RunState::Waiting(Wait::Queued)),
        _ if n % 100 == 6 => add(3, RunState::Running),
        _ => {}
    }
    to
}

fn job_filters() -> Vec<JobFilter> {
    let all = JobFilter::new;
    vec![
        all(),
        all().id_prefix("job 00"),
        all().id_prefix("job 00").tag("often"),
        all().tag("rare"),
        all().tag("often"),
        all().tag("often").tag("third"),
        all().task("rare"),
        all().task("other").tag("third").state(JobStateKind::Active),
        all().state(JobStateKind::Paused),
        all().state(JobStateKind::Kept).task("often"),
        all().text("B 00017"),
        all().tag("nobody"),
    ]
}

fn run_filters(middle: DateTime<Utc>) -> Vec<RunFilter> {
    vec![
        RunFilter::new(),
        RunFilter::new().verdict(Verdict::Missed),
        RunFilter::new().verdict(Verdict::Ok).since(middle),
        RunFilter::new().until(middle),
        RunFilter::new().state(RunStateKind::Waiting),
        RunFilter::new().state(RunStateKind::Running).node("node-a"),
        RunFilter::new().state(RunStateKind::Ended).until(middle),
        RunFilter::new().job("job 00105"),
        RunFilter::new().task("rare"),
        RunFilter::new().task("nobody"),
    ]
}

async fn all_jobs(store: &dyn JobStore, mut search: JobSearch) -> Vec<Listed> {
    let mut found = Vec::new();
    loop {
        let page = store.search_jobs(&search).await.unwrap();
        found.extend(page.jobs);
        let Some(next) = page.next else { return found };
        search = search.with_after(Some(next));
    }
}

async fn all_runs(store: &dyn JobStore, mut search: RunSearch) -> Vec<FoundRun> {
    let mut found = Vec::new();
    loop {
        let page = store.search_runs(&search).await.unwrap();
        found.extend(page.runs);
        let Some(next) = page.next else { return found };
        search = search.with_after(Some(next));
    }
}

#[test]
fn a_search_among_many_finds_what_a_look_at_each_finds() {
    block_on(async {
        let bench = bench(&TestStore::new()).await;
        fill(&bench, 1_200).await;
        let store = bench.store();
        for filter in job_filters() {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let whole = JobSearch::new(filter.clone(), 100_000).with_order(order);
                let meant = scan::jobs(store, &whole).await.unwrap().jobs;
                assert_eq!(meant.is_empty(), filter.tags.contains("nobody"), "{filter:?}");
                let found = all_jobs(store, JobSearch::new(filter.clone(), 300).with_order(order)).await;
                assert!(found == meant, "{filter:?} {order:?}: {} of {}", found.len(), meant.len());
            }
            let counts = store.count_jobs(&filter).await.unwrap();
            assert_eq!(counts, scan::count(store, &filter).await.unwrap(), "{filter:?}");
        }
        let all = scan::runs(store, &RunSearch::new(RunFilter::new(), 100_000)).await.unwrap().runs;
        assert_eq!(all.len(), 2_424);
        for filter in run_filters(all[all.len() / 2].run.fire_time) {
            let found = all_runs(store, RunSearch::new(filter.clone(), 300)).await;
            let meant: Vec<FoundRun> = all.iter().filter(|found| filter.matches(found)).cloned().collect();
            assert_eq!(meant.is_empty(), filter.task.as_ref().is_some_and(|task| *task == "nobody"), "{filter:?}");
            assert!(found == meant, "{filter:?}: {} of {}", found.len(), meant.len());
        }
    });
}

/// A job's row is half a kilobyte, and a run a quarter.
#[test]
fn a_page_reads_some_of_ten_thousand_jobs_and_runs() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        fill(&bench, 10_000).await;
        let (server, database) = test_store.url.strip_prefix("redis://").unwrap().split_once('/').unwrap();
        let relay = Relay::start(server);
        let url = format!("redis://{}/{database}", relay.address);
        let store = test_store.options().clock(Clock::Caller).connect(&url).await.unwrap();

        let filters = job_filters().into_iter().filter(|filter| filter.text.is_none());
        for search in filters.map(|filter| JobSearch::new(filter, 20)) {
            first_and_second(&relay, &store, &search).await;
        }
        for filter in [JobFilter::new(), JobFilter::new().task("rare"), JobFilter::new().state(JobStateKind::Paused)] {
            let search = JobSearch::new(filter, 20).with_order(JobOrder::NextFireTime);
            first_and_second(&relay, &store, &search).await;
        }
        for filter in [JobFilter::new(), JobFilter::new().task("often"), JobFilter::new().state(JobStateKind::Paused)] {
            let before = relay.answered();
            assert!(store.count_jobs(&filter).await.unwrap().total() > 0);
            assert!(relay.answered() - before < 1_000, "{filter:?}: {} bytes", relay.answered() - before);
        }
        for filter in [
            RunFilter::new(),
            RunFilter::new().verdict(Verdict::Missed),
            RunFilter::new().verdict(Verdict::Ok),
            RunFilter::new().until(bench.at()),
            RunFilter::new().state(RunStateKind::Waiting),
            RunFilter::new().state(RunStateKind::Running),
            RunFilter::new().job("job 00105"),
        ] {
            let (before, search) = (relay.answered(), RunSearch::new(filter, 20));
            let page = store.search_runs(&search).await.unwrap();
            assert!(!page.runs.is_empty(), "{search:?}");
            store.search_runs(&search.clone().with_after(page.next)).await.unwrap();
            assert!(relay.answered() - before < 120_000, "{search:?}: {} bytes", relay.answered() - before);
        }
    });
}

async fn first_and_second(relay: &Relay, store: &RedisStore, search: &JobSearch) {
    let before = relay.answered();
    let page = store.search_jobs(search).await.unwrap();
    assert_eq!(page.jobs.is_empty(), search.filter.tags.contains("nobody"), "{search:?}");
    store.search_jobs(&search.clone().with_after(page.next)).await.unwrap();
    assert!(relay.answered() - before < 120_000, "{search:?}: {} bytes", relay.answered() - before);
}

/// How the names of the sets of searches begin.
const SETS: [&str; 8] = ["next", "task:", "tag:", "state:", "over", "runs", "waiting", "verdict:"];

/// The commands that the server performs on the keys of a store, in scripts and outside of them.
struct Monitor {
    connection: redis::Connection,
    test_store: TestStore,
}

impl Monitor {
    fn start(test_store: &TestStore) -> Self {
        let mut connection = test_store.connection();
        connection.req_command(&cmd("MONITOR")).unwrap();
        Self { connection, test_store: test_store.clone() }
    }

    /// Since the last call: of each command the name and the key, without the prefix.
    fn commands(&mut self) -> Vec<String> {
        let (prefix, mut seen) = (self.test_store.key(""), Vec::new());
        let mark = self.test_store.key(&format!("mark {}", seen.len()));
        self.test_store.run::<()>(&["ECHO", &mark]);
        loop {
            let line: String = match self.connection.recv_response().unwrap() {
                Value::SimpleString(line) => line,
                other => panic!("{other:?}"),
            };
            let words: Vec<&str> = line.split('"').collect();
            if line.contains(&mark) {
                return seen;
            }
            if let Some(key) = words.get(3).and_then(|word| word.strip_prefix(&prefix)) {
                seen.push(format!("{} {key}", words[1]));
            }
        }
    }

    /// Those by which searches find something.
    fn of_searches(&mut self) -> (usize, Vec<String>) {
        let all = self.commands();
        let is_of_search = |command: &&String| {
            command.split_once(' ').is_some_and(|(_, key)| SETS.iter().any(|set| key.starts_with(set)))
        };
        (all.len(), all.iter().filter(is_of_search).cloned().collect())
    }
}

#[test]
fn a_move_writes_the_sets_in_which_something_has_changed() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let mut job = bench.job("report", bench.at());
        job.body.tags = ["tenant:42"].into();
        job.body.options.history = 1;
        let mut monitor = Monitor::start(&test_store);
        let mut of_searches = |what: &str| {
            let (all, found) = monitor.of_searches();
            assert!(all <= 60, "{what}: {all} commands");
            found
        };
        bench.add(&job).await;
        assert_eq!(of_searches("an insert"), ["ZADD next", "ZADD task:task", "ZADD tag:tenant:42"]);
        let next = Some(bench.at() + TimeDelta::hours(1));
        let started = bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (next, next)).await;
        assert_eq!(of_searches("a claim and a settle"), ["ZREM next", "ZADD next", "ZADD runs"]);
        bench.a().end(&started, Verdict::Ok).await;
        assert_eq!(of_searches("an end"), [""; 0]);
        bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
        assert_eq!(of_searches("a removal"), ["ZREM runs", "ZREM next", "ZREM task:task", "ZREM tag:tenant:42"]);
        assert_eq!(test_store.names(), ["meta", "nodes"]);
    });
}

/// A call has one command for each set, however many jobs it moves.
#[test]
fn a_hundred_moves_write_the_sets_as_one() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let jobs: Vec<JobRow> = (0..100).map(|n| bench.job(&format!("job {n}"), bench.at())).collect();
        bench.store().insert(bench.at(), &jobs).await.unwrap();
        let mut monitor = Monitor::start(&test_store);
        let claimed = bench.a().claim_up_to(100).await.jobs;
        let next = Some(bench.at() + TimeDelta::hours(1));
        let moves = claimed.iter().map(|claimed| {
            let mut to = moved(claimed);
            (to.next_fire_time, to.due) = (next, next);
            to.runs.push(RunChange::Insert(nth_run(claimed, 1, RunState::Running)));
            to
        });
        bench.a().settle(&moves.collect::<Vec<_>>()).await;
        let end = RunReport::End { verdict: Verdict::Ok, error: None, duration: Duration::ZERO, output: None };
        let fence = claimed[0].job.fence;
        let ends = claimed.iter().map(|it| Entry::new(nth_run(it, 1, RunState::Running).id, fence, end.clone()));
        bench.a().record(&ends.collect::<Vec<_>>()).await;
        let (all, of_searches) = monitor.of_searches();
        assert!(all < 1_500, "{all} commands");
        assert_eq!(of_searches, ["ZREM next", "ZADD next", "ZADD runs"]);
    });
}

#[test]
fn runs_that_the_history_does_not_keep_are_not_found() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let mut job = bench.job("report", bench.at());
        job.body.options.history = 2;
        bench.add(&job).await;
        for n in 0..70 {
            let (now, next) = (bench.at(), bench.at() + TimeDelta::seconds(1));
            let verdict = if n % 3 == 0 { Verdict::Error } else { Verdict::Ok };
            let started =
                bench.a().start_and("report", |to| (to.next_fire_time, to.due) = (Some(next), Some(next))).await;
            bench.a().end(&started, verdict).await;
            assert!(now < next);
            bench.advance(Duration::from_secs(1)).await;
        }
        let kept = bench.runs(job.uid).await.len();
        assert!(kept < 70, "{kept}");
        let sizes: Vec<usize> =
            ["runs", "verdict:error"].map(|set| test_store.run(&["ZCARD", &format!("@{set}")])).into();
        let failed = all_runs(bench.store(), RunSearch::new(RunFilter::new().verdict(Verdict::Error), 9)).await.len();
        assert_eq!(sizes, [kept, failed]);
        bench.store().remove_all(bench.at()).await.unwrap();
        bench.a().release().await;
        assert_eq!(test_store.names(), ["meta"]);
    });
}

/// The sample is what schema 2 left after some hundred calls of all kinds.
#[test]
fn what_the_second_schema_has_left_is_found() {
    block_on(async {
        let test_store = TestStore::new();
        test_store.load(include_str!("schema-2.jsonl"));
        let store = test_store.open_on_callers_clock().await;
        check(&test_store, &store).await;
        // As another node that opens the keys at the same time, and one that has died on the way.
        let before = test_store.dump();
        test_store.run::<()>(&["HSET", "@meta", "upgrading", "2"]);
        check(&test_store, &test_store.open_on_callers_clock().await).await;
        assert!(test_store.dump() == before);

        // What goes leaves no place.
        store.remove_all(DateTime::from_timestamp(1_795_252_640, 0).unwrap()).await.unwrap();
        let names = test_store.names();
        assert!(!names.iter().any(|name| SETS[..4].iter().any(|set| name.starts_with(set))), "{names:?}");
    });
}

async fn check(test_store: &TestStore, store: &RedisStore) {
    assert_eq!(test_store.run::<Vec<String>>(&["HGETALL", "@meta"]), ["schema", "3"]);
    for (filter, ids) in [
        (JobFilter::new(), "five four o'eight one"),
        (JobFilter::new().tag("tag-1"), "five o'eight one"),
        (JobFilter::new().tag("tag-0").task("task").id_prefix("o"), "o'eight one"),
        (JobFilter::new().state(JobStateKind::Kept), "four"),
        (JobFilter::new().state(JobStateKind::Quarantined), "five"),
        (JobFilter::new().task("other"), ""),
        (JobFilter::new().state(JobStateKind::Finished).task("other").tag("tag-1"), "five"),
    ] {
        let found = all_jobs(store, JobSearch::new(filter.clone(), 2)).await;
        assert_eq!(found.iter().map(|job| job.id().as_str()).collect::<Vec<_>>().join(" "), ids, "{filter:?}");
    }
    let by_time = all_jobs(store, JobSearch::new(JobFilter::new(), 2).with_order(JobOrder::NextFireTime)).await;
    let ids: Vec<&str> = by_time.iter().map(|job| job.id().as_str()).collect();
    assert_eq!(ids, ["five", "o'eight", "one", "four"]);
    let all = scan::runs(store, &RunSearch::new(RunFilter::new(), 99)).await.unwrap().runs;
    assert_eq!(all_runs(store, RunSearch::new(RunFilter::new(), 2)).await, all);
    for (filter, seqs) in [
        (RunFilter::new(), vec![7, 6, 5, 4, 3, 2, 1]),
        (RunFilter::new().verdict(Verdict::Error), vec![2]),
        (RunFilter::new().verdict(Verdict::Lost), vec![]),
        (RunFilter::new().state(RunStateKind::Waiting), vec![7, 5, 4, 1]),
        (RunFilter::new().state(RunStateKind::Running), vec![6]),
    ] {
        let found = all_runs(store, RunSearch::new(filter.clone(), 9)).await;
        assert_eq!(found.iter().map(|found| found.run.id.seq).collect::<Vec<_>>(), seqs, "{filter:?}");
    }
}

#[test]
fn a_job_that_was_removed_while_it_ran_leaves_nothing_to_be_found() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        bench.due_job("report").await;
        let started = bench.a().start("report").await;
        bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
        assert_eq!(all_runs(bench.store(), RunSearch::new(RunFilter::new(), 9)).await, []);
        assert_eq!(all_jobs(bench.store(), JobSearch::new(JobFilter::new(), 9)).await, []);
        bench.a().end(&started, Verdict::Error).await;
        bench.a().release().await;
        assert_eq!(test_store.names(), ["meta"]);
    });
}
