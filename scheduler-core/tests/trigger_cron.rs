//! The three dialects, rule by rule.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{Cron, Gap, RepeatedHour, TriggerErrorKind, Weekdays},
};
use serde_json::json;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The first fire times in UTC, in a form that shows what the expression is about.
fn fires(cron: Result<Cron, scheduler_core::trigger::TriggerError>, from: &str, format: &str, n: usize) -> String {
    let trigger = Trigger::from(cron.unwrap());
    let fires = trigger.next_n(at(from) - chrono::TimeDelta::seconds(1), n).unwrap();
    fires.iter().map(|fire| fire.format(format).to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn fields_that_are_not_given_are_any_above_and_least_below() {
    let from = "2026-01-01T00:00:00Z";
    assert_eq!(fires(Cron::fields().hour(9).build(), from, "%d %T", 2), "01 09:00:00 02 09:00:00");
    assert_eq!(fires(Cron::fields().minute(9).build(), from, "%d %T", 2), "01 00:09:00 01 01:09:00");
    assert_eq!(fires(Cron::fields().month(3).build(), from, "%Y-%m-%d %T", 1), "2026-03-01 00:00:00");
    assert_eq!(fires(Cron::fields().year(2030).build(), from, "%Y-%m-%d", 5), "2030-01-01");
    assert_eq!(fires(Cron::fields().week(2).build(), from, "%m-%d", 2), "01-05 01-06");
    assert!(Cron::fields().build().unwrap_err().to_string().contains("no field is given"));
}

#[test]
fn fields_fire_as_the_tests_of_apscheduler_say() {
    let berlin = |cron: scheduler_core::trigger::CronFields| cron.timezone(chrono_tz::Europe::Berlin).build();
    let cases = [
        (Cron::fields().year("2009/2").month("1-4/3").day("5-13"), "2008-12-01T00:00:00Z", "2009-01-05"),
        (Cron::fields().year("2009/2").month("1/3").day("5-13"), "2009-10-14T00:00:00Z", "2011-01-05"),
        (Cron::fields().year(2009).month("feb-dec").hour("8-10"), "2009-01-01T00:00:00Z", "2009-02-01"),
        (Cron::fields().year(2012).month(2).day("last"), "2012-02-01T00:00:00Z", "2012-02-29"),
        (Cron::fields().year("2009,2008"), "2009-01-01T00:00:00Z", ""),
        (Cron::fields().year(2009).month(1).day("6-10").day_of_week("2-4"), "2009-01-01T00:00:00Z", "2009-01-07"),
        (Cron::fields().year(2009).month(1).day("6-10").day_of_week("0,6"), "2009-01-01T00:00:00Z", ""),
        (Cron::fields().year(2009).month(1).day("4th wed"), "2009-01-01T00:00:00Z", "2009-01-28"),
        (Cron::fields().year(2009).month(2).week(8), "2009-01-01T00:00:00Z", "2009-02-16"),
        (Cron::fields().year(2009).week(15).day_of_week(2), "2009-01-01T00:00:00Z", "2009-04-08"),
        (Cron::fields().day("6,8"), "2009-12-31T12:00:00Z", "2010-01-06"),
        (Cron::fields().day(30), "2016-02-01T00:00:00Z", "2016-03-30"),
    ];
    for (cron, now, expected) in cases {
        let trigger = Trigger::from(berlin(cron).unwrap());
        let next = trigger.next(None, at(now)).unwrap();
        let shown = next.map(|next| next.with_timezone(&chrono_tz::Europe::Berlin).date_naive().to_string());
        assert_eq!(shown.unwrap_or_default(), expected, "{trigger}");
    }
    let fifth = fires(Cron::fields().day("5th mon").hour(0).build(), "2026-01-01T00:00:00Z", "%m-%d", 4);
    assert_eq!(fifth, "03-30 06-29 08-31 11-30");
    let week_53 = Cron::fields().week(53).day_of_week("fri").hour(0).build();
    assert_eq!(fires(week_53, "2026-12-01T00:00:00Z", "%F", 3), "2027-01-01 2032-12-31 2038-01-01");
    let ends = Cron::fields().day("1st mon, last fri").hour(9).build();
    assert_eq!(fires(ends, "2026-01-01T00:00:00Z", "%m-%d", 5), "01-05 01-30 02-02 02-27 03-02");
}

#[test]
fn start_and_end_are_both_included() {
    let cron = Cron::fields().hour(4).start(at("2026-01-02T04:00:00Z")).end(at("2026-01-04T04:00:00Z"));
    let trigger = Trigger::from(cron.build().unwrap());
    assert_eq!(trigger.next_n(at("2020-01-01T00:00:00Z"), 9).unwrap().len(), 3);
    assert_eq!(trigger.previous(at("2026-01-02T03:59:59Z")).unwrap(), None);
    assert_eq!(trigger.previous(at("2027-01-01T00:00:00Z")).unwrap(), Some(at("2026-01-04T04:00:00Z")));
}

#[test]
fn a_crontab_matches_day_or_weekday_unless_one_is_starred() {
    let from = "2026-02-01T00:00:00Z";
    assert_eq!(fires(Cron::crontab("0 0 13 * fri"), from, "%d", 4), "06 13 20 27");
    assert_eq!(fires(Cron::crontab("0 0 */13 * fri"), from, "%m-%d", 2), "02-27 03-27");
    assert_eq!(fires(Cron::crontab("0 0 13 * *"), from, "%m-%d", 2), "02-13 03-13");
    assert_eq!(fires(Cron::crontab("0 0 L * 5"), from, "%d", 5), "06 13 20 27 28");
    assert_eq!(fires(Cron::crontab("0 0 * * 5L"), from, "%m-%d", 2), "02-27 03-27");
}

#[test]
fn a_crontab_has_sunday_twice_and_ranges_that_run_past_the_end() {
    let week = |weekday: &str| fires(Cron::crontab(&format!("0 0 * * {weekday}")), "2026-02-02T00:00:00Z", "%a", 4);
    assert_eq!(week("0"), "Sun Sun Sun Sun");
    assert_eq!(week("7"), "Sun Sun Sun Sun");
    assert_eq!(week("fri-mon"), "Mon Fri Sat Sun");
    assert_eq!(week("5-7"), "Fri Sat Sun Fri");
    assert_eq!(week("*/7"), "Sun Sun Sun Sun");
    assert_eq!(week("5/2"), "Fri Sun Fri Sun");
    assert_eq!(week("5-1/2"), "Fri Sun Fri Sun");
    assert_eq!(week("tue#2"), "Tue Tue Tue Tue");
    let hours = fires(Cron::crontab("0 22-2/2 * * *"), "2026-02-02T00:00:00Z", "%H", 4);
    assert_eq!(hours, "00 02 22 00");
    let minutes = fires(Cron::crontab("55-5/4 * * * *"), "2026-02-02T00:00:00Z", "%M", 4);
    assert_eq!(minutes, "03 55 59 03");
    let months = fires(Cron::crontab("0 0 1 nov-feb *"), "2026-02-02T00:00:00Z", "%b", 4);
    assert_eq!(months, "Nov Dec Jan Feb");
}

#[test]
fn a_crontab_has_words_and_may_name_its_zone() {
    for (word, expression) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        let from = "2026-02-02T00:00:01Z";
        assert_eq!(fires(Cron::crontab(word), from, "%F %T", 3), fires(Cron::crontab(expression), from, "%F %T", 3));
    }
    assert!(Cron::crontab("@hourly").unwrap().follows_real_time());
    assert!(!Cron::crontab("@daily").unwrap().follows_real_time());
    let tokyo = Cron::crontab("CRON_TZ=Asia/Tokyo 0 9 * * *").unwrap();
    assert_eq!(tokyo.zone(), Some(chrono_tz::Asia::Tokyo));
    assert_eq!(fires(Ok(tokyo), "2026-02-02T00:00:00Z", "%T", 1), "00:00:00");
}

#[test]
fn apschedulers_weekday_numbers_are_a_choice() {
    let from = "2026-02-02T00:00:00Z";
    assert_eq!(fires(Cron::from_crontab("0 0 * * 0", Weekdays::Apscheduler), from, "%a", 1), "Mon");
    assert_eq!(fires(Cron::from_crontab("0 0 * * 0", Weekdays::Crontab), from, "%a", 1), "Sun");
    assert_eq!(
        fires(Cron::from_crontab("0 0 13 * fri", Weekdays::Apscheduler), from, "%F", 2),
        "2026-02-13 2026-03-13"
    );
}

#[test]
fn quartz_counts_from_sunday_and_knows_last_nearest_and_nth() {
    let days = |day: &str, weekday: &str| {
        fires(Cron::quartz(&format!("0 0 0 {day} * {weekday}")), "2026-08-01T00:00:00Z", "%a%d%b", 3)
    };
    assert_eq!(days("?", "1"), "Sun02Aug Sun09Aug Sun16Aug");
    assert_eq!(days("?", "FRI-MON"), "Sat01Aug Sun02Aug Mon03Aug");
    assert_eq!(days("L", "?"), "Mon31Aug Wed30Sep Sat31Oct");
    assert_eq!(days("L-3", "?"), "Fri28Aug Sun27Sep Wed28Oct");
    assert_eq!(days("LW", "?"), "Mon31Aug Wed30Sep Fri30Oct");
    assert_eq!(days("L-3W", "?"), "Fri28Aug Mon28Sep Wed28Oct");
    assert_eq!(days("1W", "?"), "Mon03Aug Tue01Sep Thu01Oct");
    assert_eq!(days("15W", "?"), "Fri14Aug Tue15Sep Thu15Oct");
    assert_eq!(days("?", "6L"), "Fri28Aug Fri25Sep Fri30Oct");
    assert_eq!(days("?", "FRI#L"), "Fri28Aug Fri25Sep Fri30Oct");
    assert_eq!(days("?", "6#3"), "Fri21Aug Fri18Sep Fri16Oct");
    assert_eq!(days("?", "L"), "Sat01Aug Sat08Aug Sat15Aug");
    assert_eq!(days("13", "FRI"), "Fri13Nov Fri13Aug Fri13Oct");
    let years = fires(Cron::quartz("0 0 0 1 1 ? 2027-2035/4"), "2026-01-01T00:00:00Z", "%Y", 9);
    assert_eq!(years, "2027 2031 2035");
    assert_eq!(fires(Cron::quartz("5/20 0 0 * * ?"), "2026-01-01T00:00:00Z", "%S", 3), "05 25 45");
}

#[test]
fn an_h_is_drawn_once_and_persisted_as_what_it_became() {
    let now = at("2026-01-01T00:00:00Z");
    let written = Trigger::from(Cron::crontab("H(0-29)/10 H H * *").unwrap());
    let bound = written.clone().bind(now, Tz::UTC, "report");
    let json = serde_json::to_value(&bound).unwrap();
    let expression = json["bound"]["expression"].as_str().unwrap();
    assert!(Cron::crontab(expression).is_ok() && !expression.contains('H'), "{expression}");
    assert_eq!(json["expression"], "H(0-29)/10 H H * *");
    let read: Trigger = serde_json::from_value(json).unwrap();
    assert_eq!(read, bound);
    assert_eq!(read.bind(now, Tz::UTC, "another job"), bound);
    assert!(bound.is_same_as_written(&written));
    let minutes: Vec<_> = bound.next_n(now, 3).unwrap().iter().map(|fire| fire.timestamp() / 60 % 60).collect();
    assert!(minutes[0] < 10 && minutes == [minutes[0], minutes[0] + 10, minutes[0] + 20], "{minutes:?}");
    assert!(Cron::quartz("H H H ? * H").is_ok());
}

#[test]
fn errors_name_dialect_field_column_and_what_was_meant() {
    let errors = [
        (Cron::fields().minute("*/60").build(), "cron field `minute`: `*/60` at column 1: the step must be 1 to 59"),
        (
            Cron::fields().day_of_week("mon,7").build(),
            "cron field `day_of_week`: `7` at column 5: the value must be 0 to 6 or mon to sun; Sunday is 6 here; use `sun`",
        ),
        (
            Cron::fields().day("L").build(),
            "cron field `day`: `L` at column 1: the value must be 1 to 31; the last day is `last` here",
        ),
        (
            Cron::fields().hour("22-2").build(),
            "cron field `hour`: `22-2` at column 1: the range runs backwards; write two, separated by a comma",
        ),
        (
            Cron::fields().day_of_week("Mond").build(),
            "cron field `day_of_week`: `Mond` at column 1: the value must be 0 to 6 or mon to sun; write `mon`",
        ),
        (
            Cron::fields().day("3rd 0").build(),
            "cron field `day`: `3rd 0` at column 1: `3rd` is followed by a weekday, mon to sun",
        ),
        (
            Cron::fields().minute("59/2").build(),
            "cron field `minute`: `59/2` at column 1: a range of one value takes no step",
        ),
        (
            Cron::crontab("0 24 * * *"),
            "crontab field `hour`: `24` at column 3: the value must be 0 to 23; midnight is 0",
        ),
        (Cron::crontab("*/0 * * * *"), "crontab field `minute`: `*/0` at column 1: the step must be 1 or more"),
        (Cron::quartz("0 */60 * * * ?"), "quartz field `minute`: `*/60` at column 3: the step must be 1 to 59"),
        (
            Cron::crontab("0 0 * * mon#6"),
            "crontab field `day of week`: `mon#6` at column 9: after `#` comes 1 to 5, or L for the last",
        ),
        (
            Cron::crontab("0 0 H/22/2 * *"),
            "crontab field `day of month`: `H/22/2` at column 5: write `H` as in H, H/15, H(0-29) or H(0-29)/10",
        ),
        (
            Cron::crontab("0 0 * *"),
            "crontab `0 0 * *`: 4 fields, but there must be 5: minute, hour, day of month, month, day of week; or 6 with a \
             second in front, or 7 with a second in front and a year behind",
        ),
        (
            Cron::crontab("@often"),
            "crontab `@often`: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
        ),
        (
            Cron::crontab("CRON_TZ=Mars/Base 0 0 * * *"),
            "crontab `CRON_TZ=Mars/Base 0 0 * * *`: `Mars/Base` at column 9: not a name of the tz database",
        ),
        (
            Cron::quartz("0 0 0 ? * 0"),
            "quartz field `day of week`: `0` at column 11: the value must be 1 to 7 or sun to sat; Sunday is 1 here; use `sun`, \
             or the crontab dialect, which has seconds too",
        ),
        (
            Cron::quartz("0 0 0 ? * ?"),
            "quartz field `day of week`: `?` at column 11: `?` may stand in one of day of month and day of week, not in both",
        ),
        (
            Cron::quartz("0 0 12 * *"),
            "quartz `0 0 12 * *`: 5 fields, but there must be 6 or 7: second, minute, hour, day of month, month, day of \
             week, and perhaps year; for five fields use the crontab dialect",
        ),
    ];
    for (cron, text) in errors {
        let error = cron.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (TriggerErrorKind::Expression, text));
    }
}

#[test]
fn a_description_says_when_and_how_clocks_matter() {
    let say =
        |cron: Result<Cron, _>| Trigger::from(cron.unwrap()).bind(DateTime::UNIX_EPOCH, Tz::UTC, "job").describe();
    let civil = "it follows civil time: once in a repeated hour, and right after a gap that skips it";
    let real = "it follows real time: in both passes of a repeated hour, and not in a skipped one";
    assert_eq!(
        say(Cron::crontab("30 9 * * mon-fri")),
        format!("at 09:30 on Monday to Friday, on the clocks of UTC; {civil}")
    );
    assert_eq!(
        say(Cron::crontab("*/15 * * * *").map(|cron| cron.timezone(chrono_tz::Europe::Berlin))),
        format!("every 15 minutes, on the clocks of Europe/Berlin; {real}")
    );
    assert_eq!(
        say(Cron::crontab("0 0 13 * fri")),
        format!("at 00:00 on day 13 of the month or on Friday, on the clocks of UTC; {civil}")
    );
    assert_eq!(
        say(Cron::quartz("0 0 6,18 LW JAN-MAR ? 2027")),
        format!(
            "at 06:00 and 18:00 on the last weekday (Monday to Friday) of the month in January to March in 2027, \
             on the clocks of UTC; {civil}"
        )
    );
    assert_eq!(
        say(Cron::fields().day("2nd tue").hour("9-17").minute(5).build()),
        format!("at minute 5 of hours 9 to 17 on the second Tuesday of the month, on the clocks of UTC; {civil}")
    );
    assert_eq!(
        say(Cron::crontab("0 2 * * *").map(|cron| cron.gap(Gap::Skip).overlap(RepeatedHour::Second))),
        "at 02:00, on the clocks of UTC; it follows civil time; a skipped time fires not at all, a repeated one the second time"
    );
}

#[test]
fn a_crontab_is_persisted_with_its_options() {
    let cron = Cron::crontab("0 2 * * *").unwrap().timezone(chrono_tz::Europe::Berlin).gap(Gap::Shift);
    let json = json!({"type": "cron", "dialect": "crontab", "expression": "0 2 * * *", "timezone": "Europe/Berlin", "gap": "shift"});
    assert_eq!(serde_json::to_value(Trigger::from(cron)).unwrap(), json);
}

#[cfg(feature = "cron")]
#[test]
fn a_schedule_of_the_cron_crate_fires_alike() {
    for source in [
        "0 */5 * * * *",
        "0 0 9 1,15 * Mon-Fri",
        "15,45 30 6-18/2 * Jan,Jul Sunday 2026-2040",
        "@weekly",
        "0 0 0 29 2 * *",
    ] {
        let schedule: cron::Schedule = source.parse().unwrap();
        let trigger = Trigger::from(Cron::from(schedule.clone()));
        let start = at("2026-03-05T07:08:09Z");
        let expected: Vec<_> = schedule.after(&start).take(20).collect();
        assert_eq!(trigger.next_n(start, expected.len()).unwrap(), expected, "{source} as {trigger}");
    }
    let starred: cron::Schedule = "0 */5 * * * *".parse().unwrap();
    assert!(Cron::from(starred).follows_real_time());
}
