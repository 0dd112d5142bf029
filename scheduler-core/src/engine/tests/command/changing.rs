//! Jobs that are changed.

use std::time::Duration;

use serde_json::json;

use super::super::script::{Script, at, every, job};
use crate::{
    BODY_VERSION, ErrorKind, JobChange, JobRow, JobState, Listed, NESTING_LIMIT, Overlap, PartialOptions, Pause, Run,
    RunId, RunState, Uid, Verdict, Wait, WhenFinished,
    engine::{JobEdit, StoreReply},
    store::{OnClaim, Update, Updated},
    trigger::{Custom, Date, Interval},
};

use super::*;

#[test]
fn a_job_under_constant_change_is_busy() {
    let mut script = Script::new();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    for revision in 1..=101 {
        script.updated(Updated::Conflict(Box::new(JobRow { revision, ..report(10.0) })));
    }
    assert_eq!(script.last_error().kind(), ErrorKind::Busy);
    assert!(!script.has_call());
}

/// Changes without a pause would void each claim; a claim whose node has died would hold up each change.
#[test]
fn a_change_gives_way_to_claims_at_first() {
    let mut script = Script::new();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    let mut tries = Vec::new();
    for _ in 0..30 {
        tries.push(update(&script).on_claim);
        script.updated(Updated::Conflict(Box::new(report(10.0))));
    }
    assert_eq!(tries, [[OnClaim::GiveWay; 25].as_slice(), &[OnClaim::Void; 5]].concat());
}

/// A node whose job fires faster than its store answers would not let a change through.
#[test]
fn a_change_that_lost_to_a_claim_goes_before_the_next_claim() {
    let mut script = Script::running();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    script.pass(0.1).look();
    script.expect(
        "→ read report
         → update report @ 0: paused
         → claim",
    );
    script.claimed([]);
    script.updated(Updated::Conflict(Box::new(JobRow { fence: 2, ..report(10.0) })));
    script.pass(0.1).look();
    script.updated(Updated::Conflict(Box::new(JobRow { fence: 3, ..report(10.0) })));
    script.expect(
        "→ update report @ 0: paused
         → update report @ 0: paused",
    );
    assert!(!script.has_turn());
    script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
    script.expect(
        "→ notify modified report
         → reply job report
         → claim",
    );
}

#[test]
fn claims_give_way_to_changes_for_a_second_at_the_most() {
    let mut script = Script::running();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    script.updated(Updated::Conflict(Box::new(JobRow { fence: 2, ..report(10.0) })));
    script.look();
    script.pass(0.4).handle_wake();
    script.updated(Updated::Conflict(Box::new(JobRow { fence: 3, ..report(10.0) })));
    assert_eq!(script.next_wake().map(|wake| wake.after), Some(Duration::from_millis(600)));
    script.pass(0.599).handle_wake();
    assert!(!script.has_turn());
    script.pass(0.001).handle_wake();
    assert!(script.has_turn());
    script.claimed([]);
    script.pass(0.1).look();
    assert!(script.has_turn(), "they do not give way anew before the changes are over");
}

#[test]
fn pausing_takes_the_fire_times_away_and_accounts_for_those_that_are_due() {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → update report @ 0: paused, #1 +10s..+20s (2) cancelled",
    );
    script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
    script.expect(
        "→ notify modified report
         → reply job report",
    );
}

#[test]
fn pausing_at_the_very_moment_of_a_fire_time_accounts_for_it_too() {
    let mut script = Script::new();
    script.pass(20.0);
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    script.expect(
        "→ read report
         → update report @ 0: paused, #1 +10s..+20s (2) cancelled",
    );
}

#[test]
fn a_one_shot_whose_time_has_come_is_not_given_up_by_a_pause_and_fires_when_resumed() {
    let once = JobRow { body: job(1, "report", Date::at(at(10.0)).into(), 10.0).job.body, ..report(10.0) };
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &once);
    script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
    change(&mut script, JobEdit::Resume);
    found(&mut script, &JobRow { state: JobState::Paused, next_fire_time: None, due: None, ..once });
    script.expect(
        "→ read report
         → update report @ 0: paused
         → notify modified report
         → reply job report
         → read report
         → update report @ 0: active next +10s due +25s",
    );
}

/// The update by which a job is resumed, at 25 seconds.
fn resumed(job: &JobRow) -> Update {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, JobEdit::Resume);
    found(&mut script, job);
    update(&script)
}

#[test]
fn resuming_goes_on_from_now_and_looks_at_once_for_runs_that_waited() {
    let update = resumed(&in_state(JobState::Paused));
    assert_eq!((update.next_fire_time, update.due), (Some(at(30.0)), Some(at(25.0))));
    assert_eq!(update.state, JobState::Active);
}

#[test]
fn resuming_a_job_whose_time_is_over_ends_or_keeps_it() {
    let mut over = in_state(JobState::Paused);
    over.body.trigger = Interval::seconds(1).starting_at(at(0.0)).until(at(9.0)).into();
    let update = resumed(&over);
    // The claim that follows ends it, if it has no open run.
    assert_eq!((update.state, update.next_fire_time, update.due), (JobState::Active, None, Some(at(25.0))));
    over.body.options.when_finished = WhenFinished::Keep;
    assert_eq!(resumed(&over).state, JobState::Kept);
}

/// A one-shot for 10 seconds that has had its fire time.
fn ending() -> JobRow {
    let body = job(1, "report", Date::at(at(10.0)).into(), 10.0).job.body;
    JobRow { body, next_fire_time: None, due: None, last_seq: 1, ..report(10.0) }
}

#[test]
fn a_one_shot_that_is_paused_in_its_run_does_not_fire_again_when_resumed() {
    for (state, runs) in [
        (RunState::Waiting(Wait::Retry), 1),
        (RunState::Ended(Verdict::Ok), 1),
        // Without a history, its last end says the same.
        (RunState::Ended(Verdict::Ok), 0),
    ] {
        let mut script = Script::new();
        script.pass(25.0);
        change(&mut script, JobEdit::Pause(Pause::new()));
        found(&mut script, &ending());
        script.updated(Updated::Updated(Box::new(in_state(JobState::Paused))));
        change(&mut script, JobEdit::Resume);
        found(&mut script, &JobRow { state: JobState::Paused, last_end: Some(at(12.0)), ..ending() });
        let run = Run::new(RunId { uid: Uid(1), seq: 1 }, at(10.0), state);
        script.stored(Ok(StoreReply::Runs(vec![run; runs])));
        script.expect(
            "→ read report
             → update report @ 0: paused
             → notify modified report
             → reply job report
             → read report
             → list runs
             → update report @ 0: active due +25s",
        );
    }
}

#[test]
fn a_one_shot_that_was_run_by_hand_while_paused_still_fires_when_resumed() {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, JobEdit::Resume);
    found(&mut script, &JobRow { state: JobState::Paused, last_end: Some(at(12.0)), ..ending() });
    let by_hand = Run::new(RunId { uid: Uid(1), seq: 1 }, at(11.0), RunState::Ended(Verdict::Ok));
    script.stored(Ok(StoreReply::Runs(vec![by_hand])));
    script.expect(
        "→ read report
         → list runs
         → update report @ 0: active next +10s due +25s",
    );
}

#[test]
fn a_job_that_has_had_its_last_fire_time_is_changed_like_any_other() {
    let renamed = modified(&ending(), JobChange::default().name("n"));
    assert_eq!((renamed.state, renamed.next_fire_time, renamed.due), (JobState::Active, None, None));
    let kept = modified(&ending(), JobChange::default().when_finished(WhenFinished::Keep));
    assert_eq!((kept.state, kept.next_fire_time), (JobState::Kept, None));
    let rescheduled = modified(&ending(), JobChange::default().trigger(every(10)));
    assert_eq!((rescheduled.state, rescheduled.next_fire_time), (JobState::Active, Some(at(30.0))));
    let once_more = modified(&ending(), JobChange::default().next_fire_time(at(40.0)));
    assert_eq!(
        (once_more.state, once_more.next_fire_time, once_more.due),
        (JobState::Active, Some(at(40.0)), Some(at(40.0)))
    );
}

#[test]
fn resuming_a_quarantined_job_loses_none_of_its_fire_times() {
    let broken = JobRow { state: JobState::Quarantined("bad".into()), due: None, ..report(10.0) };
    let update = resumed(&broken);
    assert_eq!((update.state, update.next_fire_time), (JobState::Active, Some(at(10.0))));
    assert_eq!((update.due, update.runs), (Some(at(25.0)), vec![]));
}

#[test]
fn a_change_that_changes_nothing_writes_and_tells_nothing() {
    for (job, asked) in [
        (report(10.0), JobEdit::Resume),
        (in_state(JobState::Kept), JobEdit::Resume),
        (in_state(JobState::Paused), JobEdit::Pause(Pause::new())),
    ] {
        let mut script = Script::new();
        change(&mut script, asked);
        found(&mut script, &job);
        script.expect(
            "→ read report
             → reply job report",
        );
    }
}

#[test]
fn a_job_that_is_over_cannot_be_paused() {
    let mut script = Script::new();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &in_state(JobState::Kept));
    script.expect(
        "→ read report
         → reply Job: job `report` is kept and has no fire times to pause; give it another trigger, or remove it",
    );
}

/// What a change at 25 seconds makes of a job that was to fire at 10 and 20.
fn modified(existing: &JobRow, by: JobChange) -> Update {
    let mut script = Script::new();
    script.pass(25.0);
    change(&mut script, JobEdit::Modify(by));
    found(&mut script, existing);
    update(&script)
}

#[test]
fn modifying_changes_what_is_given_and_keeps_the_rest() {
    let by = JobChange::default().name("n").args(json!([1])).overlap(Overlap::Allow).options(PartialOptions::default());
    let update = modified(&report(10.0), by);
    let body = update.body.unwrap();
    assert_eq!((body.name.as_deref(), body.args), (Some("n"), json!([1])));
    assert_eq!((update.next_fire_time, update.due, update.runs), (Some(at(10.0)), Some(at(10.0)), vec![]));
}

#[test]
fn other_tags_and_notes_take_the_place_of_the_old_ones() {
    let mut tagged = report(10.0);
    tagged.body.tags = ["tenant:42", "billing"].into();
    tagged.body.meta = json!({"by": "ann"});
    let body = |by| modified(&tagged, by).body.unwrap();

    let renamed = body(JobChange::default().name("n"));
    assert_eq!((renamed.tags, renamed.meta), (tagged.body.tags.clone(), tagged.body.meta.clone()));
    assert_eq!(body(JobChange::default().tags(["tenant:43"])).tags, ["tenant:43"].into());
    let cleared = body(JobChange::default().tags([""; 0]).meta(()));
    assert!(cleared.tags.is_empty() && cleared.meta.is_null());
    // What has neither is written as ever.
    let json = serde_json::to_value(&cleared).unwrap();
    assert_eq!((json.get("tags"), json.get("meta")), (None, None));

    let mut script = Script::new();
    change(&mut script, JobEdit::Modify(JobChange::default().tags(["a\0"])));
    found(&mut script, &tagged);
    assert_eq!(script.last_error().to_string(), "job `report`: tag \"a\\0\" has a control character; leave it out");
}

#[test]
fn another_trigger_gives_up_what_is_due_and_begins_from_now() {
    let seconds: crate::Trigger = "crontab */7 * * * * *".parse().unwrap();
    let update = modified(&report(10.0), JobChange::default().trigger(seconds));
    assert_eq!(update.body.unwrap().v, 2);

    let update = modified(&report(10.0), JobChange::default().trigger(every(7)));
    assert_eq!(update.body.as_ref().unwrap().v, 1);
    assert_eq!(update.next_fire_time, Some(at(28.0)));
    assert_eq!((update.runs[0].first, update.runs[0].fire_time), (Some(at(10.0)), at(20.0)));
    // Even if a next fire time is given with it that the old trigger knew.
    let by = JobChange::default().trigger(every(7)).next_fire_time(at(20.0));
    let update = modified(&report(10.0), by);
    assert_eq!(update.next_fire_time, Some(at(20.0)));
    assert_eq!((update.runs[0].first, update.runs[0].fire_time), (Some(at(10.0)), at(20.0)));
}

#[test]
fn a_chosen_next_fire_time_gives_up_only_those_before_it() {
    let update = modified(&report(10.0), JobChange::default().next_fire_time(at(20.0)));
    assert_eq!((update.next_fire_time, update.due), (Some(at(20.0)), Some(at(10.0))));
    let given_up: Vec<&Run> = update.runs.iter().collect();
    assert_eq!((given_up.len(), given_up[0].first, given_up[0].fire_time), (1, None, at(10.0)));
    let update = modified(&report(10.0), JobChange::default().next_fire_time(at(5.0)));
    assert_eq!((update.next_fire_time, update.runs), (Some(at(5.0)), vec![]));
}

#[test]
fn a_retry_that_waits_is_not_put_off_by_a_later_next_fire_time() {
    let retrying = JobRow { due: Some(at(26.0)), ..report(40.0) };
    let update = modified(&retrying, JobChange::default().next_fire_time(at(1000.0)));
    assert_eq!((update.next_fire_time, update.due), (Some(at(1000.0)), Some(at(26.0))));
}

#[test]
fn bad_changes_are_errors_that_say_what_to_do() {
    let cases: Vec<(JobChange, JobRow, ErrorKind, &str)> = vec![
        (JobChange::default().task("play"), report(10.0), ErrorKind::UnknownTask, "register it"),
        (JobChange::default().executor("gpu"), report(10.0), ErrorKind::UnknownExecutor, "the scheduler has `default`"),
        (JobChange::default().args(not_json()), report(10.0), ErrorKind::Arguments, "JSON"),
        (JobChange::default().next_fire_time(at(1.0)), in_state(JobState::Paused), ErrorKind::Job, "resume it"),
        (
            JobChange::default().trigger(Interval::after_end(Duration::from_secs(1))).max_instances(3),
            report(10.0),
            ErrorKind::Job,
            "set it to 1",
        ),
    ];
    for (by, existing, kind, advice) in cases {
        let mut script = Script::new();
        change(&mut script, JobEdit::Modify(by.clone()));
        found(&mut script, &existing);
        let error = script.last_error();
        assert_eq!(error.kind(), kind, "{by:?}: {error}");
        assert!(error.to_string().contains(advice) && error.to_string().contains('`'), "{error}");
    }
}

#[test]
fn a_job_of_a_newer_version_and_one_that_cannot_be_read_are_not_changed() {
    let mut newer = report(10.0);
    newer.body.v = BODY_VERSION + 1;
    let mut script = Script::new();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &newer);
    assert_eq!(script.last_error().kind(), ErrorKind::NewerVersion);

    let raw = crate::RawJob {
        uid: "x".into(),
        id: "report".into(),
        body: "{".into(),
        next_fire_time: None,
        reason: "it ends early".into(),
    };
    change(&mut script, JobEdit::Resume);
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Raw(raw))))));
    let error = script.last_error();
    assert_eq!(error.kind(), ErrorKind::Quarantined);
    assert_eq!(error.to_string(), "job `report` cannot be read: it ends early; repair its row or remove it");
}

#[test]
fn a_job_that_goes_while_it_is_changed_is_not_found() {
    let mut script = Script::new();
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &report(10.0));
    script.updated(Updated::Gone);
    let error = script.last_error();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "job `report` was removed from store `default` while it was being changed");
}

#[test]
fn a_change_to_what_could_not_be_read_again_is_refused() {
    let deep = (0..=NESTING_LIMIT).fold(json!(null), |inner, _| json!([inner]));
    for (by, kind) in [
        (JobChange::default().args(&deep), ErrorKind::Arguments),
        (JobChange::default().trigger(Custom::new("mine", deep.clone())), ErrorKind::Trigger),
    ] {
        let mut script = Script::new();
        change(&mut script, JobEdit::Modify(by));
        found(&mut script, &report(10.0));
        assert_eq!(script.last_error().kind(), kind);
    }
    // What an earlier version has taken can still be changed in other ways.
    let mut old = report(10.0);
    old.body.args = deep;
    assert!(modified(&old, JobChange::default().priority(7)).body.is_some());
}

#[test]
fn a_change_to_an_option_out_of_its_range_is_refused_and_an_old_one_stays() {
    let mut script = Script::new();
    change(&mut script, JobEdit::Modify(JobChange::default().timeout(Duration::ZERO)));
    found(&mut script, &report(10.0));
    assert_eq!(script.last_error().to_string(), "job `report`: `timeout` of 0ns: at least 1ms, or none for no limit");
    // An earlier version took it.
    let mut old = report(10.0);
    old.body.options.timeout = Some(Duration::ZERO);
    let update = modified(&old, JobChange::default().priority(7));
    assert_eq!(update.body.unwrap().options.timeout, Some(Duration::ZERO));
}

#[test]
fn a_pause_is_kept_with_what_its_user_says_and_is_due_at_its_end() {
    let mut script = Script::running();
    let pause = Pause::new().by("anna").note("no paper").until(at(60.0));
    change(&mut script, JobEdit::Pause(pause.clone()));
    found(&mut script, &report(10.0));
    let said = update(&script);
    assert_eq!((&said.state, said.next_fire_time, said.due), (&JobState::Paused, None, Some(at(60.0))));
    let body = said.body.unwrap();
    let kept = body.pause.clone().unwrap();
    assert_eq!((&kept.by, &kept.note, kept.until, kept.since), (&pause.by, &pause.note, pause.until, Some(at(0.0))));
    let paused = JobRow { state: JobState::Paused, next_fire_time: None, due: Some(at(60.0)), body, ..report(10.0) };
    script.updated(Updated::Updated(Box::new(paused.clone())));
    assert_eq!(script.count("→ notify JobPaused"), 1);

    // A plain one changes nothing of it; another one takes its place, and the end of the pause stays what the job resumes by.
    change(&mut script, JobEdit::Pause(Pause::new()));
    found(&mut script, &paused);
    assert!(!script.has_call());
    change(&mut script, JobEdit::Pause(Pause::new().by("ben")));
    found(&mut script, &paused);
    let said = update(&script);
    let kept = said.body.as_ref().unwrap().pause.clone().unwrap();
    assert_eq!((kept.by.as_deref(), kept.note, kept.until, said.due), (Some("ben"), None, None, None));
}

#[test]
fn a_job_that_is_resumed_forgets_its_pause() {
    let mut script = Script::running();
    let mut paused = JobRow { state: JobState::Paused, next_fire_time: None, due: None, ..report(10.0) };
    paused.body.pause = Some(Box::new(Pause::new().by("anna")));
    change(&mut script, JobEdit::Resume);
    found(&mut script, &paused);
    assert_eq!(update(&script).body.unwrap().pause, None);
}

#[test]
fn a_pause_that_is_over_already_or_too_long_is_an_error_that_says_so() {
    for (pause, expected) in [
        (
            Pause::new().until(at(0.0)),
            "job `report`: its pause is to end at 2026-11-21 09:00:00 UTC, which has passed; give a time to come",
        ),
        (
            Pause::new().note("x".repeat(4_097)),
            "job `report`: the note of its pause has 4097 bytes; at most 4096 are kept",
        ),
        (Pause::new().by("x".repeat(257)), "job `report`: the `by` of its pause has 257 bytes; at most 256 are kept"),
    ] {
        let mut script = Script::running();
        change(&mut script, JobEdit::Pause(pause));
        found(&mut script, &report(10.0));
        let error = script.last_error();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Job, expected));
        assert!(!script.has_call());
    }
}
