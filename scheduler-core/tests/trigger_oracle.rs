//! Replays fire times computed by software that this project did not write.

use test_support::triggers::replay::replay;

fn replay_all(file: &str) {
    let mut cases = 0;
    for line in file.lines() {
        let case = serde_json::from_str(line).expect("a line of JSON");
        if let Err(disagreement) = replay(&case) {
            panic!("{line}\n  {disagreement}");
        }
        cases += 1;
    }
    assert!(cases > 80, "the file is whole");
}

#[test]
fn cron_fields_fire_in_utc_as_in_apscheduler() {
    replay_all(include_str!("data/oracle/cron_utc.jsonl"));
}

#[test]
fn cron_fields_fire_in_real_zones_as_in_apscheduler() {
    replay_all(include_str!("data/oracle/cron_zoned.jsonl"));
}

#[test]
fn what_apscheduler_refuses_is_refused_with_an_error_that_names_the_field() {
    replay_all(include_str!("data/oracle/rejected.jsonl"));
}

#[test]
fn intervals_fire_as_in_apscheduler() {
    replay_all(include_str!("data/oracle/interval.jsonl"));
}

#[test]
fn crontab_expressions_fire_as_in_cronsim() {
    replay_all(include_str!("data/oracle/crontab.jsonl"));
}

#[test]
fn crontab_expressions_with_steps_beyond_the_range_fire_as_in_cronsim() {
    replay_all(include_str!("data/oracle/crontab_steps.jsonl"));
}

#[test]
fn crontab_expressions_fire_around_daylight_saving_as_in_cronsim() {
    replay_all(include_str!("data/oracle/crontab_dst.jsonl"));
}

#[test]
fn calendar_intervals_fire_as_in_apscheduler() {
    replay_all(include_str!("data/oracle/calendar_interval.jsonl"));
}

#[test]
fn combinations_fire_as_in_apscheduler() {
    replay_all(include_str!("data/oracle/combined.jsonl"));
}
