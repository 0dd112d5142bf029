//! The keys: what other programs may write and find, what is left behind, who shares them.

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::{
    JobState, JobStore, Listed, RunId, RunState, Verdict, Wait,
    store::{
        Entry, Hint, Hold, Inserted, JobFilter, JobOrder, JobQuery, JobSearch, RecordOutcome, Removed, Report,
        RunChange, RunReport, StoreErrorKind,
    },
};
use scheduler_stores::{RedisOptions, RedisStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on, moved, nth_run};

use crate::test_store::TestStore;

async fn bench(test_store: &TestStore) -> Bench {
    Bench::new(
        test_store.clone().with(test_store.open_on_callers_clock().await, test_store.open_on_callers_clock().await),
    )
}

#[test]
fn a_job_of_another_program_is_claimed_and_heard_of() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let seen = bench.store().changed(0).await.unwrap().seen;
        let trigger = serde_json::to_string(&bench.job("any", bench.at()).body.trigger).unwrap();
        let body =
            format!(r#"{{"v": 1, "task": "task", "colour": "red", "tags": ["tenant:42"], "trigger": {trigger}}}"#);
        let (uid, due) = ("9f8e7d6c5b4a39281706f5e4d3c2b1a0", bench.at().timestamp_micros().to_string());
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let job = test_store.key(&format!("job:{uid}"));
        pipeline.cmd("HSET").arg(job).arg(&["id", "nightly", "task", "task", "v", "1", "body", &body]);
        pipeline.arg(&["next_fire_time", &due, "due", &due]);
        pipeline.cmd("ZADD").arg(test_store.key("ids")).arg(0).arg(format!("nightly\0{uid}"));
        pipeline.cmd("ZADD").arg(test_store.key("due:1:task")).arg(&due).arg(uid);
        pipeline.cmd("ZADD").arg(test_store.key("due")).arg("LT").arg(&due).arg("1:task");
        pipeline.cmd("PUBLISH").arg(test_store.key("changes")).arg(format!("due {due}"));
        pipeline.query::<()>(&mut test_store.connection()).unwrap();

        let change = bench.store().changed(seen).await.unwrap();
        assert_eq!(change.hint, Some(Hint::Due(bench.at())));
        let started = bench.a().start("nightly").await;
        assert_eq!(bench.stored("nightly").await.body.extra["colour"], "red");
        for filter in [JobFilter::new().tag("tenant:42"), JobFilter::new().task("task")] {
            for order in [JobOrder::Id, JobOrder::NextFireTime] {
                let search = JobSearch::new(filter.clone(), 9).with_order(order);
                let found = bench.store().search_jobs(&search).await.unwrap().jobs;
                assert_eq!(found.len(), 1, "{search:?}");
            }
        }
        bench.a().end(&started, Verdict::Ok).await;
        assert_eq!(bench.stored("nightly").await.totals.of(Verdict::Ok), 1);
        let again = bench.job("nightly", bench.at());
        let reply = bench.store().insert(bench.at(), std::slice::from_ref(&again)).await.unwrap();
        assert!(matches!(reply.value[..], [Inserted::Conflict(_)]), "{reply:?}");
    });
}

#[test]
fn fields_that_cannot_be_read_are_quarantined_and_stay_as_they_are() {
    block_on(async {
        for (field, value) in [
            ("fence", "seven"),
            ("revision", "1.5"),
            ("last_seq", "-1"),
            ("due", "soon"),
            ("next_fire_time", "99999999999999999999"),
            ("totals", r#"{"won":3}"#),
            ("history", "all"),
            ("claim_until", "inf"),
            ("v", "one"),
            ("body", "\u{FFFD}"),
            ("body", r#"{"v": 1, "task": "task"}"#),
            ("body", "null"),
            ("blocked", "nan"),
        ] {
            let test_store = TestStore::new();
            let bench = bench(&test_store).await;
            let broken = bench.due_job("broken").await;
            bench.due_job("sound").await;
            test_store.run::<()>(&["HSET", &format!("@job:{}", broken.uid), field, value]);
            if field == "v" {
                // As by a program that keeps the index in step.
                test_store.run::<()>(&["ZREM", "@due:1:task", &broken.uid.to_string()]);
                test_store.run::<()>(&["ZADD", "@due:one:task", "1", &broken.uid.to_string()]);
                test_store.run::<()>(&["ZADD", "@due", "1", "one:task"]);
            }

            let claimed = bench.a().claim().await;

            assert_eq!(claimed.jobs.len(), 1, "{field}: {claimed:?}");
            let [raw] = &claimed.quarantined[..] else { panic!("{field}: {claimed:?}") };
            assert_eq!(raw.id.as_str(), "broken");
            let state: [String; 2] = test_store.run(&["HMGET", &format!("@job:{}", broken.uid), "state", "reason"]);
            assert_eq!(state, ["quarantined".to_owned(), raw.reason.clone()], "{field}");
            let kept: Option<String> = test_store.run(&["HGET", &format!("@job:{}", broken.uid), field]);
            assert!(matches!(field, "due" | "claim_until") || kept.as_deref() == Some(value), "{field}: {kept:?}");
            let again = bench.b().claim().await;
            assert_eq!((again.quarantined, again.more), (vec![], false), "{field}");
            let removed = bench.store().remove(bench.at(), &["broken".into()]).await.unwrap().value;
            assert_eq!(removed, [Removed::Removed { uid: Some(broken.uid), running: 0, cancelled: vec![] }], "{field}");
        }
    });
}

#[test]
fn a_job_with_a_run_that_cannot_be_read_is_quarantined() {
    block_on(async {
        for run in ["{", "7", r#"{"seq":1,"state":"flying"}"#, r#"{"seq":"one","state":"running"}"#, ""] {
            let test_store = TestStore::new();
            let bench = bench(&test_store).await;
            let job = bench.due_job("report").await;
            test_store.run::<()>(&["HSET", &format!("@open:{}", job.uid), "1", run]);
            test_store.run::<()>(&["HSET", &format!("@job:{}", job.uid), "last_seq", "1"]);
            let claimed = bench.a().claim().await;
            assert_eq!((claimed.jobs.len(), claimed.quarantined.len()), (0, 1), "{run}");
            assert_eq!(bench.runs(job.uid).await, [], "{run}");
            assert!(matches!(bench.stored("report").await.state, JobState::Quarantined(_)));
        }
    });
}

#[test]
fn entries_that_do_not_agree_with_their_jobs_are_put_right() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let job = bench.due_job("report").await;
        let (uid, due) = (job.uid.to_string(), bench.at().timestamp_micros().to_string());
        // Of no job, of another kind, of another time, and of a claim that nobody has.
        test_store.run::<()>(&["ZADD", "@due:1:task", "1", "no such job"]);
        test_store.run::<()>(&["ZADD", "@due", "1", "1:task"]);
        test_store.run::<()>(&["ZREM", "@due:1:task", &uid]);
        test_store.run::<()>(&["ZADD", "@due:1:other", "5", &uid]);
        test_store.run::<()>(&["ZADD", "@due", "5", "1:other"]);
        test_store.run::<()>(&["ZADD", "@claims:node-a", "5", &format!("{uid}\n1:task")]);
        test_store.run::<()>(&["SADD", "@claimers", "node-a"]);
        test_store.run::<()>(&["ZADD", "@running:node-a", "0", &format!("{uid}:0000000000000009")]);
        let tasks = ["task".into(), "other".into()];
        let both = bench.a().claim_call().with_tasks(std::sync::Arc::new(tasks.into()));

        assert_eq!(bench.a().send(&both).await.jobs.len(), 1);

        bench.a().life_sign().await;
        bench.store().release(bench.at(), &"node-a".into()).await.unwrap();
        let index: Vec<(String, String)> = test_store.run(&["ZRANGE", "@due:1:task", "0", "-1", "WITHSCORES"]);
        assert_eq!(index, [(uid, due.clone())]);
        let kinds: Vec<(String, String)> = test_store.run(&["ZRANGE", "@due", "0", "-1", "WITHSCORES"]);
        assert_eq!(kinds, [("1:task".to_owned(), due)]);
        bench.store().remove(bench.at(), &["report".into()]).await.unwrap();
        assert_eq!(test_store.names(), ["meta"]);
    });
}

#[test]
fn an_id_without_its_job_is_listed_and_gives_way() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        for id in ["one", "two"] {
            let job = bench.due_job(id).await;
            test_store.run::<()>(&["DEL", &format!("@job:{}", job.uid)]);
        }
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
        assert!(matches!(&listed[..], [Listed::Raw(one), Listed::Raw(_)] if one.id == "one"), "{listed:?}");
        let removed = bench.store().remove(bench.at(), &["one".into()]).await.unwrap().value;
        assert_eq!(removed[0].running(), Some(0));
        assert_eq!(bench.a().claim().await.jobs, []);
        let removed = bench.store().remove_all(bench.at()).await.unwrap().value.count;
        assert_eq!((removed, bench.store().job(&"two".into()).await.unwrap()), (1, None));
    });
}

#[test]
fn nothing_is_left_of_jobs_that_are_over() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        bench.due_job("ended").await;
        let ended = bench.a().start_and("ended", |to| to.state = JobState::Ending).await;
        bench.a().end(&ended, Verdict::Ok).await;
        bench.due_job("removed").await;
        let removed = bench.a().start("removed").await;
        bench.store().remove(bench.at(), &["removed".into()]).await.unwrap();
        bench.a().end(&removed, Verdict::Error).await;
        bench.due_job("taken over").await;
        bench.a().start("taken over").await;
        bench.due_job("cancelled").await;
        let now = bench.at();
        let cancelled = bench.b().start_and("cancelled", |to| to.due = Some(now)).await;
        let claimed = bench.b().claim_one("cancelled").await;
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Cancel { seq: cancelled.run.seq });
        to.runs.push(RunChange::Insert(nth_run(&claimed, 1, RunState::Waiting(Wait::Queued))));
        bench.b().settle_one(&to).await;
        assert_eq!(bench.b().life_sign().await.cancel, [cancelled.run]);
        bench.advance(scheduler_testkit::store::LEASE).await;
        bench.b().adopt().await;
        bench.due_job("released").await;
        bench.a().claim().await;
        for node in ["node-a", "node-b"] {
            bench.store().release(bench.at(), &node.into()).await.unwrap();
        }
        bench.store().remove_all(bench.at()).await.unwrap();
        assert_eq!(test_store.names(), ["meta"]);
    });
}

#[test]
fn an_idle_claim_writes_nothing() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        bench.add(&bench.job("report", bench.at() + TimeDelta::hours(1))).await;
        let before = test_store.dump();
        for _ in 0..3 {
            bench.a().adopt().await;
            bench.b().send(&bench.b().claim_call().with_declined(Report::Declined)).await;
        }
        assert_eq!(test_store.dump(), before);
    });
}

#[test]
fn jobs_of_other_tasks_are_not_walked_through() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let idle = fastest_claim(&bench).await;
        for part in 0..25 {
            let jobs = (0..200).map(|n| {
                let mut job = bench.job(&format!("foreign-{part}-{n}"), bench.at());
                job.body.task = "another".into();
                job
            });
            bench.store().insert(bench.at(), &jobs.collect::<Vec<_>>()).await.unwrap();
        }
        let beside_5000 = fastest_claim(&bench).await;
        assert!(beside_5000 < idle * 5 + Duration::from_millis(2), "{beside_5000:?} instead of {idle:?}");
    });
}

#[expect(clippy::disallowed_methods, reason = "the time of the call is what is tested")]
async fn fastest_claim(bench: &Bench) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let start = std::time::Instant::now();
        assert_eq!(bench.a().claim().await.jobs, []);
        fastest = fastest.min(start.elapsed());
    }
    fastest
}

#[test]
fn all_keys_begin_with_the_prefix() {
    block_on(async {
        let test_store = TestStore::new();
        // The server lets this user nowhere else.
        let user = test_store.user(&["+@all"]);
        let (a, b) = (
            test_store.options().connect(&user.url).await.unwrap(),
            test_store.options().connect(&user.url).await.unwrap(),
        );
        let bench = Bench::new(StoreUnderTest::new(a, b));
        let seen = bench.store().changed(0).await.unwrap().seen;
        for id in ["one", "two", "three"] {
            bench.due_job(id).await;
        }
        let started = bench.a().start("one").await;
        bench.a().end(&started, Verdict::Ok).await;
        bench.a().start("two").await;
        bench.b().adopt().await;
        bench.store().release(bench.at(), &"node-a".into()).await.unwrap();
        assert_eq!(bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap().len(), 3);
        assert_eq!(bench.runs(started.uid()).await.len(), 1);
        bench.store().remove_all(bench.at()).await.unwrap();
        bench.store().changed(seen).await.unwrap();
    });
}

#[test]
fn schedulers_with_other_prefixes_share_a_server_without_meeting() {
    block_on(async {
        let (test_store, other) = (TestStore::new(), TestStore::new());
        let (bench, store) = (bench(&test_store).await, other.open().await);
        bench.due_job("report").await;
        assert_eq!(store.jobs(&JobQuery { after: None, limit: 9 }).await.unwrap(), []);
        for prefix in ["", "a b", "a{b}", "ä", "a*", &"x".repeat(65)] {
            let error = RedisOptions::new().key_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{prefix}");
        }
    });
}

#[test]
fn a_client_of_the_application_can_be_used() {
    block_on(async {
        let test_store = TestStore::new();
        let client = redis::Client::open(&*test_store.url).unwrap();
        let store = test_store.options().from_client(&client).await.unwrap();
        let debug = format!("{store:?}");
        assert!(debug.contains("127.0.0.1") && debug.contains(&test_store.prefix), "{debug}");
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store));
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        drop(RedisStore::from_client(&client).await.unwrap());
    });
}

#[test]
fn big_jobs_go_in_and_come_out_in_parts() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let mut jobs: Vec<_> = (0..24).map(|n| bench.job(&format!("job-{n:02}"), bench.at())).collect();
        for job in &mut jobs {
            job.body.args = serde_json::json!("x".repeat(900_000));
        }
        let reply = bench.store().insert(bench.at(), &jobs).await.unwrap();
        assert_eq!(reply.value, vec![Inserted::Added; 24]);

        let first = bench.a().claim().await;
        assert!(first.more && (1..24).contains(&first.jobs.len()), "{}", first.jobs.len());
        bench.a().settle(&first.jobs.iter().map(moved).collect::<Vec<_>>()).await;
        assert_ne!(bench.a().claim().await.jobs[0].job.uid, first.jobs[0].job.uid);
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 100 }).await.unwrap();
        assert_eq!(listed.len(), 24);
        assert_eq!(bench.store().remove_all(bench.at()).await.unwrap().value.count, 24);
    });
}

#[test]
fn a_definition_beyond_what_is_read_is_put_aside_and_not_transferred() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let large = bench.due_job("large").await;
        bench.due_job("small").await;
        test_store.run::<()>(&["HSET", &format!("@job:{}", large.uid), "body", &"x".repeat(40 << 20)]);
        let sent =
            || test_store.run::<redis::InfoDict>(&["INFO", "clients"]).get::<u64>("client_recent_max_output_buffer");
        let claimed = bench.a().claim().await;
        let [raw] = &claimed.quarantined[..] else { panic!("{claimed:?}") };
        assert!(raw.reason.contains("16777216 bytes"), "{}", raw.reason);
        assert!(matches!(bench.store().job(&"large".into()).await.unwrap(), Some(Listed::Raw(_))));
        assert!(sent().is_none_or(|bytes| bytes < 40 << 20), "{:?}", sent());
        let next = bench.a().claim().await;
        assert_eq!((claimed.jobs.len() + next.jobs.len(), claimed.more), (1, claimed.jobs.is_empty()));
    });
}

#[test]
fn a_claim_takes_a_batch_and_says_that_there_is_more() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let batch = bench.store().limits().batch;
        let jobs: Vec<_> = (0..batch + 50).map(|n| bench.job(&format!("job-{n:03}"), bench.at())).collect();
        bench.store().insert(bench.at(), &jobs).await.unwrap();
        let first = bench.a().send(&bench.a().claim_call().with_limit(10 * batch)).await;
        assert_eq!((first.jobs.len(), first.more), (batch, true));
        bench.a().settle(&first.jobs.iter().map(moved).collect::<Vec<_>>()).await;
        let rest = bench.a().send(&bench.a().claim_call().with_limit(10 * batch)).await;
        assert_eq!((rest.jobs.len(), rest.more), (50, false));
    });
}

#[test]
fn times_that_are_centuries_ahead_are_kept_exactly() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store).await;
        let far = chrono::DateTime::from_timestamp_micros(253_402_300_799_123_457).unwrap();
        let job = bench.job("report", far);
        bench.add(&job).await;
        assert_eq!(bench.stored("report").await, job);
        let mut soon = job.clone();
        soon.due = Some(bench.at());
        soon.uid = scheduler_core::Uid(77);
        soon.id = "soon".into();
        bench.add(&soon).await;
        let mut to = moved(&bench.a().claim_one("soon").await);
        to.next_fire_time = Some(bench.at());
        bench.a().settle_one(&to).await;
        assert_eq!(bench.stored("soon").await.next_fire_time, Some(far), "it never moves back");
    });
}

/// The sample is what version 0.1 left, and has to be opened by each later one.
#[test]
fn keys_of_the_first_schema_are_brought_up_to_date() {
    block_on(async {
        let test_store = TestStore::new();
        test_store.load(include_str!("schema-1.jsonl"));
        let bench = bench(&test_store).await;
        assert_eq!(test_store.run::<Vec<String>>(&["HGETALL", "@meta"]), ["schema", "3"]);
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap();
        let ids: Vec<&str> = listed.iter().map(|it| it.id().as_str()).collect();
        assert_eq!(ids, ["broken", "claimed", "ended", "later", "running", "stopping"]);
        let ended = bench.stored("ended").await;
        assert_eq!((ended.totals.of(Verdict::Ok), bench.runs(ended.uid).await.len()), (2, 2));

        // A run that goes on ends, one that is to stop is told so, and what a dead node ran is taken over.
        let uid = bench.stored("stopping").await.uid;
        let stopping = RunId { uid, seq: 1 };
        assert_eq!(bench.b().life_sign().await.cancel, [stopping]);
        let report =
            RunReport::End { verdict: Verdict::Cancelled, error: None, duration: Duration::ZERO, output: None };
        let reply = bench.b().record(&[Entry::new(stopping, 1, report)]).await;
        assert_eq!((reply.outcomes, reply.hold), (vec![RecordOutcome::Done], Hold::Kept));
        bench.advance(scheduler_testkit::store::LEASE).await;
        let taken = bench.node("node-c").adopt().await;
        let mut ids: Vec<&str> = taken.jobs.iter().map(|it| it.job.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["claimed", "ended", "removed", "running"]);
        let running = taken.jobs.iter().find(|it| it.job.id == "running").unwrap();
        assert_eq!(running.waiting[0].state, RunState::Waiting(Wait::Orphan));
        assert_eq!(test_store.run::<Vec<String>>(&["HKEYS", "@nodes"]), ["node-c"]);
        bench.store().release(bench.at(), &"node-c".into()).await.unwrap();
        bench.store().remove_all(bench.at()).await.unwrap();
    });
}
