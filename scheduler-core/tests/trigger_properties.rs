//! What holds for every trigger, tried with random ones; and what no input may do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use scheduler_core::{
    Trigger,
    trigger::{And, CalendarInterval, Cron, Custom, Date, Except, First, Interval, MonthEnd, Or},
};
use std::time::Duration;
use test_support::triggers::reference::{Expression, Random};

fn instant(random: &mut Random) -> DateTime<Utc> {
    // 1990 to 2080, in whole microseconds.
    DateTime::from_timestamp_micros(631_152_000_000_000 + random.below(2_840_000_000_000_000) as i64).unwrap()
}

fn date(random: &mut Random) -> NaiveDate {
    instant(random).date_naive()
}

/// A trigger of any sort; parts of combinations have no jitter of their own.
fn trigger(random: &mut Random, depth: u32) -> Trigger {
    let jitter = Duration::from_micros(if depth == 0 { random.below(3) * 1_500_000 } else { 0 });
    match random.below(if depth < 2 { 8 } else { 4 }) {
        0 => {
            let mut interval = Interval::every(Duration::from_micros(1 + random.below(1_000_000_000_000)));
            if random.below(2) == 0 {
                interval = interval.starting_at(instant(random));
            } else {
                interval = interval.first(*random.pick(&[First::Now, First::AfterOneInterval]));
            }
            interval.jitter(jitter).into()
        }
        1 => {
            let mut interval =
                CalendarInterval::months(random.below(15) as u32) + CalendarInterval::days(1 + random.below(40) as u32);
            if random.below(2) == 0 {
                interval = interval.starting_on(date(random)).timezone(*random.pick(&TZ_VARIANTS));
            }
            let time = NaiveTime::from_num_seconds_from_midnight_opt(random.below(86_400) as u32, 0).unwrap();
            interval.at(time).month_end(*random.pick(&[MonthEnd::Skip, MonthEnd::Clamp])).jitter(jitter).into()
        }
        2 | 3 => cron(random, jitter),
        4 => Or::of((0..1 + random.below(3)).map(|_| trigger(random, depth + 1))).unwrap().jitter(jitter).into(),
        5 => And::of((0..1 + random.below(2)).map(|_| trigger(random, depth + 1))).unwrap().jitter(jitter).into(),
        6 => Except::new(trigger(random, depth + 1))
            .unwrap()
            .dates((0..random.below(4)).map(|_| date(random)))
            .during(cron(random, Duration::ZERO), Duration::from_secs(random.below(7200)))
            .unwrap()
            .jitter(jitter)
            .into(),
        _ => Date::at(instant(random)).into(),
    }
}

fn cron(random: &mut Random, jitter: Duration) -> Trigger {
    let zone = *random.pick(&TZ_VARIANTS);
    let near = instant(random).naive_utc();
    let Trigger::Cron(mut cron) = Expression::near(random, near).trigger(zone) else { unreachable!() };
    if random.below(4) == 0 {
        cron = cron.start(instant(random));
    }
    if random.below(4) == 0 {
        cron = cron.end(instant(random));
    }
    cron.jitter(jitter).into()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fire_times_move_on_and_lead_back(seed: u64) {
        let mut random = Random(seed);
        let now = instant(&mut random);
        let trigger = trigger(&mut random, 0).bind(now, Tz::UTC, "job");
        let Ok(fires) = trigger.next_n(now, 12) else { return Ok(()) };
        let mut last = now;
        for (number, &fire) in fires.iter().enumerate() {
            prop_assert!(fire > last, "{}: {} after {}", trigger, fire, last);
            prop_assert_eq!(trigger.previous(fire), Ok(Some(fire)), "{}", trigger);
            prop_assert_eq!(trigger.next(None, fire), Ok(Some(fire)), "{}", trigger);
            if let Ok(Some(before)) = trigger.previous(fire - TimeDelta::microseconds(1)) {
                prop_assert!(before <= last || number == 0 && before <= now, "{}: {} before {}", trigger, before, fire);
                prop_assert_eq!(trigger.next(Some(before), now), Ok(Some(fire)), "{}", trigger);
            }
            // In between, the answer is the same from everywhere; only a date fires but once.
            let between = last + (fire - last) / 2;
            let expected = (!matches!(trigger, Trigger::Date(_))).then_some(fire);
            prop_assert_eq!(trigger.next(Some(between), now), Ok(expected), "{}", trigger);
            if let (Some(first), Some(count)) = (fires.first(), trigger.count(fires[0], fire)) {
                prop_assert_eq!(count, number as u64 + 1, "{} from {}", trigger, first);
            }
            last = fire;
        }
        prop_assert!(fires.is_empty() || !trigger.never_fires(), "{}", trigger);
    }

    #[test]
    fn text_and_json_read_back(seed: u64) {
        let mut random = Random(seed);
        let trigger = trigger(&mut random, 0);
        let text = trigger.to_string();
        prop_assert_eq!(&text.parse::<Trigger>().unwrap(), &trigger, "{}", text);
        let bound = trigger.clone().bind(instant(&mut random), *random.pick(&TZ_VARIANTS), "job");
        for trigger in [&trigger, &bound] {
            let json = serde_json::to_string(trigger).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Trigger>(&json).unwrap(), trigger, "{}", json);
        }
        prop_assert!(bound.is_same_as_written(&trigger), "{}", text);
        prop_assert_eq!(bound.to_string(), text);
        prop_assert!(!trigger.describe().is_empty());
    }

    #[test]
    fn no_text_makes_a_panic(text in "[ *?,/#LWHhlw0-9a-z()@;:='\"\\-]{0,40}|(TZ=UTC )?([0-9*?LWH#/,~+-]{1,7} ){5,7}|.{0,30}") {
        for read in [Trigger::crontab(&text), Cron::quartz(&text).map(Trigger::from), text.parse::<Trigger>()] {
            let Ok(trigger) = read else { continue };
            let (written, _, _) = (trigger.to_string(), trigger.describe(), trigger.lint());
            prop_assert_eq!(written.parse::<Trigger>(), Ok(trigger));
        }
        for field in ["year", "month", "day", "week", "day_of_week", "hour", "minute", "second"] {
            let _ = Cron::fields().field(field, &text).unwrap().build();
        }
    }

    #[test]
    fn no_instant_makes_a_panic(seed: u64, seconds in -8_334_601_228_800i64..8_210_266_876_799, nanos in 0u32..2_000_000_000) {
        let trigger = trigger(&mut Random(seed), 0);
        for at in [DateTime::from_timestamp(seconds, nanos), Some(DateTime::<Utc>::MIN_UTC), Some(DateTime::<Utc>::MAX_UTC)] {
            let Some(at) = at else { continue };
            let _ = trigger.next(None, at);
            let _ = trigger.next(Some(at), at);
            let _ = trigger.previous(at);
            let _ = trigger.count(at, at);
            let _ = trigger.clone().bind(at, Tz::UTC, "job").next(Some(at), at);
        }
    }
}

#[test]
fn a_custom_trigger_reads_back_from_text() {
    let trigger = Trigger::from(Custom::new("ti\"des; (", serde_json::json!({"a": ["b;)", 1]})));
    let or = Trigger::from(Or::of([trigger.clone(), Interval::seconds(1).into()]).unwrap());
    assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
    assert_eq!(or.to_string().parse::<Trigger>().unwrap(), or);
}

#[test]
fn nesting_without_end_is_an_error_and_not_an_overflow() {
    let deep = format!("{}every 1s{}", "and(".repeat(50_000), ")".repeat(50_000));
    assert!(deep.parse::<Trigger>().is_err());
}
