//! Panics over one job: it is put aside or refused, and everything else goes on.
#![allow(unreachable_pub, reason = "a trait's methods")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::script::{Script, at, every, job};
use crate::{
    ErrorKind, JobChange, JobSpec, Listed, Trigger,
    engine::{Command, JobEdit, Reply, StoreReply},
    trigger::{Custom, CustomTrigger},
};

/// Panics with something that panics again when it is dropped, so that the trigger's own guard is not enough.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("(this panic is part of the test)");
        }
    }
}

impl CustomTrigger for Bomb {
    fn next(&self, _: &Value, _: Option<DateTime<Utc>>, _: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
        std::panic::panic_any(Self)
    }
}

fn bomb() -> Trigger {
    // Never dropped, since a test may end in another way.
    let implementation: &'static Arc<Bomb> = Box::leak(Box::new(Arc::new(Bomb)));
    Custom::new("bomb", json!(null)).with_implementation(Arc::clone(implementation) as _).into()
}

#[test]
fn a_job_whose_planning_panics_is_put_aside_and_the_others_run() {
    let mut script = Script::running();
    script.at(10.0).look();
    script.claimed([job(1, "bomb", bomb(), 10.0), job(2, "report", every(10), 10.0)]);
    script.applied();
    script.expect(
        "→ claim
         → settle bomb: quarantined next +10s due never; report: #1 +10s starts, next +20s
         → notify quarantined bomb: planning it panicked: (this panic is part of the test)
         → notify submitted report#1
         → start report#1 attempt 1",
    );
}

#[test]
fn a_job_that_panics_when_it_is_added_is_refused_and_the_others_are_added() {
    let mut script = Script::running();
    let specs = vec![JobSpec::new("work", bomb()).id("bomb"), JobSpec::new("work", every(10)).id("report")];
    script.at(3.0).command(Command::AddJobs("default".into(), specs));
    script.inserted();
    let Some(Ok(Reply::Added(added))) = &script.last_reply else { panic!("both have an answer") };
    let error = added[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(
        error.to_string(),
        "the job that was to be added: looking at it panicked: (this panic is part of the test); nothing has been written"
    );
    assert_eq!(added[1].as_ref().unwrap().next_fire_time, Some(at(10.0)));
}

#[test]
fn a_change_that_panics_is_refused_and_the_next_one_goes_through() {
    let mut script = Script::running();
    let row = job(1, "report", every(10), 10.0).job;
    for change in [JobEdit::Reschedule(bomb()), JobEdit::Modify(JobChange::default().trigger(bomb()))] {
        script.command(Command::ChangeJob(None, "report".into(), Box::new(change)));
        script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(row.clone()))))));
        let Some(Err(error)) = &script.last_reply else { panic!("it is refused") };
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().starts_with("job `report`: looking at it panicked: "), "{error}");
    }
    script.command(Command::ChangeJob(None, "report".into(), Box::new(JobEdit::Pause(crate::Pause::new()))));
    script.stored(Ok(StoreReply::Job(Some(Box::new(Listed::Job(row))))));
    assert!(script.has_call(), "the pause is sent");
}
