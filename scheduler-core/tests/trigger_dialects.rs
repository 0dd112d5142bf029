//! What other schedulers' cron expressions mean here: crontab with seconds, what peers read, and what errors say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{Cron, Interval, Weekdays},
};
use serde_json::json;
use std::time::Duration;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The first fire times of 2026 in UTC.
fn fires(text: &str, format: &str, n: usize) -> String {
    fires_of(&Trigger::crontab(text).unwrap(), format, n)
}

fn fires_of(trigger: &Trigger, format: &str, n: usize) -> String {
    let fires = trigger.next_n(at("2025-12-31T23:59:59Z"), n).unwrap();
    fires.iter().map(|fire| fire.format(format).to_string()).collect::<Vec<_>>().join(" ")
}

fn error(text: &str) -> String {
    Cron::crontab(text).unwrap_err().to_string()
}

#[test]
fn a_crontab_with_seconds_has_a_crontabs_weekdays() {
    // Pasted from Spring, croner, tokio-cron-scheduler: Monday is 1, Sunday 0 or 7.
    assert_eq!(
        fires("0 0 1 * * 1-5", "%a %T", 6),
        "Thu 01:00:00 Fri 01:00:00 Mon 01:00:00 Tue 01:00:00 Wed 01:00:00 Thu 01:00:00"
    );
    assert_eq!(fires("30 0 0 * * 0", "%a %T", 1), "Sun 00:00:30");
    assert_eq!(fires("30 0 0 * * 7", "%a %T", 1), "Sun 00:00:30");
    assert_eq!(fires("*/20 * * * * *", "%M:%S", 4), "00:00 00:20 00:40 01:00");
    // The same five fields fire alike, with second 0 in front.
    for five in ["*/5 8-18 * * mon-fri", "0 9 13 * fri", "0 0 LW * *", "0 0 * * 5#2", "30 4 1,15 * 5"] {
        assert_eq!(fires(&format!("0 {five}"), "%F %T", 40), fires(five, "%F %T", 40), "{five}");
    }
}

#[test]
fn a_crontab_with_seconds_has_a_crontabs_or_and_perhaps_a_year() {
    assert_eq!(fires("0 0 0 13 * fri", "%a%d", 4), "Fri02 Fri09 Tue13 Fri16");
    assert_eq!(fires("0 0 0 1 1 * 2027-2035/4", "%Y", 9), "2027 2031 2035");
    assert_eq!(fires("0 0 0 1 1 ? *", "%Y", 2), "2026 2027");
    assert!(Cron::crontab("0 0 0 29 2 * 2027").is_ok_and(|cron| Trigger::from(cron).never_fires()));
}

#[test]
fn the_examples_in_springs_documentation_fire_as_it_says() {
    for (text, format, expected) in [
        ("0 0 * * * *", "%T", "00:00:00 01:00:00"),
        ("*/10 * * * * *", "%T", "00:00:00 00:00:10"),
        ("0 0 8-10 * * *", "%T", "08:00:00 09:00:00"),
        ("0 0 6,19 * * *", "%T", "06:00:00 19:00:00"),
        ("0 0/30 8-10 * * *", "%T", "08:00:00 08:30:00"),
        ("0 0 9-17 * * MON-FRI", "%a %T", "Thu 09:00:00 Thu 10:00:00"),
        ("0 0 0 25 12 ?", "%F", "2026-12-25 2027-12-25"),
        ("0 0 0 L * *", "%m-%d", "01-31 02-28"),
        ("0 0 0 L-3 * *", "%m-%d", "01-28 02-25"),
        ("0 0 0 1W * *", "%m-%d", "01-01 02-02"),
        ("0 0 0 LW * *", "%m-%d", "01-30 02-27"),
        ("0 0 0 * * 5L", "%m-%d", "01-30 02-27"),
        ("0 0 0 * * THUL", "%m-%d", "01-29 02-26"),
        ("0 0 0 ? * 5#2", "%m-%d", "01-09 02-13"),
        ("0 0 0 ? * MON#1", "%m-%d", "01-05 02-02"),
    ] {
        assert_eq!(fires(text, format, 2), expected, "{text}");
    }
}

#[test]
fn a_question_mark_in_a_day_field_is_a_star() {
    // Kubernetes: a question mark has the meaning of an asterisk.
    for (question, star) in [
        ("0 0 ? * mon", "0 0 * * mon"),
        ("0 0 1 * ?", "0 0 1 * *"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("0 0 ?/2 * mon", "0 0 */2 * mon"),
    ] {
        assert_eq!(fires(question, "%F", 30), fires(star, "%F", 30), "{question}");
    }
}

#[test]
fn days_near_to_others_are_a_crontabs_too() {
    assert_eq!(fires("0 0 15W * *", "%m-%d", 3), "01-15 02-16 03-16");
    assert_eq!(fires("0 0 L-3 * *", "%m-%d", 3), "01-28 02-25 03-28");
    assert_eq!(fires("0 0 L-3W * *", "%m-%d", 3), "01-28 02-25 03-27");
    assert_eq!(fires("0 0 1W,15W,L * ?", "%m-%d", 4), "01-01 01-15 01-31 02-02");
    // Under `or`, as any other day.
    assert_eq!(fires("0 0 15W * mon", "%d", 4), "05 12 15 19");
}

#[test]
fn a_step_beyond_the_range_leaves_the_first_value() {
    // cronsim's first Monday of the month: the day begins with a star, so both must match.
    assert_eq!(fires("0 9 */100,1-7 * MON", "%m-%d", 4), "01-05 02-02 03-02 04-06");
    assert_eq!(fires("30/30 * * * *", "%R", 3), "00:30 01:30 02:30");
    assert_eq!(fires("*/90 * * * *", "%R", 3), "00:00 01:00 02:00");
    assert_eq!(fires("0 0 * * fri-mon/9", "%a", 3), "Fri Fri Fri");
    assert_eq!(fires("0 0 0 1 1 * 2030/9000", "%Y", 3), "2030");
    assert_eq!(fires("4294967295/4294967295 * * * *".replace("4294967295/", "5/").as_str(), "%R", 2), "00:05 01:05");
    // Quartz takes steps up to the size of the field, APScheduler none beyond the range.
    assert_eq!(fires_of(&Cron::quartz("0 30/30 * * * ?").unwrap().into(), "%R", 2), "00:30 01:30");
    assert!(Cron::quartz("0 30/60 * * * ?").is_err());
    assert!(Cron::fields().minute("30/30").build().is_err());
}

#[test]
fn names_may_be_long() {
    assert_eq!(fires("0 0 * January,sept Monday", "%m-%d", 5), "01-05 01-12 01-19 01-26 09-07");
    assert_eq!(fires("0 0 * * TUESDAY-thurs", "%a", 3), "Thu Tue Wed");
    assert_eq!(fires("0 0 * * fridayL", "%m-%d", 2), "01-30 02-27");
    assert_eq!(fires("0 0 * * friday#2", "%m-%d", 2), "01-09 02-13");
    assert_eq!(fires_of(&Cron::quartz("0 0 0 ? June Sunday#1").unwrap().into(), "%m-%d", 2), "06-07 06-06");
    let fields = Cron::fields().day_of_week("monday-friday").month("december").build().unwrap();
    assert_eq!(fires_of(&fields.into(), "%a%d", 3), "Tue01 Wed02 Thu03");
    let first_monday = Cron::fields().day("1st monday").hour(0).build().unwrap();
    assert_eq!(fires_of(&first_monday.into(), "%m-%d", 2), "01-05 02-02");
    for misspelt in ["0 0 * * mond", "0 0 * * mondays", "0 0 * * mo", "0 0 * jany *"] {
        assert!(Cron::crontab(misspelt).is_err(), "{misspelt}");
    }
}

#[test]
fn a_zone_stands_in_front_in_every_dialect() {
    let tokyo = Some(chrono_tz::Asia::Tokyo);
    for zone in ["CRON_TZ=Asia/Tokyo", "TZ=Asia/Tokyo", "  TZ=Asia/Tokyo  "] {
        assert_eq!(Cron::crontab(&format!("{zone} 0 9 * * *")).unwrap().zone(), tokyo);
        assert_eq!(Cron::crontab(&format!("{zone} 0 0 9 * * *")).unwrap().zone(), tokyo);
        assert_eq!(Cron::crontab(&format!("{zone} @daily")).unwrap().zone(), tokyo);
        assert_eq!(Cron::quartz(&format!("{zone} 0 0 9 ? * *")).unwrap().zone(), tokyo);
        let apscheduler = Cron::from_crontab(&format!("{zone} 0 9 * * 0"), Weekdays::Apscheduler).unwrap();
        assert_eq!((apscheduler.zone(), apscheduler.dialect()), (tokyo, scheduler_core::trigger::Dialect::Fields));
        for text in ["crontab TZ 0 9 * * *", "quartz TZ 0 0 9 ? * *", "cron TZ hour='9'", "crontab TZ @daily"] {
            let trigger: Trigger = text.replace("TZ", zone).parse().unwrap();
            assert!(trigger.to_string().ends_with(" in Asia/Tokyo"), "{trigger}");
            assert_eq!(fires_of(&trigger, "%R", 1), if text.contains("daily") { "15:00" } else { "00:00" });
        }
        // From another language, in the persisted form.
        let form = json!({"type": "cron", "dialect": "crontab", "expression": format!("{zone} 0 9 * * *")});
        let trigger: Trigger = serde_json::from_value(form).unwrap();
        let written =
            json!({"type": "cron", "dialect": "crontab", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"});
        assert_eq!(serde_json::to_value(&trigger).unwrap(), written);
    }
}

#[test]
fn two_zones_are_one_too_many() {
    let error = "crontab TZ=Asia/Tokyo 0 9 * * * in Europe/Berlin".parse::<Trigger>().unwrap_err();
    assert!(
        error.to_string().ends_with("it has two zones, Asia/Tokyo and Europe/Berlin; leave one of them out"),
        "{error}"
    );
    let form = json!({"type": "cron", "dialect": "quartz", "expression": "TZ=Asia/Tokyo 0 0 9 ? * *", "timezone": "Europe/Berlin"});
    let error = serde_json::from_value::<Trigger>(form).unwrap_err();
    assert!(error.to_string().contains("its own zone, Asia/Tokyo, is not the one beside it"), "{error}");
    assert!("crontab TZ=Asia/Tokyo 0 9 * * * in Asia/Tokyo".parse::<Trigger>().is_ok());
}

#[test]
fn every_is_an_interval() {
    for (text, period) in
        [("@every 5m", 300), ("@every 1h30m10s", 5410), ("@EVERY 1h 30m", 5400), ("TZ=UTC @every 90s", 90)]
    {
        assert_eq!(Trigger::crontab(text).unwrap(), Interval::seconds(period).into(), "{text}");
        assert_eq!(format!("crontab {text}").parse::<Trigger>().unwrap(), Interval::seconds(period).into(), "{text}");
    }
    let bounded: Trigger = "crontab @every 5m starting now jitter 10s".parse().unwrap();
    assert_eq!(bounded.to_string(), "every 5m starting now jitter 10s");
    assert_eq!(bounded.longest_jitter(), Duration::from_secs(10));

    assert_eq!(
        error("@every 5m"),
        "crontab `@every 5m`: it is an interval and no cron; `Trigger::crontab` reads both, `every 5m` is its text and \
         `Interval` its type"
    );
    let told = |text: &str| Trigger::crontab(text).unwrap_err().to_string();
    assert_eq!(told("@every soon"), "crontab `@every soon`: write a duration behind `@every`, as in `@every 1h30m`");
    assert_eq!(told("@every"), "crontab `@every`: write a duration behind `@every`, as in `@every 1h30m`");
    assert_eq!(told("@every 0s"), "interval: the period is zero; give at least one microsecond");
    assert!(told("TZ=Mars/Base @every 5m").contains("`Mars/Base` at column 4"));
}

#[test]
fn zero_by_one_follows_real_time_as_a_star_does() {
    for text in ["0/1 2 * * *", "0 0/1 * * *", "0/1,30 2 * * *", "5 0 0/1 * * *"] {
        assert!(Cron::crontab(text).unwrap().follows_real_time(), "{text}");
    }
    // What cronmaker writes for "each hour".
    assert!(Cron::quartz("0 0 0/1 1/1 * ? *").unwrap().follows_real_time());
    assert!(Cron::fields().minute("0/1").hour("2").build().unwrap().follows_real_time());
    for text in
        ["0/10 2 * * *", "0-59 2 * * *", "0 0-23 * * *", "1/1 2 * * *", "0 2 0/1 * *".replace("0/1", "1/1").as_str()]
    {
        assert!(!Cron::crontab(text).unwrap().follows_real_time(), "{text}");
    }
    // The repeated hour in Berlin: each minute of both passes.
    let trigger = Trigger::from(Cron::crontab("0/1 2 * * *").unwrap().timezone(Tz::Europe__Berlin));
    let hours = trigger
        .fires(at("2026-10-24T22:00:00Z"))
        .take_while(|fire| *fire.as_ref().unwrap() < at("2026-10-25T12:00:00Z"));
    assert_eq!(hours.count(), 120);
}

#[test]
fn columns_count_from_the_start_of_what_was_written() {
    assert_eq!(
        error("CRON_TZ=Asia/Tokyo 0 25 * * *"),
        "crontab field `hour`: `25` at column 22: the value must be 0 to 23"
    );
    assert_eq!(error("  TZ=UTC\t0 25 * * *"), "crontab field `hour`: `25` at column 12: the value must be 0 to 23");
    assert_eq!(error("  0 25 * * *"), "crontab field `hour`: `25` at column 5: the value must be 0 to 23");
    // An `H` in front is still one letter.
    assert_eq!(error("H(0-29) 25 * * *"), "crontab field `hour`: `25` at column 9: the value must be 0 to 23");
    assert_eq!(error("H 25 * * *"), "crontab field `hour`: `25` at column 3: the value must be 0 to 23");
    assert!(error(" CRON_TZ=Mars/Base 0 0 * * *").contains("`Mars/Base` at column 10"));
    assert!(error("TZ=Mars/Base 0 0 * * *").contains("`Mars/Base` at column 4"));
    let quartz = Cron::quartz(" TZ=UTC 0 0 25 * * ?").unwrap_err().to_string();
    assert_eq!(quartz, "quartz field `hour`: `25` at column 13: the value must be 0 to 23");
    let apscheduler = Cron::from_crontab("0  25 * * *", Weekdays::Apscheduler).unwrap_err().to_string();
    assert_eq!(apscheduler, "cron field `hour`: `25` at column 4: the value must be 0 to 23");
    for (text, place) in [
        ("crontab 0 25 * * *", "`25` at column 11"),
        ("cron minute='5' hour='25'", "`25` at column 23"),
        ("and(every 2h; crontab 0 25 * * *)", "`25` at column 25"),
        ("except(crontab 0 9 * * *; during 4h of quartz 0 0 25 * * ?)", "`25` at column 51"),
        ("or(and(every 1s; cron hour='25'); every 2h)", "`25` at column 29"),
    ] {
        let error = text.parse::<Trigger>().unwrap_err().to_string();
        let column = text.find("25").unwrap() + 1;
        assert!(error.contains(place) && place.ends_with(&column.to_string()), "{text}: {error}");
    }
}

#[test]
fn what_is_refused_names_the_dialect_that_has_it() {
    let fields = |name: &str, text: &str| Cron::fields().field(name, text).unwrap().build().unwrap_err().to_string();
    let quartz = |text: &str| Cron::quartz(text).unwrap_err().to_string();
    for (told, expected) in [
        (fields("day", "13W"), "this is for crontab and Quartz expressions"),
        (fields("day", "L-3"), "this is for crontab and Quartz expressions"),
        (fields("day", "LW"), "this is for crontab and Quartz expressions"),
        (fields("day", "L"), "the value must be 1 to 31; the last day is `last` here"),
        (fields("day", "?"), "`?` is for crontab and Quartz expressions; write `*`"),
        (fields("minute", "H/15"), "`H` is for crontab and Quartz expressions; spread jobs by `jitter` here"),
        (
            fields("day_of_week", "5#2"),
            "this is for crontab and Quartz expressions; write it as a day: `2nd fri`, `last fri`",
        ),
        (
            fields("day_of_week", "friL"),
            "this is for crontab and Quartz expressions; write it as a day: `2nd fri`, `last fri`",
        ),
        (fields("minute", "/10"), "write `*/10`"),
        (error("/10 * * * *"), "write `*/10`"),
        (quartz("0 /10 * * * ?"), "write `*/10`"),
        (error("? * * * *"), "`?` may stand for day of month and day of week; write `*`"),
        (quartz("? 0 0 * * ?"), "`?` may stand for day of month and day of week; write `*`"),
        (quartz("0 0 0 1,? * *"), "`?` stands alone, for any day"),
        (error("0~30 * * * *"), "a drawn value is written H(0-29) here"),
        (error("~ * * * *"), "`~` is for cronie and OpenBSD; a drawn value is H, or H(0-59), here"),
        (error("0 0 1-7 * +mon"), "day and weekday must both match in named fields and in Quartz expressions"),
        (error("0 0 * * MON-FRI#1"), "`#` takes one weekday, not a range; list them, as in mon#1,tue#1"),
        (error("0 0 * * 1-5#2"), "`#` takes one weekday, not a range; list them, as in mon#1,tue#1"),
        (error("0 0 * * MON#1-3"), "`#` takes one number; list them, as in mon#1,mon#3"),
        (error("0 0 * * thu-friL"), "`L` takes one weekday, not a range; list them, as in monL,tueL"),
        (quartz("0 0 0 ? * MON-FRI#1"), "`#` takes one weekday, not a range; list them, as in mon#1,tue#1"),
        (error("0 0 1W-15W * *"), "`W` takes one day; list them, as in 1W,15W"),
        (error("0 0 last * *"), "the last one is written with `L` here"),
        (error("0 0 * * last"), "the last one is written with `L` here"),
        (error("@reboot"), "add a job without a trigger, as `JobSpec::now` does"),
        (error("@every_minute"), "write `* * * * *`"),
        (quartz("@daily"), "words with `@` are for the crontab dialect"),
        ("cron @daily".parse::<Trigger>().unwrap_err().to_string(), "words with `@` are for the crontab dialect"),
    ] {
        assert!(told.ends_with(expected), "{told}\n  should end with: {expected}");
        assert!(!told.starts_with("quartz") || !told.contains("for Quartz"), "{told}");
    }
}

#[test]
fn a_lint_says_what_is_easily_misread() {
    let lint = |trigger: Trigger| trigger.lint();
    assert_eq!(
        lint(Cron::quartz("0 0 1 * * 1-5").unwrap().into()),
        [
            "quartz 0 0 1 * * 1-5: Quartz counts the weekdays of `1-5` from Sunday, which is 1, so that this is Monday to \
          Thursday and Sunday; write names, or take the crontab dialect, in which Sunday is 0"
        ]
    );
    for numbers in ["0 0 1 ? * 6L", "0 0 1 ? * 6#3", "0 0 1 ? * SUN,2", "0 0 1 ? * 2-6/2 2027", "0 0 1 ? * H(2-6)"] {
        assert_eq!(lint(Cron::quartz(numbers).unwrap().into()).len(), 1, "{numbers}");
    }
    for names in ["0 0 1 ? * MON-FRI", "0 0 1 ? * FRI#3", "0 0 1 ? * */2", "0 0 1 ? * L", "0 0 1 5 * ?", "0 0 1 ? * H"]
    {
        assert!(lint(Cron::quartz(names).unwrap().into()).is_empty(), "{names}");
    }
    let daily = lint(Trigger::crontab("0 0 1-31 * mon").unwrap());
    assert!(daily.len() == 1 && daily[0].contains("it fires each day"), "{daily:?}");
    let either = lint(Trigger::crontab("0 0 0 13 * fri").unwrap());
    assert!(either.len() == 1 && either[0].contains("in Spring both must"), "{either:?}");
    let beyond = lint(Trigger::crontab("*/90 * * * *").unwrap());
    assert!(
        beyond.len() == 1 && beyond[0].contains("the step of `*/90` is beyond the minutes of 0 to 59"),
        "{beyond:?}"
    );
    for usual in [
        "0 9 * * mon-fri",
        "0 9 13 * fri",
        "0 9 */100,1-7 * MON",
        "*/15 * * * * *",
        "@hourly",
        "H H * * *",
        "@every 90m",
    ] {
        assert!(lint(Trigger::crontab(usual).unwrap()).is_empty(), "{usual}");
    }
    // Those of parts are told as well.
    let parts: Trigger =
        "except(or(quartz 0 0 1 ? * 1-5; every 2h); during 1h of crontab */90 * * * *)".parse().unwrap();
    assert_eq!(parts.lint().len(), 2);
}

#[test]
fn what_earlier_versions_kept_means_the_same() {
    // Five fields, with a draw that was bound then.
    let kept = json!({"type": "cron", "dialect": "crontab", "expression": "H(0-29)/10 H * * 1-5",
                      "bound": {"timezone": "Europe/Berlin", "expression": "7-29/10 17 * * 1-5"}});
    let trigger: Trigger = serde_json::from_value(kept.clone()).unwrap();
    assert_eq!(serde_json::to_value(&trigger).unwrap(), kept);
    assert_eq!(fires_of(&trigger, "%a %R", 4), "Thu 16:07 Thu 16:17 Thu 16:27 Fri 16:07");
    // Drawn anew, it is what an earlier version drew, with a second in front too.
    for (text, drawn) in [("H H H * *", "9 5 6 * *"), ("H/15 H(0-5) * * H", "2-59/15 1 * * 1")] {
        let bound = |text: &str| {
            let bound = Trigger::crontab(text).unwrap().bind(at("2026-01-01T00:00:00Z"), Tz::UTC, "report");
            serde_json::to_value(bound).unwrap()["bound"]["expression"].as_str().unwrap().to_owned()
        };
        assert_eq!(bound(text), drawn);
        assert_eq!(bound(&format!("0 {text}")), format!("0 {drawn}"));
    }
}

#[test]
fn what_is_newer_is_read_and_written_back() {
    for text in [
        "0 0 1 * * 1-5",
        "5 0 0 1 1 ? 2027-2035/4",
        "0 0 ? * Monday",
        "0 0 L-3,15W * *",
        "0 9 */100,1-7 * MON",
        "H H 3 * * *",
    ] {
        let trigger = Trigger::crontab(text).unwrap();
        assert_eq!(trigger.to_string(), format!("crontab {text}"));
        assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
        let bound = trigger.clone().bind(at("2026-01-01T00:00:00Z") + TimeDelta::days(1), Tz::UTC, "report");
        let read: Trigger = serde_json::from_value(serde_json::to_value(&bound).unwrap()).unwrap();
        assert_eq!(read, bound);
        assert!(read.is_same_as_written(&trigger));
    }
}
