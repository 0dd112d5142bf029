//! Calls in transactions of the application.

use super::{Command, Effect, Input, JobSpec, Script, StoreCall, every};
use crate::{
    ErrorKind, Now, PartialOptions, Uid,
    engine::{CallId, Config, Engine, Mode, Reply},
};

fn stand_in(script: &mut Script) -> Engine {
    script.command(Command::InTransaction("default".into()));
    match script.last_reply.take() {
        Some(Ok(Reply::Engine(engine))) => *engine,
        other => panic!("an engine is expected, not {other:?}"),
    }
}

/// What the engine wants done about a command that adds a job.
fn adding(engine: &mut Engine, now: Now, spec: JobSpec) -> Effect {
    engine.handle(now, Input::Command(CallId(1), Command::AddJobs("default".into(), vec![spec])));
    engine.poll_effect().unwrap()
}

fn inserted(effect: Effect) -> crate::JobRow {
    match effect {
        Effect::Store(_, _, StoreCall::Insert(_, rows)) => rows[0].clone(),
        other => panic!("an insert is expected, not {other:?}"),
    }
}

#[test]
fn an_engine_that_stands_in_prepares_jobs_as_the_scheduler_does_and_does_nothing_by_itself() {
    let mut script = Script::running();
    let mut engine = stand_in(&mut script);
    assert_eq!(engine.poll_effect(), None);
    assert_eq!(engine.next_wake(script.clock()), None);

    let job = || JobSpec::new("work", every(10)).id("report").args("ann");
    let within = inserted(adding(&mut engine, script.clock(), job()));
    script.add(job());
    let without = match script.open_call() {
        StoreCall::Insert(_, rows) => rows[0].clone(),
        other => panic!("an insert is expected, not {other:?}"),
    };
    assert_ne!(within.uid, without.uid);
    assert_eq!(crate::JobRow { uid: Uid(0), ..within }, crate::JobRow { uid: Uid(0), ..without });

    for (spec, kind) in [
        (JobSpec::now("play"), ErrorKind::UnknownTask),
        (JobSpec::now("work").executor("fast"), ErrorKind::UnknownExecutor),
        (JobSpec::now("work").id(""), ErrorKind::Job),
    ] {
        let Effect::Reply(_, Ok(Reply::Added(results))) = adding(&mut engine, script.clock(), spec) else {
            panic!("an answer is expected at once");
        };
        assert_eq!(results[0].as_ref().unwrap_err().kind(), kind);
    }
}

#[test]
fn no_two_of_them_draw_the_same_uid() {
    let mut script = Script::running();
    let mut uids: Vec<Uid> = (0..100)
        .map(|_| {
            let mut engine = stand_in(&mut script);
            inserted(adding(&mut engine, script.clock(), JobSpec::now("work"))).uid
        })
        .collect();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 100);
}

#[test]
fn the_defaults_of_the_scheduler_hold() {
    let defaults = PartialOptions::default().max_instances(7);
    let mut engine = Engine::new(Config { job_defaults: defaults, ..Config::new("node", 1) });
    let now = Script::new().clock();
    let mut tell = |command| {
        engine.handle(now, Input::Command(CallId(9), command));
        std::iter::from_fn(|| engine.poll_effect()).last()
    };
    tell(Command::AddTasks(vec!["work".into()]));
    tell(Command::AddExecutor("default".into(), None));
    tell(Command::AddStore("default".into(), super::limits()));
    tell(Command::Start(Mode::Paused));
    let Some(Effect::Reply(_, Ok(Reply::Engine(mut stand_in)))) = tell(Command::InTransaction("default".into())) else {
        panic!("an engine is expected");
    };
    let job = inserted(adding(&mut stand_in, now, JobSpec::new("work", every(10))));
    assert_eq!(job.body.options.max_instances.get(), 7);
}

#[test]
fn a_store_that_is_not_there_has_none() {
    let mut script = Script::running();
    script.command(Command::InTransaction("other".into()));
    script.expect("→ reply UnknownStore: there is no store `other`; the scheduler has `default`");
}
