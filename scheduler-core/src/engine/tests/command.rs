//! What else an application can ask for.

mod adding;
mod changing;
mod health;
mod runs;
mod transaction;

use serde_json::json;

use super::script::{Script, at, every, job, limits};
use crate::{
    JobRow, JobSpec, JobState, Listed, Run, RunId, RunState, Uid, Verdict,
    engine::{Command, Effect, Input, JobEdit, Mode, StoreCall, StoreReply},
    store::{CancelledRun, Removed, RemovedAll, Stamped, Update},
};

/// JSON has no such key.
fn not_json() -> std::collections::BTreeMap<Vec<u8>, u8> {
    [(vec![1], 1)].into()
}

fn change(script: &mut Script, change: JobEdit) {
    script.command(Command::ChangeJob(None, "report".into(), Box::new(change)));
}

/// The script's store has this job, which a command reads.
fn found(script: &mut Script, job: &JobRow) {
    script.know(job);
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(job.clone()))))));
}

fn all_removed(count: u64) -> StoreReply {
    StoreReply::RemoveAll(Stamped { now: at(0.0), value: RemovedAll { count, cancelled: vec![] } })
}

/// What the command wants written.
pub(super) fn update(script: &Script) -> Update {
    match script.open_call() {
        StoreCall::Update(_, update) => (**update).clone(),
        call => panic!("an update is expected, not {call:?}"),
    }
}

/// An active job that fires each ten seconds, next after so many.
fn report(next: f64) -> JobRow {
    job(1, "report", every(10), next).job
}

fn in_state(state: JobState) -> JobRow {
    JobRow { state, next_fire_time: None, due: None, ..report(0.0) }
}

#[test]
fn a_job_is_looked_for_in_each_store_in_turn() {
    let mut script = Script::new();
    script.command(Command::AddStore("second".into(), limits()));
    script.command(Command::Job(None, "report".into()));
    script.stored(Ok(StoreReply::Job(None)));
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(report(10.0)))))));
    change(&mut script, JobEdit::Resume);
    script.stored(Ok(StoreReply::Job(None)));
    script.stored(Ok(StoreReply::Job(None)));
    script.command(Command::RemoveJob(None, "report".into()));
    let removed = |value| Ok(StoreReply::Remove(Stamped { now: at(0.0), value: vec![value] }));
    script.stored(removed(Removed::Gone));
    script.stored(removed(Removed::Removed { uid: Some(Uid(1)), running: 0, cancelled: vec![] }));
    script.expect(
        "→ notify StoreAdded(\"second\")
         → reply done
         → read report
         → second: read report
         → reply found report
         → read report
         → second: read report
         → reply NotFound: job `report` is in no store of this scheduler
         → remove report
         → second: remove report
         → notify removed report Requested
         → reply done",
    );
}

#[test]
fn a_store_that_is_named_is_the_only_one_asked() {
    let mut script = Script::new();
    script.command(Command::Job(Some("third".into()), "report".into()));
    script.command(Command::RemoveJob(Some("default".into()), "report".into()));
    script.stored(Ok(StoreReply::Remove(Stamped { now: at(0.0), value: vec![Removed::Gone] })));
    script.expect(
        "→ reply UnknownStore: there is no store `third`; the scheduler has `default`
         → remove report
         → reply NotFound: job `report` is not in store `default`",
    );
}

#[test]
fn all_jobs_of_all_stores_are_removed_and_counted() {
    let mut script = Script::new();
    script.command(Command::AddStore("second".into(), limits()));
    script.command(Command::RemoveAllJobs(None));
    script.stored(Ok(all_removed(3)));
    script.stored(Ok(all_removed(4)));
    script.expect(
        "→ notify StoreAdded(\"second\")
         → reply done
         → remove all
         → notify AllJobsRemoved { store: \"default\", count: 3 }
         → second: remove all
         → notify AllJobsRemoved { store: \"second\", count: 4 }
         → reply 7",
    );
}

#[test]
fn a_job_that_is_removed_while_it_runs_is_told_removed_once() {
    for command in [Command::RemoveJob(None, "report".into()), Command::RemoveAllJobs(None)] {
        let is_one = matches!(command, Command::RemoveJob(..));
        let mut script = Script::running_jobs([job(1, "report", every(100), 0.0)]);
        script.command(command);
        script.stored(Ok(match is_one {
            true => {
                let value = vec![Removed::Removed { uid: Some(Uid(1)), running: 1, cancelled: vec![] }];
                StoreReply::Remove(Stamped { now: at(0.0), value })
            }
            false => all_removed(1),
        }));
        script.finished("report#1", crate::Outcome::Ok(json!(null)));
        script.recorded(|recorded| recorded.over = vec![(Uid(1), "report".into())]);
        assert_eq!(script.count("emoved"), 1);
    }
}

/// A run of the job that waited when the job was removed.
fn cancelled(seq: u64, attempt: u32) -> CancelledRun {
    let id = RunId { uid: Uid(1), seq };
    let run = Run { attempt, ..Run::new(id, at(10.0), RunState::Ended(Verdict::Cancelled)) };
    CancelledRun { job: "report".into(), task: "work".into(), run }
}

#[test]
fn runs_that_wait_when_their_job_is_removed_are_told_cancelled() {
    let runs = vec![cancelled(1, 3), cancelled(2, 1)];
    let mut script = Script::new();
    script.know(&report(10.0));
    script.command(Command::RemoveJob(None, "report".into()));
    let value = vec![Removed::Removed { uid: Some(Uid(1)), running: 0, cancelled: runs.clone() }];
    script.stored(Ok(StoreReply::Remove(Stamped { now: at(0.0), value })));
    script.command(Command::RemoveAllJobs(None));
    let value = RemovedAll { count: 1, cancelled: runs };
    script.stored(Ok(StoreReply::RemoveAll(Stamped { now: at(0.0), value })));
    script.expect(
        "→ remove report
         → notify cancelled report#1
         → notify cancelled report#2
         → notify removed report Requested
         → reply done
         → remove all
         → notify cancelled report#1
         → notify cancelled report#2
         → notify AllJobsRemoved { store: \"default\", count: 1 }
         → reply 1",
    );
}

#[test]
fn a_scheduler_starts_once_and_can_be_paused_only_while_it_runs() {
    let mut script = Script::new();
    for command in [Command::Pause, Command::State, Command::Start(Mode::Paused), Command::Start(Mode::Running)] {
        script.command(command);
    }
    for command in [Command::Pause, Command::Resume, Command::Resume, Command::State] {
        script.command(command);
    }
    script.expect(
        "→ reply NotRunning: the scheduler is not running; start it first
         → reply Stopped
         → notify SchedulerStarted
         → reply done
         → reply AlreadyStarted: the scheduler has been started already; resume it if it is paused
         → reply done
         → notify SchedulerResumed
         → reply done
         → claim
         → reply done
         → reply Running",
    );
}

#[test]
fn names_are_taken_once_and_given_up_once() {
    let mut script = Script::new();
    script.command(Command::AddStore("default".into(), limits()));
    script.command(Command::AddExecutor("default".into(), None));
    script.command(Command::RemoveExecutor("default".into()));
    script.command(Command::RemoveExecutor("default".into()));
    script.command(Command::RemoveTasks(vec!["work".into()]));
    script.add(JobSpec::now("work").id("report"));
    script.expect(
        "→ reply Config: store `default` is there already; remove it first or choose another name
         → reply Config: executor `default` is there already; remove it first or choose another name
         → notify ExecutorRemoved(\"default\")
         → reply done
         → reply UnknownExecutor: there is no executor `default`; the scheduler has none
         → reply done
         → reply UnknownTask: job `report`: this scheduler has no task `work`; register it before adding jobs for it",
    );
}

#[test]
fn equal_engines_given_equal_inputs_have_equal_effects() {
    let mut script = Script::running_jobs([job(1, "report", every(10), 0.0)]);
    let mut copy = script.engine.clone();
    let finished = || Input::Finished(RunId { uid: Uid(1), seq: 1 }, crate::Outcome::Ok(json!(1)));
    copy.handle(script.clock(), finished());
    script.engine.handle(script.clock(), finished());
    assert_eq!(copy, script.engine);
    let effects = |engine: &mut crate::engine::Engine| std::iter::from_fn(|| engine.poll_effect()).collect::<Vec<_>>();
    let (these, those) = (effects(&mut copy), effects(&mut script.engine));
    assert_eq!(these, those);
    assert!(matches!(these[..], [Effect::Store(..)]));
}
