//! What becomes of fire times, as tables: a claimed job and the time, and the move that they lead to.

mod property;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::plan;
use crate::{
    Coalesce, Delivery, JobOptions, JobState, Overlap, Pause, RunState, Trigger, Wait, WhenFinished,
    engine::tests::script::{at, every, job, move_words, with_run},
    store::ClaimedJob,
    trigger::{Custom, CustomTrigger, Date, Interval},
};

const RUNNING: RunState = RunState::Running;
const QUEUED: RunState = RunState::Waiting(Wait::Queued);
const RETRY: RunState = RunState::Waiting(Wait::Retry);
const ORPHAN: RunState = RunState::Waiting(Wait::Orphan);
const REQUESTED: RunState = RunState::Waiting(Wait::Requested);
const RELEASED: RunState = RunState::Waiting(Wait::Released);

/// A job that fires each ten seconds, next after so many, with options of its own.
fn report(next: f64, options: impl FnOnce(&mut JobOptions)) -> ClaimedJob {
    with_trigger(every(10), next, options)
}

fn with_trigger(trigger: impl Into<Trigger>, next: f64, options: impl FnOnce(&mut JobOptions)) -> ClaimedJob {
    let mut claimed = job(1, "report", trigger.into(), next);
    options(&mut claimed.job.body.options);
    claimed
}

fn in_state(mut claimed: ClaimedJob, state: JobState) -> ClaimedJob {
    claimed.job.state = state;
    claimed.job.next_fire_time = None;
    claimed
}

/// A job that was paused when it stood at a fire time, until so many seconds.
fn paused_until(claimed: ClaimedJob, stands_at: Option<f64>, until: f64) -> ClaimedJob {
    let mut claimed = in_state(claimed, JobState::Paused);
    let pause = Pause::new().until(at(until)).begun(at(0.0), stands_at.map(at));
    claimed.job.body.pause = Some(Box::new(pause));
    claimed
}

fn grace(seconds: u64) -> impl Fn(&mut JobOptions) {
    move |options| options.misfire_grace_time = Some(Duration::from_secs(seconds))
}

fn instances(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

#[track_caller]
fn check(claimed: ClaimedJob, now: f64, expected: &str) {
    let to = plan(&claimed, at(now)).unwrap();
    assert_eq!(move_words(&to).trim(), expected);
}

#[test]
fn a_fire_time_that_is_due_runs_and_one_that_is_not_waits() {
    check(report(10.0, |_| {}), 10.0, "#1 +10s starts, next +20s");
    check(report(10.0, |_| {}), 9.9, "next +10s");
}

#[test]
fn of_several_that_are_due_coalescing_picks_those_that_run() {
    let coalesce = |coalesce| report(10.0, move |options| options.coalesce = coalesce);
    check(coalesce(Coalesce::Latest), 45.0, "#1 +10s..+30s (3) coalesced, #2 +40s starts, next +50s");
    check(coalesce(Coalesce::Latest), 25.0, "#1 +10s coalesced, #2 +20s starts, next +30s");
    check(coalesce(Coalesce::Earliest), 45.0, "#1 +10s starts, #2 +20s..+40s (3) coalesced, next +50s");
    check(coalesce(Coalesce::Earliest), 25.0, "#1 +10s starts, #2 +20s coalesced, next +30s");
    let all = coalesce(Coalesce::All);
    check(all, 35.0, "#1 +10s starts, #2 +20s queued, #3 +30s queued, next +40s blocked");
    let mut all = coalesce(Coalesce::All);
    all.job.body.options.max_instances = instances(2);
    check(all, 35.0, "#1 +10s starts, #2 +20s starts, #3 +30s queued, next +40s blocked");
}

#[test]
fn misfire_is_judged_first_and_coalescing_sees_only_what_is_in_time() {
    let judged = |coalesce, seconds| {
        report(10.0, move |options| {
            grace(seconds)(options);
            options.coalesce = coalesce;
        })
    };
    check(judged(Coalesce::Latest, 100), 45.0, "#1 +10s..+30s (3) coalesced, #2 +40s starts, next +50s");
    check(judged(Coalesce::Latest, 25), 45.0, "#1 +10s missed, #2 +20s..+30s (2) coalesced, #3 +40s starts, next +50s");
    check(
        judged(Coalesce::Earliest, 15),
        45.0,
        "#1 +10s..+20s (2) missed, #2 +30s starts, #3 +40s coalesced, next +50s",
    );
    check(
        judged(Coalesce::All, 15),
        45.0,
        "#1 +10s..+20s (2) missed, #2 +30s starts, #3 +40s queued, next +50s blocked",
    );
    check(judged(Coalesce::Latest, 5), 45.0, "#1 +10s..+30s (3) missed, #2 +40s starts, next +50s");
    check(judged(Coalesce::Latest, 4), 45.0, "#1 +10s..+40s (4) missed, next +50s");
    check(judged(Coalesce::Earliest, 4), 45.0, "#1 +10s..+40s (4) missed, next +50s");
    check(judged(Coalesce::All, 4), 45.0, "#1 +10s..+40s (4) missed, next +50s");
    check(judged(Coalesce::Latest, 0), 10.0, "#1 +10s starts, next +20s");
}

#[test]
fn a_year_of_seconds_is_one_row() {
    let year = 365.0 * 86_400.0;
    let mut claimed = with_trigger(every(1), 0.0, |_| {});
    check(claimed.clone(), year, "#1 +0s..+31535999s (31536000) coalesced, #2 +31536000s starts, next +31536001s");
    claimed.job.body.options.misfire_grace_time = Some(Duration::from_secs(1));
    check(
        claimed,
        year,
        "#1 +0s..+31535998s (31535999) missed, #2 +31535999s coalesced, #3 +31536000s starts, next +31536001s",
    );
}

#[test]
fn without_a_free_slot_the_overlap_policy_decides() {
    let busy = |overlap| with_run(report(10.0, move |options| options.overlap = overlap), 1, 0.0, RUNNING);
    check(busy(Overlap::Skip), 10.0, "#2 +10s skipped, next +20s");
    check(busy(Overlap::Allow), 10.0, "#2 +10s starts, next +20s");
    check(busy(Overlap::Queue(1)), 10.0, "#2 +10s queued, next +20s blocked");
    check(busy(Overlap::Queue(0)), 10.0, "#2 +10s skipped, next +20s");
    check(busy(Overlap::CancelPrevious), 10.0, "#1 is to stop, #2 +10s queued, next +20s blocked");
    let full = with_run(busy(Overlap::Queue(1)), 2, 10.0, QUEUED);
    check(full, 10.0, "#3 +10s skipped, next +20s blocked");
}

#[test]
fn max_instances_counts_runs_on_all_nodes_listed_or_not() {
    let mut claimed = report(10.0, |options| options.max_instances = instances(40));
    claimed.running_count = 39;
    check(claimed.clone(), 10.0, "#1 +10s starts, next +20s");
    claimed.running_count = 40;
    check(claimed, 10.0, "#1 +10s skipped, next +20s");
}

#[test]
fn a_run_that_waits_starts_before_a_new_one_and_takes_its_slot() {
    let queue = report(20.0, |options| options.overlap = Overlap::Queue(5));
    let waiting = with_run(with_run(queue, 1, 0.0, QUEUED), 2, 10.0, QUEUED);
    check(waiting, 20.0, "#1 starts, attempt 1, #3 +20s queued, next +30s blocked");
    let one = with_run(report(20.0, |_| {}), 1, 10.0, QUEUED);
    check(one, 15.0, "#1 starts, attempt 1, next +20s");
}

#[test]
fn a_run_is_started_again_as_the_next_attempt_only_if_it_had_started() {
    for (state, expected) in [
        (QUEUED, "#1 starts, attempt 1, next +20s"),
        (RELEASED, "#1 starts, attempt 1, next +20s"),
        (RETRY, "#1 starts, attempt 2, next +20s"),
        (ORPHAN, "#1 starts, attempt 2, next +20s"),
    ] {
        check(with_run(report(20.0, |_| {}), 1, 10.0, state), 15.0, expected);
    }
}

#[test]
fn a_run_that_was_asked_for_starts_beside_the_fire_times() {
    check(with_run(report(20.0, |_| {}), 1, 13.0, REQUESTED), 13.0, "#1 starts, attempt 1, next +20s");
    for state in [JobState::Paused, JobState::Kept] {
        let claimed = in_state(with_run(report(20.0, |_| {}), 1, 13.0, REQUESTED), state.clone());
        check(claimed, 13.0, &format!("#1 starts, attempt 1, {}", state.as_str()));
    }
    // The clock by which it was asked for is ahead of the store's.
    check(with_run(report(20.0, |_| {}), 1, 13.0, REQUESTED), 12.9, "next +20s due +13s");
    let paused = in_state(with_run(report(20.0, |_| {}), 1, 13.0, REQUESTED), JobState::Paused);
    check(paused, 12.9, "paused due +13s");
    // It takes the slot of the fire time that is due at once.
    check(with_run(report(20.0, |_| {}), 1, 20.0, REQUESTED), 20.0, "#1 starts, attempt 1, #2 +20s skipped, next +30s");
    let mut asked_to_stop = with_run(report(20.0, |_| {}), 1, 13.0, REQUESTED);
    asked_to_stop.waiting[0].cancel_requested = true;
    check(asked_to_stop, 13.0, "#1 cancelled, next +20s");
}

#[test]
fn without_a_free_slot_the_overlap_policy_decides_about_a_run_that_was_asked_for() {
    let busy = |overlap| {
        let running = with_run(report(20.0, move |options| options.overlap = overlap), 1, 10.0, RUNNING);
        with_run(running, 2, 13.0, REQUESTED)
    };
    check(busy(Overlap::Skip), 13.0, "#2 skipped, next +20s");
    check(busy(Overlap::Allow), 13.0, "#2 starts, attempt 1, next +20s");
    check(busy(Overlap::Queue(1)), 13.0, "next +20s blocked");
    check(busy(Overlap::Queue(0)), 13.0, "#2 skipped, next +20s");
    check(busy(Overlap::CancelPrevious), 13.0, "#1 is to stop, next +20s blocked");
    check(in_state(busy(Overlap::Queue(1)), JobState::Paused), 13.0, "paused blocked");
    check(in_state(busy(Overlap::Skip), JobState::Paused), 13.0, "#2 skipped, paused");
}

#[test]
fn of_many_runs_that_were_asked_for_as_many_wait_as_have_places() {
    let queue = |places| report(20.0, move |options| options.overlap = Overlap::Queue(places));
    let asked =
        |claimed| with_run(with_run(with_run(claimed, 1, 10.0, RUNNING), 2, 13.0, REQUESTED), 3, 14.0, REQUESTED);
    check(asked(queue(1)), 14.0, "#3 skipped, next +20s blocked");
    check(asked(queue(2)), 14.0, "next +20s blocked");
    // A place that they take is none for a fire time.
    check(asked(queue(2)), 20.0, "#4 +20s skipped, next +30s blocked");
    // Those before it count, whatever they wait for; one that starts leaves its place.
    let behind = with_run(with_run(with_run(queue(1), 1, 8.0, RUNNING), 2, 10.0, QUEUED), 3, 14.0, REQUESTED);
    check(behind, 14.0, "#3 skipped, next +20s blocked");
    let freed = with_run(with_run(queue(1), 2, 10.0, QUEUED), 3, 14.0, REQUESTED);
    check(freed, 14.0, "#2 starts, attempt 1, next +20s blocked");
}

#[test]
fn a_run_that_was_asked_for_cancels_those_before_it_and_gives_way_to_those_after_it() {
    let cancel = |next| report(next, |options| options.overlap = Overlap::CancelPrevious);
    let running = || with_run(cancel(20.0), 1, 5.0, RUNNING);
    let queued = with_run(with_run(running(), 2, 10.0, QUEUED), 3, 13.0, REQUESTED);
    check(queued, 13.0, "#1 is to stop, #2 cancelled, next +20s blocked");
    let two = with_run(with_run(running(), 2, 12.0, REQUESTED), 3, 13.0, REQUESTED);
    check(two, 13.0, "#1 is to stop, #2 cancelled, next +20s blocked");
    // What would start only now gives way at once.
    let waiting = with_run(with_run(cancel(20.0), 1, 10.0, QUEUED), 2, 13.0, REQUESTED);
    check(waiting, 13.0, "#1 cancelled, #2 starts, attempt 1, next +20s");
    let later = with_run(running(), 2, 13.0, REQUESTED);
    check(later, 20.0, "#1 is to stop, #2 cancelled, #3 +20s queued, next +30s blocked");
}

#[test]
fn a_fixed_delay_takes_a_run_that_was_asked_for_as_it_takes_its_own() {
    let trigger = Trigger::from(Interval::after_end(Duration::from_secs(10))).bind(at(0.0), chrono_tz::UTC, "report");
    let delay = |next: Option<f64>| {
        let mut claimed = with_trigger(trigger.clone(), 0.0, |_| {});
        claimed.job.next_fire_time = next.map(at);
        claimed.job.last_end = Some(at(7.0));
        claimed
    };
    check(with_run(delay(Some(17.0)), 1, 13.0, REQUESTED), 13.0, "#1 starts, attempt 1, next +17s");
    check(with_run(delay(Some(17.0)), 1, 13.0, RUNNING), 17.0, "#2 +17s skipped, blocked");
    let busy = with_run(with_run(delay(None), 1, 17.0, RUNNING), 2, 18.0, REQUESTED);
    check(busy, 18.0, "#2 skipped, blocked");
    let mut cancelled = with_run(delay(Some(17.0)), 1, 13.0, REQUESTED);
    cancelled.waiting[0].cancel_requested = true;
    check(cancelled, 13.0, "#1 cancelled, next +17s");
}

#[test]
fn a_retry_that_is_not_due_holds_no_slot_and_is_looked_at_in_time() {
    let retry = |next| {
        let mut claimed = with_run(report(next, |_| {}), 1, 0.0, RETRY);
        claimed.waiting[0].due = at(17.0);
        claimed
    };
    check(retry(10.0), 10.0, "#2 +10s starts, next +20s due +17s");
    check(retry(40.0), 10.0, "next +40s due +17s");
}

#[test]
fn an_orphan_runs_again_unless_at_most_once_or_after_three_takeovers_or_removed() {
    let orphan = |takeovers, options: fn(&mut JobOptions)| {
        let mut claimed = with_run(report(20.0, options), 1, 10.0, ORPHAN);
        claimed.waiting[0].takeovers = takeovers;
        claimed
    };
    check(orphan(3, |_| {}), 15.0, "#1 starts, attempt 2, next +20s");
    check(orphan(4, |_| {}), 15.0, "#1 lost, next +20s");
    check(orphan(1, |options| options.delivery = Delivery::AtMostOnce), 15.0, "#1 lost, next +20s");
    check(in_state(orphan(1, |_| {}), JobState::Removed), 15.0, "#1 lost, removed");
    let mut asked = orphan(1, |_| {});
    asked.waiting[0].cancel_requested = true;
    check(asked, 15.0, "#1 cancelled, next +20s");
}

#[test]
fn a_run_that_was_not_started_is_not_lost_by_at_most_once() {
    let released = with_run(report(20.0, |options| options.delivery = Delivery::AtMostOnce), 1, 10.0, RELEASED);
    check(released, 15.0, "#1 starts, attempt 1, next +20s");
}

#[test]
fn a_paused_job_keeps_its_waiting_runs_and_ends_those_that_are_hopeless() {
    let paused = |claimed| in_state(claimed, JobState::Paused);
    check(paused(with_run(report(20.0, |_| {}), 1, 10.0, RETRY)), 15.0, "paused");
    let lost = with_run(report(20.0, |options| options.delivery = Delivery::AtMostOnce), 1, 10.0, ORPHAN);
    check(paused(lost), 15.0, "#1 lost, paused");
}

#[test]
fn a_kept_or_ending_job_still_runs_what_waits() {
    for state in [JobState::Kept, JobState::Ending] {
        let claimed = with_run(report(20.0, |_| {}), 1, 10.0, ORPHAN);
        let expected = format!("#1 starts, attempt 2, {}", state.as_str());
        check(in_state(claimed, state.clone()), 15.0, &expected);
        let mut claimed = with_run(report(20.0, |_| {}), 1, 10.0, RETRY);
        claimed.waiting[0].due = at(30.0);
        check(in_state(claimed, state.clone()), 15.0, &format!("{} due +30s", state.as_str()));
    }
}

#[test]
fn a_removed_job_ends_what_waits() {
    check(in_state(with_run(report(20.0, |_| {}), 1, 10.0, RETRY), JobState::Removed), 15.0, "#1 cancelled, removed");
}

#[test]
fn after_its_last_fire_time_a_job_ends_or_is_kept() {
    let once =
        |when_finished| with_trigger(Date::at(at(10.0)), 10.0, move |options| options.when_finished = when_finished);
    check(once(WhenFinished::Remove), 10.0, "#1 +10s starts, ending");
    check(once(WhenFinished::Keep), 10.0, "#1 +10s starts, kept");
    let mut missed = once(WhenFinished::Remove);
    grace(5)(&mut missed.job.body.options);
    check(missed, 16.0, "#1 +10s missed, ending");
    let retrying = with_run(once(WhenFinished::Remove), 1, 0.0, RETRY);
    check(retrying, 10.0, "#1 starts, attempt 2, #2 +10s skipped, ending");
}

#[test]
fn cancel_previous_stops_each_running_run_once_and_only_the_newest_waits() {
    let cancel = |next| report(next, |options| options.overlap = Overlap::CancelPrevious);
    let mut waiting = with_run(with_run(cancel(20.0), 1, 0.0, RUNNING), 2, 10.0, QUEUED);
    waiting.running[0].cancel_requested = true;
    check(waiting, 20.0, "#2 cancelled, #3 +20s queued, next +30s blocked");
    // One that would start only now gives way at once.
    check(with_run(cancel(20.0), 1, 10.0, QUEUED), 20.0, "#1 cancelled, #2 +20s starts, next +30s");
    check(with_run(cancel(20.0), 1, 10.0, QUEUED), 15.0, "#1 starts, attempt 1, next +20s");
    // With a free slot no run is cancelled.
    let mut free = with_run(cancel(20.0), 1, 10.0, RUNNING);
    free.job.body.options.max_instances = instances(2);
    check(free, 20.0, "#2 +20s starts, next +30s");
}

#[test]
fn a_catch_up_of_all_takes_a_hundred_at_a_time_and_stops_when_a_hundred_wait() {
    let all = |overlap| {
        with_trigger(every(1), 0.0, move |options| {
            options.coalesce = Coalesce::All;
            options.overlap = overlap;
        })
    };
    let to = plan(&all(Overlap::Allow), at(1000.0)).unwrap();
    assert_eq!((to.runs.len(), to.next_fire_time, to.due), (100, Some(at(100.0)), Some(at(1000.0))));

    let to = plan(&all(Overlap::Skip), at(1000.0)).unwrap();
    assert_eq!((to.runs.len(), to.next_fire_time, to.blocked), (100, Some(at(100.0)), true));
    let mut full = with_run(all(Overlap::Skip), 1, 0.0, RUNNING);
    full.job.next_fire_time = Some(at(100.0));
    for seq in 2..=33 {
        full = with_run(full, seq, seq as f64 - 1.0, QUEUED);
    }
    full.waiting_count = 100;
    full.job.last_seq = 101;
    let to = plan(&full, at(1000.0)).unwrap();
    assert_eq!((to.runs.len(), to.next_fire_time, to.due, to.blocked), (0, Some(at(100.0)), None, true));
}

#[test]
fn all_keeps_the_order_while_an_earlier_one_waits_and_skips_again_when_none_does() {
    let all = |next| report(next, |options| options.coalesce = Coalesce::All);
    let behind = with_run(with_run(all(20.0), 1, 0.0, RUNNING), 2, 10.0, QUEUED);
    check(behind, 20.0, "#3 +20s queued, next +30s blocked");
    check(with_run(all(20.0), 1, 0.0, RUNNING), 20.0, "#2 +20s skipped, next +30s");
    // A retry of next year is no backlog.
    let mut retry = with_run(with_run(all(20.0), 1, 0.0, RUNNING), 2, 10.0, RETRY);
    retry.waiting[0].due = at(1e6);
    check(retry, 20.0, "#3 +20s skipped, next +30s");
}

#[test]
fn waiting_runs_that_the_claim_did_not_report_come_before_new_ones() {
    let mut claimed = report(100.0, |options| {
        options.coalesce = Coalesce::All;
        options.overlap = Overlap::Queue(200);
        options.max_instances = instances(50);
    });
    for seq in 1..=32 {
        claimed = with_run(claimed, seq, seq as f64, QUEUED);
    }
    (claimed.waiting_count, claimed.job.last_seq) = (40, 40);
    let to = plan(&claimed, at(100.0)).unwrap();
    assert_eq!(to.runs.len(), 33);
    assert!(move_words(&to).ends_with("#41 +100s queued, next +110s due +100s blocked"), "{}", move_words(&to));
}

#[test]
fn many_retries_that_are_not_due_do_not_make_the_job_due() {
    let mut claimed = report(100.0, |_| {});
    for seq in 1..=32 {
        claimed = with_run(claimed, seq, seq as f64, RETRY);
        claimed.waiting[seq as usize - 1].due = at(3600.0);
    }
    claimed.waiting_count = 40;
    check(claimed.clone(), 50.0, "next +100s");
    claimed.job.next_fire_time = Some(at(9999.0));
    check(claimed, 50.0, "next +9999s due +3600s");
}

#[test]
fn more_hopeless_runs_than_a_claim_reports_end_with_further_claims() {
    let mut claimed = in_state(report(0.0, |options| options.delivery = Delivery::AtMostOnce), JobState::Paused);
    for seq in 1..=32 {
        claimed = with_run(claimed, seq, seq as f64, ORPHAN);
    }
    claimed.waiting_count = 40;
    let to = plan(&claimed, at(100.0)).unwrap();
    assert_eq!((to.runs.len(), to.due), (32, Some(at(100.0))));
}

#[test]
fn a_fixed_delay_fires_after_the_end_of_its_run() {
    let delay = |next: Option<f64>, last_end: Option<f64>| {
        let trigger =
            Trigger::from(Interval::after_end(Duration::from_secs(10))).bind(at(0.0), chrono_tz::UTC, "report");
        let mut claimed = with_trigger(trigger, 0.0, |_| {});
        claimed.job.next_fire_time = next.map(at);
        claimed.job.last_end = last_end.map(at);
        claimed
    };
    check(delay(Some(10.0), None), 10.0, "#1 +10s starts, blocked");
    check(with_run(delay(None, None), 1, 10.0, RUNNING), 15.0, "blocked");
    check(delay(None, Some(17.0)), 17.5, "next +27s");
    check(delay(None, Some(17.0)), 30.0, "next +27s due +30s");
    check(delay(Some(27.0), Some(17.0)), 40.0, "#1 +27s starts, blocked");
    // A fire time that is skipped or missed counts as a run that ended.
    let mut missed = delay(Some(27.0), Some(17.0));
    grace(1)(&mut missed.job.body.options);
    check(missed, 40.0, "#1 +27s missed, next +50s");
    check(with_run(delay(Some(27.0), None), 1, 10.0, RUNNING), 40.0, "#2 +27s skipped, blocked");
    // And so does a run that is lost, whatever ended before it.
    let mut lost = with_run(delay(None, Some(17.0)), 2, 27.0, ORPHAN);
    lost.job.body.options.delivery = Delivery::AtMostOnce;
    check(lost, 60.0, "#2 lost, next +70s");
    // A retry that waits is the same run.
    let mut retry = with_run(delay(None, Some(17.0)), 1, 10.0, RETRY);
    retry.waiting[0].due = at(25.0);
    check(retry, 18.0, "due +25s blocked");
}

#[test]
fn a_fixed_delay_ends_with_its_window() {
    let trigger = Interval::after_end(Duration::from_secs(10)).starting_at(at(0.0)).until(at(20.0));
    let mut claimed = with_trigger(trigger, 0.0, |_| {});
    claimed.job.next_fire_time = None;
    claimed.job.last_end = Some(at(9.0));
    check(claimed.clone(), 9.0, "next +19s");
    claimed.job.last_end = Some(at(11.0));
    check(claimed, 11.0, "ending");
}

#[test]
fn a_job_that_has_had_its_last_fire_time_does_not_fire_again() {
    // A one-shot whose node died has no end to go by, and its trigger would name its time once more.
    let mut once = with_run(with_trigger(Date::at(at(10.0)), 10.0, |_| {}), 1, 10.0, ORPHAN);
    (once.job.next_fire_time, once.job.last_seq) = (None, 1);
    assert!(once.job.is_ending());
    check(once.clone(), 30.0, "#1 starts, attempt 2, ending");
    (once.waiting, once.waiting_count) = (Vec::new(), 0);
    check(once.clone(), 30.0, "ending");
    // A row that another program has written has no fire time yet.
    once.job.last_seq = 0;
    assert!(!once.job.is_ending());
    check(once, 9.0, "next +10s");
}

#[test]
fn jitter_delays_a_run_and_neither_its_fire_time_nor_the_next() {
    let trigger = Interval::seconds(10).starting_at(at(0.0)).jitter(Duration::from_secs(5));
    let claimed = with_trigger(trigger.clone(), 10.0, grace(0));
    let delay = Trigger::from(trigger).jitter(1, at(10.0)).as_secs_f64();
    assert!(delay > 0.0);
    let to = plan(&claimed, at(10.0)).unwrap();
    assert_eq!((to.next_fire_time, to.due, to.runs.len()), (Some(at(10.0)), Some(at(10.0 + delay)), 0));
    let to = plan(&claimed, at(10.0 + delay)).unwrap();
    assert_eq!((to.runs.len(), to.next_fire_time), (1, Some(at(20.0))));
}

#[test]
fn a_first_fire_time_that_the_user_chose_counts_like_any_other() {
    check(report(13.0, |_| {}), 13.0, "#1 +13s starts, next +20s");
    check(report(13.0, |_| {}), 45.0, "#1 +13s..+30s (3) coalesced, #2 +40s starts, next +50s");
    check(report(13.0, |_| {}), 25.0, "#1 +13s coalesced, #2 +20s starts, next +30s");
    check(report(13.0, grace(1)), 45.0, "#1 +13s..+40s (4) missed, next +50s");
    // A one-shot has then fired, whatever its date.
    check(with_trigger(Date::at(at(20.0)), 13.0, |_| {}), 13.0, "#1 +13s starts, ending");
    check(with_trigger(Date::at(at(20.0)), 13.0, |_| {}), 45.0, "#1 +13s starts, ending");
    // Even before the trigger begins.
    check(report(-20.0, |_| {}), 1.0, "#1 -20s coalesced, #2 +0s starts, next +10s");
}

/// Fires each ten seconds and does not know what came before an instant.
#[derive(Debug)]
struct Forward;

impl CustomTrigger for Forward {
    fn next(
        &self,
        _args: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        every(10).next(previous, now).map_err(|error| error.to_string())
    }
}

fn forward() -> Trigger {
    Custom::new("forward", Value::Null).with_implementation(Arc::new(Forward)).into()
}

#[test]
fn a_trigger_that_only_walks_forward_catches_up_like_any_other() {
    check(with_trigger(forward(), 10.0, |_| {}), 45.0, "#1 +10s..+30s coalesced, #2 +40s starts, next +50s");
    check(
        with_trigger(forward(), 10.0, grace(16)),
        45.0,
        "#1 +10s..+20s missed, #2 +30s coalesced, #3 +40s starts, next +50s",
    );
    // A year of it is taken in parts.
    let to = plan(&with_trigger(forward(), 10.0, |_| {}), at(1e6)).unwrap();
    assert_eq!((to.next_fire_time, to.due), (Some(at(100_020.0)), Some(at(1e6))));
}

#[test]
fn a_trigger_that_fails_moves_nothing() {
    assert!(plan(&with_trigger(Interval::seconds(0), 10.0, |_| {}), at(10.0)).is_err());
}

#[test]
fn a_paused_job_is_looked_at_again_at_the_end_of_its_pause() {
    check(paused_until(report(10.0, |_| {}), Some(10.0), 95.0), 50.0, "paused due +95s");
    let asked_for = with_run(paused_until(report(10.0, |_| {}), Some(10.0), 95.0), 1, 50.0, REQUESTED);
    check(asked_for, 50.0, "#1 starts, attempt 1, paused due +95s");
}

#[test]
fn after_its_pause_a_job_goes_on_with_the_first_fire_time_that_is_not_before_the_end() {
    check(paused_until(report(10.0, |_| {}), Some(10.0), 95.0), 95.0, "next +100s");
    check(paused_until(report(10.0, |_| {}), Some(10.0), 90.0), 90.0, "#1 +90s starts, next +100s");
}

#[test]
fn what_becomes_due_after_the_end_of_a_pause_is_late_as_after_any_downtime() {
    let pause_over = |options: &dyn Fn(&mut JobOptions)| paused_until(report(10.0, options), Some(10.0), 95.0);
    check(pause_over(&|_| {}), 130.0, "#1 +100s..+120s (3) coalesced, #2 +130s starts, next +140s");
    check(pause_over(&grace(15)), 130.0, "#1 +100s..+110s (2) missed, #2 +120s coalesced, #3 +130s starts, next +140s");
}

#[test]
fn a_one_shot_whose_time_passed_during_its_pause_runs_at_the_end_unless_it_has_had_its_run() {
    let once = |stands_at| paused_until(with_trigger(Date::at(at(20.0)), 20.0, |_| {}), stands_at, 60.0);
    check(once(Some(20.0)), 60.0, "#1 +20s starts, ending");
    let mut over = once(None);
    over.job.last_seq = 1;
    check(over, 60.0, "ending");
}

#[test]
fn a_run_that_waits_for_the_end_of_a_pause_goes_on_then() {
    let failed = || with_run(paused_until(report(10.0, |_| {}), Some(20.0), 95.0), 1, 10.0, RETRY);
    check(failed(), 94.0, "paused due +95s");
    check(failed(), 95.0, "#1 starts, attempt 2, next +100s");
}
