//! Answers that belong to other calls, as a faulty driver would bring them: the caller gets an error that
//! says it is a bug, and is not left waiting.

use super::script::{Script, every, job};
use crate::{
    ErrorKind, JobSpec, Listed, Run, RunId, Uid,
    engine::{Command, JobEdit, Mode, Reply, SchedulerState, Search, StoreReply},
    store::{JobQuery, RunQuery},
};

/// What each command that asks the store is answered with as long as the store answers as it should.
fn commands() -> Vec<(Command, Vec<StoreReply>)> {
    let found = || StoreReply::Job(Some(Box::new(Listed::Job(job(1, "report", every(10), 10.0).job))));
    let run = RunId { uid: Uid(1), seq: 1 };
    vec![
        (Command::AddJobs("default".into(), vec![JobSpec::new("work", every(10))]), vec![]),
        (Command::Job(None, "report".into()), vec![]),
        (Command::ChangeJob(None, "report".into(), Box::new(JobEdit::Pause(crate::Pause::new()))), vec![found()]),
        (Command::RunJobNow(None, "report".into()), vec![found()]),
        (Command::CancelRun(None, "report".into(), run), vec![]),
        (Command::RemoveJob(None, "report".into()), vec![]),
        (Command::RemoveAllJobs(None), vec![]),
        (Command::Jobs("default".into(), JobQuery { after: None, limit: 1 }), vec![]),
        (Command::Search("default".into(), Search::Nodes), vec![]),
        (Command::Runs("default".into(), RunQuery { uid: Uid(1), before: None, limit: 1 }), vec![]),
    ]
}

#[test]
fn a_command_whose_store_call_is_answered_as_another_one_is_told_of_the_bug() {
    for (command, answers) in commands() {
        for right in 0..=answers.len() {
            let mut script = Script::new();
            script.command(command.clone());
            for answer in answers.iter().take(right) {
                script.stored(Ok(answer.clone()));
            }
            script.stored(Ok(StoreReply::Release));
            let error = script.last_error();
            assert_eq!(error.kind(), ErrorKind::StoreUnavailable, "{command:?}");
            assert!(error.to_string().contains("is a bug of the scheduler"), "{command:?}: {error}");
            assert!(!script.has_call(), "{command:?}");
        }
    }
}

#[test]
fn a_turn_that_is_answered_as_another_call_is_a_store_that_fails_and_is_asked_again() {
    let mut script = Script::new();
    script.command(Command::Start(Mode::Running));
    let (op, _) = script.take_turn();
    script.handle(crate::engine::Input::Stored(op, Ok(StoreReply::Release)));
    assert_eq!(script.count("bug of the scheduler"), 1);
    script.at(0.05);
    assert!(script.has_turn());
}

#[test]
fn a_reply_of_another_kind_is_a_bug_that_names_both() {
    let error = Vec::<Run>::try_from(Reply::State(SchedulerState::Running)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
    let expected =
        "the scheduler was asked for a page of runs and answered something else: State(Running); please report it";
    assert_eq!(error.to_string(), expected);
    assert_eq!(SchedulerState::try_from(Reply::State(SchedulerState::Running)).unwrap(), SchedulerState::Running);
}
