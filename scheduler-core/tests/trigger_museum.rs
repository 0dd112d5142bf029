//! The bug museum: what other schedulers did wrong, each as a test of its own. The names of the exhibits stand beside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{CalendarInterval, Cron, Gap, Interval, MonthEnd, RepeatedHour},
};
use std::time::Duration;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn crontab(expression: &str, name: &str) -> Trigger {
    Cron::crontab(expression).unwrap().timezone(zone(name)).into()
}

/// What the clocks of the zone show at the fire times from one instant to before another, with their offset.
fn shown(trigger: &Trigger, name: &str, from: &str, to: &str) -> Vec<String> {
    let fires = trigger.fires(at(from) - TimeDelta::microseconds(1)).map(Result::unwrap);
    let fires = fires.take_while(|fire| *fire < at(to));
    fires.map(|fire| fire.with_timezone(&zone(name)).format("%d %H:%M%z").to_string()).collect()
}

#[test]
fn a_daily_job_in_the_repeated_hour_runs_once() {
    // kubernetes#121594: 02:00 in Berlin ran twice, and the second run collided with a restore.
    let daily = crontab("0 2 * * *", "Europe/Berlin");
    let days = shown(&daily, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(days, ["25 02:00+0200", "26 02:00+0100"]);
}

#[test]
fn a_minutely_job_runs_through_the_repeated_hour() {
    // systemd#8647, node-schedule#435, schedule#648, Quartz FAQ, Prefect: silent for an hour or two.
    for expression in ["* * * * *", "*/5 * * * *", "*/15 1 * * *", "0 * * * *", "30 * * * *"] {
        let trigger = crontab(expression, "America/New_York");
        let passes = shown(&trigger, "America/New_York", "2025-11-02T05:00:00Z", "2025-11-02T07:00:00Z");
        let (first, second): (Vec<_>, Vec<_>) = passes.iter().partition(|fire| fire.ends_with("-0400"));
        assert_eq!(first.len(), second.len(), "{expression}");
        assert!(!first.is_empty(), "{expression}");
    }
    let half_hours = shown(
        &crontab("*/30 * * * *", "America/New_York"),
        "America/New_York",
        "2025-11-02T05:00:00Z",
        "2025-11-02T07:00:00Z",
    );
    assert_eq!(half_hours, ["02 01:00-0400", "02 01:30-0400", "02 01:00-0500", "02 01:30-0500"]);
}

#[test]
fn a_job_in_the_skipped_hour_runs_right_after_the_gap() {
    // systemd#5595, robfig, Quartz, Nomad: it did not run at all.
    let daily = crontab("30 2 * * *", "America/New_York");
    let days = shown(&daily, "America/New_York", "2025-03-08T12:00:00Z", "2025-03-10T12:00:00Z");
    assert_eq!(days, ["09 03:00-0400", "10 02:30-0400"]);
}

#[test]
fn a_weekly_job_in_the_skipped_hour_does_not_lose_its_week() {
    // dragonmantank/cron-expression#112.
    let weekly = crontab("30 2 * * sun", "Europe/Berlin");
    let days = shown(&weekly, "Europe/Berlin", "2026-03-23T00:00:00Z", "2026-04-06T00:00:00Z");
    assert_eq!(days, ["29 03:00+0200", "05 02:30+0200"]);
}

#[test]
fn times_that_fall_into_one_gap_are_made_up_once() {
    // cronie runs `0,30 2,3 * * *` three times right after the gap.
    let list = crontab("0,30 2,3 * * *", "America/New_York");
    let fires = shown(&list, "America/New_York", "2025-03-09T00:00:00Z", "2025-03-10T00:00:00Z");
    assert_eq!(fires, ["09 03:00-0400", "09 03:30-0400"]);
}

#[test]
fn a_starred_minute_in_the_skipped_hour_is_not_made_up() {
    let starred = crontab("*/30 2 * * *", "America/New_York");
    let fires = shown(&starred, "America/New_York", "2025-03-09T00:00:00Z", "2025-03-11T00:00:00Z");
    assert_eq!(fires, ["10 02:00-0400", "10 02:30-0400"]);
}

#[test]
fn a_gap_does_not_swallow_the_rest_of_the_day() {
    // systemd#13745: a job each four hours paused for 27.
    let four_hourly = crontab("0 2,6,10,14,18,22 * * *", "America/New_York");
    let fires = shown(&four_hourly, "America/New_York", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z");
    assert_eq!(fires.len(), 6);
    // spring-framework#36859: the day in Cairo began at 01:00, and was left out.
    let midnight = crontab("0 0 * * *", "Africa/Cairo");
    let fires = shown(&midnight, "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-25T12:00:00Z");
    assert_eq!(fires, ["24 01:00+0300", "25 00:00+0300"]);
}

#[test]
fn the_day_after_a_gap_is_not_skipped() {
    // APScheduler 3.11.3 and 4.0.0a6: midnight jobs lost the day after the change, monthly ones a month.
    let midnight = Trigger::from(Cron::fields().hour(0).timezone(zone("America/New_York")).build().unwrap());
    let days = shown(&midnight, "America/New_York", "2026-03-08T05:00:00Z", "2026-03-10T12:00:00Z");
    assert_eq!(days, ["08 00:00-0500", "09 00:00-0400", "10 00:00-0400"]);
    let monthly = Trigger::from(Cron::fields().day(1).hour(0).timezone(zone("America/New_York")).build().unwrap());
    let months = shown(&monthly, "America/New_York", "2026-02-15T00:00:00Z", "2026-05-02T00:00:00Z");
    assert_eq!(months, ["01 00:00-0500", "01 00:00-0400", "01 00:00-0400"]);
}

#[test]
fn a_midnight_gap_does_not_skip_the_day() {
    // APScheduler, systemd, Quartz, Temporal: São Paulo 2018-11-04 had no run.
    let midnight = crontab("0 0 * * *", "America/Sao_Paulo");
    let fires = shown(&midnight, "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z");
    assert_eq!(fires, ["04 01:00-0200", "05 00:00-0200"]);
}

#[test]
fn next_moves_on_at_every_change_of_clocks() {
    // node-schedule#131 and #267, node-cron#638, prefect#5957 (Santiago), systemd#36897 (Dublin, whose winter time is
    // the exception), gorhill/cronexpr (a time before its input, for ever).
    for name in ["America/Santiago", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"] {
        for expression in ["0 0 * * *", "30 2 * * *", "*/30 * * * *", "15 1-3 * * *", "0 */6 * * *"] {
            let trigger = crontab(expression, name);
            let mut now = at("2025-01-01T00:00:00Z");
            let mut fires = 0;
            while now < at("2026-01-01T00:00:00Z") {
                let next = trigger.next(Some(now), now).unwrap().unwrap();
                assert!(next > now && next - now < TimeDelta::hours(27), "{expression} in {name}: {now} to {next}");
                now = next;
                fires += 1;
            }
            assert!(fires >= 365, "{expression} in {name}: {fires}");
        }
    }
}

#[test]
fn half_an_hour_is_a_change_of_clocks_too() {
    // Temporal and JobRunr fired 02:15 at 02:45, kelektiv's cron at 01:45 and at 02:45.
    let gap = crontab("15 2 * * *", "Australia/Lord_Howe");
    let fires = shown(&gap, "Australia/Lord_Howe", "2025-10-04T00:00:00Z", "2025-10-05T12:00:00Z");
    assert_eq!(fires, ["05 02:30+1100"]);
    let overlap = crontab("45 1 * * *", "Australia/Lord_Howe");
    let fires = shown(&overlap, "Australia/Lord_Howe", "2025-04-05T00:00:00Z", "2025-04-06T12:00:00Z");
    assert_eq!(fires, ["06 01:45+1100"]);
}

#[test]
fn an_ambiguous_time_is_an_answer_and_not_a_crash() {
    // quantum-elixir#407: no job ran for a day.
    for overlap in [RepeatedHour::First, RepeatedHour::Second, RepeatedHour::Both] {
        let cron = Cron::crontab("30 2 * * *").unwrap().timezone(zone("Europe/Berlin")).overlap(overlap);
        let fires = shown(&cron.into(), "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z");
        let expected: &[&str] = match overlap {
            RepeatedHour::First => &["25 02:30+0200"],
            RepeatedHour::Second => &["25 02:30+0100"],
            _ => &["25 02:30+0200", "25 02:30+0100"],
        };
        assert_eq!(fires, expected);
    }
}

#[test]
fn what_becomes_of_a_skipped_time_can_be_chosen() {
    for (gap, expected) in
        [(Gap::NextValid, "29 03:00+0200"), (Gap::Shift, "29 03:30+0200"), (Gap::Skip, "30 02:30+0200")]
    {
        let cron = Cron::crontab("30 2 * * *").unwrap().timezone(zone("Europe/Berlin")).gap(gap);
        let fires = shown(&cron.into(), "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(fires[0], expected);
    }
}

#[test]
fn an_interval_does_not_pause_in_a_gap() {
    // APScheduler 3.11.3, #1103: intervals below a minute paused for an hour.
    let every = Trigger::from(Interval::seconds(30).starting_at(at("2026-03-29T00:59:00Z")));
    let fires = every.next_n(at("2026-03-29T00:59:00Z"), 4).unwrap();
    assert!(fires.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::seconds(30)));
}

#[test]
fn a_clock_set_back_neither_repeats_nor_stops_a_job() {
    // robfig/cron#480, gocron#438, pg_cron#105: no run for hours, as the next one lay far ahead.
    let hourly = crontab("0 * * * *", "UTC");
    let previous = at("2026-01-01T12:00:00Z");
    assert_eq!(hourly.next(Some(previous), at("2026-01-01T04:00:00Z")).unwrap(), Some(at("2026-01-01T13:00:00Z")));
    assert_eq!(hourly.next(None, at("2026-01-01T04:00:00Z")).unwrap(), Some(at("2026-01-01T04:00:00Z")));
}

#[test]
fn a_year_of_missed_seconds_is_found_and_counted_at_once() {
    // kubernetes#42649, #73169: more than 100 missed times, and it never ran again.
    let start = at("2025-01-01T00:00:00Z");
    let every = Trigger::from(Interval::seconds(1).starting_at(start));
    let now = at("2026-01-01T00:00:00.5Z");
    assert_eq!(every.previous(now).unwrap(), Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(every.count(start, now), Some(365 * 86_400 + 1));
    let cron = Trigger::from(Cron::fields().second("*").build().unwrap());
    assert_eq!(cron.previous(now).unwrap(), Some(at("2026-01-01T00:00:00Z")));
}

#[test]
fn a_monthly_job_does_not_drift_off_the_end_of_the_month() {
    // securo#67, gnucash-mcp#66, actualbudget#6814: 31 January, 28 February, 28 March ...
    let monthly = |month_end| {
        let start = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
        let trigger = Trigger::from(CalendarInterval::months(1).starting_on(start).month_end(month_end));
        let fires = trigger.next_n(at("2026-01-01T00:00:00Z"), 4).unwrap();
        // Asked afresh from the date before, it must say the same.
        for pair in fires.windows(2) {
            assert_eq!(trigger.next(Some(pair[0]), pair[0]).unwrap(), Some(pair[1]));
            assert_eq!(trigger.previous(pair[1] - TimeDelta::seconds(1)).unwrap(), Some(pair[0]));
        }
        fires.iter().map(|fire| fire.format("%m-%d").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(monthly(MonthEnd::Skip), ["01-31", "03-31", "05-31", "07-31"]);
    assert_eq!(monthly(MonthEnd::Clamp), ["01-31", "02-28", "03-31", "04-30"]);
}

#[test]
fn a_calendar_interval_is_not_thrown_off_by_a_gap_that_crosses_midnight() {
    // APScheduler #1138: daily at 23:30 in Nuuk, a day was lost.
    let daily = CalendarInterval::days(1)
        .starting_on(NaiveDate::from_ymd_opt(2024, 3, 29).unwrap())
        .at(NaiveTime::from_hms_opt(23, 30, 0).unwrap())
        .timezone(zone("America/Nuuk"));
    let daily = Trigger::from(daily);
    let pushed_into_the_next_day = at("2024-03-31T01:00:00Z");
    assert_eq!(daily.next(None, pushed_into_the_next_day).unwrap(), Some(pushed_into_the_next_day));
    assert_eq!(daily.previous(pushed_into_the_next_day).unwrap(), Some(pushed_into_the_next_day));
    let fires = shown(&daily, "America/Nuuk", "2024-03-30T00:00:00Z", "2024-04-02T12:00:00Z");
    assert_eq!(fires, ["29 23:30-0200", "31 00:00-0100", "31 23:30-0100", "01 23:30-0100"]);
}

#[test]
fn a_drawn_day_exists_in_each_month() {
    // n8n PR #29614: a random day 29 or 30 skipped February.
    for job in 0..200 {
        let now = at("2026-01-01T00:00:00Z");
        let monthly = Trigger::from(Cron::crontab("0 0 H * *").unwrap()).bind(now, Tz::UTC, &format!("job {job}"));
        let months: Vec<_> = monthly.next_n(now - TimeDelta::seconds(1), 12).unwrap();
        assert_eq!(months.last().unwrap().format("%Y-%m").to_string(), "2026-12", "{monthly}");
    }
}

#[test]
fn a_step_of_days_starts_afresh_each_month() {
    // systemd#22665: `*-*-1/5` went from 28 February to 6 March.
    let fifth_days = crontab("0 0 1/5 * *", "UTC");
    let days = shown(&fifth_days, "UTC", "2026-02-20T00:00:00Z", "2026-03-10T00:00:00Z");
    assert_eq!(days, ["21 00:00+0000", "26 00:00+0000", "01 00:00+0000", "06 00:00+0000"]);
}

#[test]
fn the_leap_day_after_2096_is_in_2104() {
    // robfig, Nomad, Temporal, the cron and cronexpr crates: never.
    for trigger in [
        crontab("0 0 29 2 *", "UTC"),
        Cron::quartz("0 0 0 29 2 ?").unwrap().into(),
        Cron::fields().month("feb").day(29).build().unwrap().into(),
    ] {
        assert_eq!(trigger.next(None, at("2097-01-01T00:00:00Z")).unwrap(), Some(at("2104-02-29T00:00:00Z")));
        assert_eq!(trigger.previous(at("2103-12-31T00:00:00Z")).unwrap(), Some(at("2096-02-29T00:00:00Z")));
    }
    let mondays = Trigger::from(Cron::fields().month(2).day(29).day_of_week("mon").build().unwrap());
    let years: Vec<_> = mondays.next_n(at("2026-01-01T00:00:00Z"), 3).unwrap();
    assert_eq!(years.iter().map(|fire| fire.format("%Y").to_string()).collect::<Vec<_>>(), ["2044", "2072", "2112"]);
}

#[test]
fn a_day_that_a_country_left_out_is_no_trouble() {
    // The croner crate 4.0.3 stopped with an error at 2011-12-30 in Samoa.
    let noon = crontab("0 12 * * *", "Pacific/Apia");
    let days = shown(&noon, "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(days, ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]);
}

#[test]
fn jobs_of_one_expression_are_spread() {
    // Temporal, Google's `?`, systemd's AccuracySec, Jenkins' `H`: everybody chooses midnight.
    let now = at("2026-01-01T00:00:00Z");
    let mut minutes = std::collections::BTreeSet::new();
    for job in 0..500 {
        let daily = Trigger::from(Cron::crontab("H H * * *").unwrap()).bind(now, Tz::UTC, &format!("job {job}"));
        let fire = daily.next(None, now).unwrap().unwrap();
        assert_eq!(daily.clone().bind(now, Tz::UTC, "another"), daily, "bound once");
        minutes.insert(fire);
    }
    assert!(minutes.len() > 380, "{}", minutes.len());
    let daily = Trigger::from(Cron::crontab("0 0 * * *").unwrap().jitter(Duration::from_secs(3600)));
    let delays: Vec<_> = (0..500).map(|uid| daily.jitter(uid, now).as_secs() / 360).collect();
    for tenth in 0..10 {
        let share = delays.iter().filter(|&&delay| delay == tenth).count();
        assert!((25..=80).contains(&share), "{share} of 500 in one tenth of the hour");
    }
}

#[test]
fn jitter_does_not_add_up_and_stays_before_the_end() {
    // APScheduler 3: 1,000 periods of a minute took 75,351 s.
    let start = at("2026-01-01T00:00:00Z");
    let end = start + TimeDelta::seconds(60_000);
    let every = Trigger::from(Interval::minutes(1).starting_at(start).until(end).jitter(Duration::from_secs(30)));
    let fires: Vec<_> = every.fires(start).collect::<Result<_, _>>().unwrap();
    assert_eq!(fires.last(), Some(&end));
    for fire in fires {
        let due = fire + TimeDelta::from_std(every.jitter(1, fire)).unwrap();
        assert!(due <= end);
    }
    assert_eq!(every.jitter(1, end), Duration::ZERO);
}

#[test]
fn nothing_happens_in_2038() {
    let daily = crontab("0 3 * * *", "Europe/Berlin");
    assert_eq!(daily.next(None, at("2038-01-19T03:14:08Z")).unwrap(), Some(at("2038-01-20T02:00:00Z")));
    let every = Trigger::from(Interval::seconds(1).starting_at(at("2026-01-01T00:00:00Z")));
    assert_eq!(every.next(None, at("2038-01-19T03:14:08Z")).unwrap(), Some(at("2038-01-19T03:14:08Z")));
}
