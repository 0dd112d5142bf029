//! Triggers written by users: whatever their code does, the scheduler gets an answer or an error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::{
    Trigger,
    trigger::{Custom, CustomTrigger, TriggerErrorKind},
};
use serde_json::{Value, json};
use std::sync::Arc;

type Next = Result<Option<DateTime<Utc>>, String>;

struct Code(fn(Option<DateTime<Utc>>, DateTime<Utc>) -> Next);

impl CustomTrigger for Code {
    fn next(
        &self,
        _: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        (self.0)(previous, now)
    }
}

fn trigger(code: fn(Option<DateTime<Utc>>, DateTime<Utc>) -> Next) -> Trigger {
    Custom::new("tides", json!({"harbour": "Cuxhaven"})).with_implementation(Arc::new(Code(code))).into()
}

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

#[test]
fn a_custom_trigger_without_code_is_an_error_that_names_it() {
    let error = Trigger::from(Custom::new("tides", Value::Null)).next(None, NOW).unwrap_err();
    assert_eq!(error.kind(), TriggerErrorKind::Unresolved);
    assert!(error.to_string().contains("`tides`"), "{error}");
}

#[test]
fn a_panic_in_a_custom_trigger_is_an_error() {
    let error = trigger(|_, _| panic!("no water")).next(None, NOW).unwrap_err();
    assert_eq!(error.kind(), TriggerErrorKind::Panicked);
    assert_eq!(error.to_string(), "custom trigger `tides`: panicked: no water");
}

#[test]
fn an_error_of_a_custom_trigger_keeps_its_text() {
    let error = trigger(|_, _| Err("no moon".to_owned())).next(None, NOW).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (TriggerErrorKind::Custom, "custom trigger `tides`: no moon")
    );
}

#[test]
fn a_custom_trigger_that_stands_still_is_an_error() {
    let stuck = trigger(|previous, now| Ok(previous.or(Some(now))));
    assert_eq!(stuck.next(None, NOW).unwrap(), Some(NOW));
    assert_eq!(stuck.next(Some(NOW), NOW).unwrap_err().kind(), TriggerErrorKind::NotAfterPrevious);
}

#[test]
fn code_is_neither_compared_nor_persisted_and_can_be_put_back() {
    let hourly = trigger(|previous, now| Ok(Some(previous.map_or(now, |previous| previous + TimeDelta::hours(1)))));
    let json = serde_json::to_value(&hourly).unwrap();
    assert_eq!(json, json!({"type": "custom", "name": "tides", "args": {"harbour": "Cuxhaven"}}));
    let mut read: Trigger = serde_json::from_value(json).unwrap();
    assert_eq!(read, hourly);
    assert!(read.next(None, NOW).is_err());
    read.custom_mut(&mut |custom| custom.implementation = Some(Arc::new(Code(|_, now| Ok(Some(now))))));
    assert_eq!(read.next(None, NOW).unwrap(), Some(NOW));
}

#[test]
fn arguments_come_back_to_the_last_digit() {
    let trigger: Trigger = r#"custom "tides" 1111111111111111111111111"#.parse().unwrap();
    let json = serde_json::to_string(&trigger).unwrap();
    assert_eq!(serde_json::from_str::<Trigger>(&json).unwrap(), trigger);
    assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
}
