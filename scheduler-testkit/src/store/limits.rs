//! Promises about limits by key: [`JobStore::set_key_limit`](scheduler_core::JobStore::set_key_limit) and what
//! [`JobStore::settle`](scheduler_core::JobStore::settle) makes of it.

use std::num::NonZeroU32;

use chrono::TimeDelta;
use futures_util::future::join_all;
use scheduler_core::{
    JobRow, LimitKey, RunState, Verdict, Wait,
    store::{
        ClaimedJob, KeyLimit, KeyLimits, Move, RecordOutcome, Removed, RunChange, RunReport, Settle, SettleOutcome,
        Turn, Updated, Waits,
    },
};

use super::{
    Bench, LEASE, Node, Started, moved,
    node::{ended, update_of},
    nth_run,
};

const KEY: &str = "tenant-42";

/// A job that is due, so many seconds after another one of the suite, and counts under a key.
async fn keyed_job(bench: &Bench, id: &str, key: &str, seconds_ago: i64) -> JobRow {
    let mut job = bench.job(id, bench.now().await - TimeDelta::seconds(seconds_ago));
    job.body.options.limit_key = Some(key.into());
    bench.add(&job).await;
    job
}

async fn set(bench: &Bench, key: &str, limit: u32) {
    let limit = NonZeroU32::new(limit);
    bench.store().set_key_limit(bench.at(), &key.into(), limit).await.expect("the store keeps limits by key");
}

async fn shown(bench: &Bench, key: &str) -> Option<KeyLimit> {
    let key = LimitKey::from(key);
    bench.store().key_limits(Some(&key)).await.expect("limits can be asked for").pop()
}

async fn running(bench: &Bench) -> usize {
    shown(bench, KEY).await.expect("the key has a limit").running
}

/// The move by which a claimed job starts its next run.
fn starting(claimed: &ClaimedJob) -> Move {
    let mut to = moved(claimed).with_limit_key(claimed.job.body.options.limit_key.clone());
    to.runs.push(RunChange::Insert(nth_run(claimed, 1, RunState::Running)));
    to
}

/// The job is claimed and finds no place.
async fn waits(node: &Node<'_>, id: &str) -> Move {
    let to = starting(&node.claim_one(id).await);
    assert_eq!(node.settle_one(&to).await, SettleOutcome::Waits(Waits::Begin), "job {id}");
    to
}

/// Whether the job is due since when it was added, and not only when it looks again by itself.
async fn is_due(bench: &Bench, job: &JobRow) -> bool {
    bench.stored(job.id.as_str()).await.due == job.due
}

/// A limit is there for all handles, with how far it is used, until it is taken away.
pub async fn a_limit_is_kept_and_shown(bench: &Bench) {
    assert_eq!(bench.store().limits().key_limits, KeyLimits::Kept);
    assert_eq!(bench.store().key_limits(None).await.unwrap(), []);
    for (key, limit) in [("b", 3), ("a", 1), ("b", 2), ("c", 1), ("c", 0), ("never", 0)] {
        set(bench, key, limit).await;
    }
    let limit = |key: &str, limit: u32| KeyLimit::new(key.into(), limit.try_into().unwrap());
    let mut all = bench.b().store.key_limits(None).await.unwrap();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(all, [limit("a", 1), limit("b", 2)]);
    assert_eq!(shown(bench, "b").await, Some(limit("b", 2)));
    assert_eq!(shown(bench, "c").await, None);
    let hidden = bench.store().jobs(&scheduler_core::store::JobQuery { after: None, limit: 10 }).await.unwrap();
    assert_eq!(hidden, [], "a limit is no job");
}

/// A move that would start one run too many starts none, and its job is due when another one ends.
pub async fn no_more_runs_start_than_the_limit_allows(bench: &Bench) {
    set(bench, KEY, 2).await;
    keyed_job(bench, "one", KEY, 3).await;
    let one = bench.a().start("one").await;
    keyed_job(bench, "two", KEY, 2).await;
    bench.b().start("two").await;
    let three = keyed_job(bench, "three", KEY, 1).await;
    waits(&bench.b(), "three").await;
    assert!(!is_due(bench, &three).await);
    assert_eq!(bench.runs(three.uid).await, []);
    let limit = shown(bench, KEY).await.unwrap();
    assert_eq!((limit.running, limit.waiting, limit.free()), (2, 1, 0));

    let recorded = bench.a().record(&[one.entry(ended(Verdict::Ok))]).await;

    assert_eq!(recorded.outcomes, [RecordOutcome::Done]);
    assert_eq!(recorded.next_due, three.due, "the node learns that it is due");
    assert!(is_due(bench, &three).await);
    bench.a().start("three").await;
    let limit = shown(bench, KEY).await.unwrap();
    assert_eq!((limit.running, limit.waiting), (2, 0));
}

/// Without a limit, any number runs at once.
pub async fn a_key_without_a_limit_is_not_limited(bench: &Bench) {
    set(bench, "another", 1).await;
    for id in ["one", "two", "three"] {
        keyed_job(bench, id, KEY, 1).await;
        let started = bench.a().start(id).await;
        if id == "one" {
            assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
        }
    }
}

/// What finds no place holds up neither jobs of other keys nor those without one, not even in the same call.
pub async fn other_keys_and_jobs_without_one_are_not_held_up(bench: &Bench) {
    set(bench, KEY, 1).await;
    set(bench, "other", 1).await;
    keyed_job(bench, "one", KEY, 4).await;
    keyed_job(bench, "two", KEY, 3).await;
    keyed_job(bench, "three", "other", 2).await;
    bench.due_job("four").await;
    let claimed = bench.a().claim().await;
    let moves: Vec<Move> = claimed.jobs.iter().map(starting).collect();
    let outcomes = bench.a().settle(&moves).await.outcomes;
    let starts = outcomes.iter().filter(|outcome| matches!(outcome, SettleOutcome::Applied { .. })).count();
    assert_eq!((starts, outcomes[1]), (3, SettleOutcome::Waits(Waits::Begin)), "{outcomes:?}");
}

/// Jobs that wait are not due, so that a claim with a limit gets to those behind them.
pub async fn many_that_wait_leave_the_claim_to_others(bench: &Bench) {
    set(bench, KEY, 1).await;
    for n in 0..8 {
        keyed_job(bench, &format!("job {n}"), KEY, 60 - n).await;
    }
    bench.due_job("last").await;
    let claimed = bench.a().claim_up_to(8).await;
    assert_eq!(claimed.jobs.len(), 8);
    let moves: Vec<Move> = claimed.jobs.iter().map(starting).collect();
    bench.a().settle(&moves).await;
    // They have been due for a minute, and look again as much later.
    let claimed = bench.b().claim_up_to(1).await;
    assert_eq!(claimed.jobs[0].job.id, "last");
}

/// A free place is for the job that has been due for longest, whichever asked first.
pub async fn the_first_that_waits_is_due_first(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 40).await;
    let one = bench.a().start("one").await;
    let late = keyed_job(bench, "late", KEY, 20).await;
    waits(&bench.a(), "late").await;
    let early = keyed_job(bench, "early", KEY, 30).await;
    waits(&bench.b(), "early").await;
    bench.a().end(&one, Verdict::Ok).await;
    assert!(is_due(bench, &early).await);
    assert!(!is_due(bench, &late).await, "there is one place");
    let early = bench.b().start("early").await;
    bench.b().end(&early, Verdict::Error).await;
    assert!(is_due(bench, &late).await);
}

/// The same move twice takes one place, and its end gives that back, also twice.
pub async fn a_move_repeated_takes_one_place(bench: &Bench) {
    set(bench, KEY, 2).await;
    keyed_job(bench, "one", KEY, 1).await;
    let claimed = bench.a().claim_one("one").await;
    let to = starting(&claimed);
    for _ in 0..2 {
        assert!(matches!(bench.a().settle_one(&to).await, SettleOutcome::Applied { .. }));
        assert_eq!(running(bench).await, 1);
    }
    let started = Started { run: nth_run(&claimed, 1, RunState::Running).id, fence: to.fence, claimed };
    for _ in 0..2 {
        assert_eq!(bench.a().end(&started, Verdict::Ok).await, RecordOutcome::Done);
        assert_eq!(running(bench).await, 0);
    }
    assert!(matches!(bench.a().settle_one(&to).await, SettleOutcome::Applied { .. }));
    assert_eq!(running(bench).await, 0, "what has been applied and has ended takes none");
}

/// A change voids the claim: the move is not applied, and the next job has the place.
pub async fn a_move_that_is_not_applied_leaves_its_place(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    let claimed = bench.a().claim_one("one").await;
    let update = update_of(&bench.stored("one").await).with_due(None);
    assert!(matches!(bench.b().update(&update).await, Updated::Updated(_)));
    assert_eq!(bench.a().settle_one(&starting(&claimed)).await, SettleOutcome::Changed);
    assert_eq!(running(bench).await, 0);
    keyed_job(bench, "two", KEY, 1).await;
    bench.b().start("two").await;
}

/// A job that waits has given its claim up: the same move, sent once more, is not applied when a place is free, since its node has been
/// told that it is not.
pub async fn a_move_that_has_to_wait_is_not_applied_later(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    let two = keyed_job(bench, "two", KEY, 1).await;
    let one = bench.a().start("one").await;
    let to = waits(&bench.a(), "two").await;
    bench.a().end(&one, Verdict::Ok).await;
    assert_eq!(bench.a().settle_one(&to).await, SettleOutcome::Taken);
    assert_eq!(bench.runs(two.uid).await, []);
    assert_eq!(running(bench).await, 0);
}

/// A run whose node has died has its place until another node takes it over; then the place is free, also for that run.
pub async fn a_run_counts_until_it_is_taken_over(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    let one = bench.a().start("one").await;
    bench.advance(LEASE * 2).await;
    keyed_job(bench, "two", KEY, 1).await;
    waits(&bench.b(), "two").await;

    let claimed = bench.b().adopt().await;

    let of_one = claimed.jobs.iter().find(|it| it.job.id == "one").expect("it is due");
    assert_eq!((of_one.waiting[0].id, of_one.waiting[0].state), (one.run, RunState::Waiting(Wait::Orphan)));
    let mut to = moved(of_one).with_limit_key(Some(KEY.into()));
    to.runs.push(RunChange::Start { seq: one.run.seq, attempt: 2 });
    assert!(matches!(bench.b().settle_one(&to).await, SettleOutcome::Applied { .. }));
    assert_eq!(running(bench).await, 1);
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Stale);
    assert_eq!(running(bench).await, 1, "the node that has lost it frees nothing");
}

/// A node that ends has given its runs back: another job has the place.
pub async fn a_run_given_back_by_a_release_does_not_count(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    bench.a().start("one").await;
    keyed_job(bench, "two", KEY, 1).await;
    bench.a().release().await;
    bench.b().start("two").await;
    assert_eq!(running(bench).await, 1);
}

/// The place of a run that ends goes to one that starts in the same turn.
pub async fn a_place_is_handed_on_within_a_turn(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    let one = bench.a().start("one").await;
    keyed_job(bench, "two", KEY, 1).await;
    let to = starting(&bench.a().claim_one("two").await);
    let record = bench.a().record_call(&[one.entry(ended(Verdict::Ok))]);
    let settle = Settle::new(bench.at(), bench.a().id, LEASE, vec![to]);

    let turn = Turn { record: Some(record), settle: Some(settle), claim: None };
    let reply = bench.store().turn(&turn).await.expect("a turn is answered");

    let outcomes = reply.settle.expect("it was asked for").outcomes;
    assert!(matches!(outcomes[..], [SettleOutcome::Applied { .. }]), "{outcomes:?}");
    assert_eq!(running(bench).await, 1);
}

/// A run that waits to be repeated, or was given back, counts nowhere.
pub async fn a_run_that_is_put_off_leaves_its_place(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 3).await;
    let one = bench.a().start("one").await;
    let two = keyed_job(bench, "two", KEY, 2).await;
    waits(&bench.a(), "two").await;
    let due = bench.now().await + TimeDelta::hours(1);
    bench.a().report(&one, RunReport::Retry { due, error: None }).await;
    assert!(is_due(bench, &two).await);
    let two = bench.a().start("two").await;
    bench.a().report(&two, RunReport::Release).await;
    assert_eq!(running(bench).await, 0);
}

/// What runs goes on, and counts.
pub async fn a_lower_limit_ends_nothing(bench: &Bench) {
    set(bench, KEY, 2).await;
    keyed_job(bench, "one", KEY, 4).await;
    keyed_job(bench, "two", KEY, 3).await;
    let (one, two) = (bench.a().start("one").await, bench.a().start("two").await);
    set(bench, KEY, 1).await;
    assert_eq!(running(bench).await, 2);
    let three = keyed_job(bench, "three", KEY, 2).await;
    waits(&bench.b(), "three").await;
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Done);
    assert!(!is_due(bench, &three).await, "one runs, as many as may");
    assert_eq!(bench.a().end(&two, Verdict::Ok).await, RecordOutcome::Done);
    assert!(is_due(bench, &three).await);
}

/// Jobs that wait need not wait for an end.
pub async fn a_higher_limit_is_used_at_once(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 4).await;
    bench.a().start("one").await;
    let two = keyed_job(bench, "two", KEY, 3).await;
    waits(&bench.b(), "two").await;
    let three = keyed_job(bench, "three", KEY, 2).await;
    waits(&bench.b(), "three").await;
    set(bench, KEY, 2).await;
    assert!(is_due(bench, &two).await);
    assert!(!is_due(bench, &three).await);
    bench.b().start("two").await;
}

/// A key whose limit is taken away holds nothing up any more.
pub async fn without_the_limit_all_that_wait_are_due(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 4).await;
    let one = bench.a().start("one").await;
    let two = keyed_job(bench, "two", KEY, 3).await;
    waits(&bench.b(), "two").await;
    let three = keyed_job(bench, "three", KEY, 2).await;
    waits(&bench.b(), "three").await;
    set(bench, KEY, 0).await;
    assert!(is_due(bench, &two).await && is_due(bench, &three).await);
    bench.b().start("two").await;
    bench.b().start("three").await;
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Done);
}

/// A limit that comes late counts what is there: what runs, and what a node has claimed and may be about to start.
pub async fn what_runs_or_is_claimed_before_the_limit_counts(bench: &Bench) {
    keyed_job(bench, "one", KEY, 4).await;
    let one = bench.a().start("one").await;
    keyed_job(bench, "two", KEY, 3).await;
    let claimed = bench.a().claim_one("two").await;
    set(bench, KEY, 2).await;
    assert_eq!(running(bench).await, 2);
    let three = keyed_job(bench, "three", KEY, 2).await;
    waits(&bench.b(), "three").await;
    assert!(matches!(bench.a().settle_one(&starting(&claimed)).await, SettleOutcome::Applied { .. }));
    assert_eq!(running(bench).await, 2);
    let two = Started { run: nth_run(&claimed, 1, RunState::Running).id, fence: claimed.job.fence, claimed };
    assert_eq!(bench.a().end(&two, Verdict::Ok).await, RecordOutcome::Done);
    assert_eq!(running(bench).await, 1);
    assert!(is_due(bench, &three).await);
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Done);
    assert_eq!(running(bench).await, 0);
}

/// A job that gets another key while it runs leaves its run where it is.
pub async fn a_run_counts_under_the_key_with_which_it_started(bench: &Bench) {
    set(bench, KEY, 1).await;
    set(bench, "other", 1).await;
    keyed_job(bench, "one", KEY, 3).await;
    let one = bench.a().start("one").await;
    let job = bench.stored("one").await;
    let mut body = job.body.clone();
    body.options.limit_key = Some("other".into());
    assert!(matches!(bench.b().update(&update_of(&job).with_body(Some(body))).await, Updated::Updated(_)));
    assert_eq!(running(bench).await, 1);
    assert_eq!(shown(bench, "other").await.unwrap().running, 0);
    let two = keyed_job(bench, "two", KEY, 2).await;
    waits(&bench.b(), "two").await;
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Done);
    assert!(is_due(bench, &two).await);
}

/// The place is for the next job if the first one does not want it any more.
pub async fn a_removed_job_leaves_its_turn_to_the_next(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 4).await;
    let one = bench.a().start("one").await;
    let two = keyed_job(bench, "two", KEY, 3).await;
    waits(&bench.a(), "two").await;
    let three = keyed_job(bench, "three", KEY, 2).await;
    waits(&bench.a(), "three").await;
    let removed = bench.b().store.remove(bench.at(), std::slice::from_ref(&two.id)).await.unwrap().value;
    assert!(matches!(removed[0], Removed::Removed { .. }));
    assert_eq!(bench.a().end(&one, Verdict::Ok).await, RecordOutcome::Done);
    assert!(is_due(bench, &three).await);
}

/// Limits, and what counts, are there after reopening.
pub async fn limits_outlive_the_process(bench: &Bench) {
    set(bench, KEY, 1).await;
    keyed_job(bench, "one", KEY, 2).await;
    bench.a().start("one").await;
    let Some(reopened) = bench.reopened().await else { return };
    let limit = reopened.key_limits(Some(&KEY.into())).await.unwrap().pop().unwrap();
    assert_eq!((limit.limit.get(), limit.running), (1, 1));
}

/// However many nodes start jobs at the same time, no more get places than there are, and all of those that there are.
pub async fn of_many_at_once_no_more_start_than_the_limit_allows(bench: &Bench) {
    set(bench, KEY, 3).await;
    let mut claimed = Vec::new();
    for n in 0..8 {
        keyed_job(bench, &format!("job {n}"), KEY, 20 - n).await;
        let node = if n % 2 == 0 { bench.a() } else { bench.b() };
        let node = node.renamed(&format!("node {n}"));
        let to = starting(&node.claim_one(&format!("job {n}")).await);
        claimed.push((node, to));
    }
    let all = join_all(claimed.iter().map(|(node, to)| node.settle_one(to))).await;
    let started = all.iter().filter(|outcome| matches!(outcome, SettleOutcome::Applied { .. })).count();
    assert_eq!(started, 3, "{all:?}");
    let limit = shown(bench, KEY).await.unwrap();
    assert_eq!((limit.running, limit.waiting), (3, 5));
}
