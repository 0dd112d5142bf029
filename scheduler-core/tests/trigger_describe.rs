//! What a description names is what fires: descriptions of random expressions are read back and compared with fire times.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use scheduler_core::{Trigger, trigger::Cron};
use std::ops::RangeInclusive;
use test_support::triggers::reference::Random;

fn say(cron: Result<Cron, scheduler_core::trigger::TriggerError>) -> String {
    let text = Trigger::from(cron.unwrap().timezone(Tz::UTC)).describe();
    text.split_once(", on the clocks of UTC").unwrap().0.to_owned()
}

#[test]
fn a_full_day_field_under_or_is_each_day() {
    assert_eq!(say(Cron::crontab("0 0 1-31 * mon")), "at 00:00");
    assert_eq!(say(Cron::crontab("0 0 1 * 0-7")), "at 00:00");
    assert_eq!(say(Cron::crontab("0 0 1 * mon#1,sun-sat")), "at 00:00");
    assert_eq!(say(Cron::crontab("0 0 1-30 * mon")), "at 00:00 on days 1 to 30 of the month or on Monday");
}

#[test]
fn a_full_day_field_makes_its_other_words_idle() {
    assert_eq!(say(Cron::crontab("0 0 *,L * mon")), "at 00:00 on Monday");
    assert_eq!(say(Cron::crontab("0 0 1 * *,fri#2")), "at 00:00 on day 1 of the month");
    assert_eq!(say(Cron::quartz("0 0 0 1-31,LW * ?")), "at 00:00");
    assert_eq!(say(Cron::quartz("0 0 0 ? * SUN-SAT,6#3")), "at 00:00 (day of week `SUN-SAT,6#3`, where 1 is Sunday)");
    assert_eq!(say(Cron::fields().day("*, 1st mon").hour(0).build()), "at 00:00");
}

#[test]
fn a_greater_unit_follows_a_lesser_one() {
    assert_eq!(say(Cron::crontab("0 */2 * * *")), "at minute 0 of every 2nd hour from 0");
    assert_eq!(say(Cron::crontab("* 9-17 * * *")), "each minute of hours 9 to 17");
    assert_eq!(say(Cron::crontab("30 * * * * *")), "at second 30 of each minute");
    assert_eq!(say(Cron::crontab("*/10 5 * * * *")), "every 10 seconds of minute 5 of each hour");
    assert_eq!(say(Cron::crontab("*/90 * * * *")), "at minute 0 of each hour");
}

#[test]
fn weekdays_by_number_in_quartz_are_named() {
    assert_eq!(
        say(Cron::quartz("0 0 1 ? * 1-5")),
        "at 01:00 on Monday to Thursday and Sunday (day of week `1-5`, where 1 is Sunday)"
    );
    assert_eq!(say(Cron::quartz("0 0 1 ? * MON-FRI")), "at 01:00 on Monday to Friday");
    assert_eq!(say(Cron::quartz("0 0 1 ? * FRI#2")), "at 01:00 on the second Friday");
    assert_eq!(say(Cron::crontab("0 0 1 * * 1-5")), "at 01:00 on Monday to Friday");
}

#[test]
fn what_is_not_drawn_yet_is_said_to_be_drawn() {
    let open = |text: &str| {
        let text = Trigger::crontab(text).unwrap().describe();
        text.split_once(", on the clocks of ").unwrap().0.to_owned()
    };
    assert_eq!(open("H 3 * * *"), "at a drawn minute (0 to 59) of hour 3");
    assert_eq!(
        open("H H(0-5) * * mon-fri"),
        "at a drawn minute (0 to 59) of a drawn hour (0 to 5) on Monday to Friday"
    );
    assert_eq!(open("H/15 * * * *"), "every 15 minutes from a drawn one (0 to 14) to 59");
    assert_eq!(
        open("5,H * H * *"),
        "at minute 5 and a drawn minute (0 to 59) of each hour on a drawn day (1 to 28) of the month"
    );
    assert_eq!(
        open("0 0 * H H(1-5)"),
        "at 00:00 on a drawn weekday (Monday to Friday) in a drawn month (January to December)"
    );

    let written = Trigger::crontab("H 3 * * *").unwrap();
    assert_eq!(
        written.describe(),
        "at a drawn minute (0 to 59) of hour 3, on the clocks of the scheduler's zone (UTC unless it has another); what is \
         drawn depends on the job's id; it follows civil time: once in a repeated hour, and right after a gap that skips it"
    );
    // Once a job has it, the minute and the zone are those that it keeps.
    let bound = written.bind(DateTime::UNIX_EPOCH, Tz::Europe__Berlin, "report");
    let minute = bound.next(None, DateTime::UNIX_EPOCH).unwrap().unwrap().minute();
    assert!(
        bound.describe().starts_with(&format!("at 03:{minute:02}, on the clocks of Europe/Berlin; it follows civil"))
    );
}

/// Which instants a description names.
#[derive(Debug, Default)]
struct Named {
    seconds_of_day: Vec<u32>,
    /// Second, minute, hour, unless there are seconds of the day.
    units: [Option<Vec<u32>>; 3],
    days: Option<Vec<Day>>,
    weekdays: Option<Vec<Day>>,
    either: bool,
    months: Option<Vec<u32>>,
    weeks: Option<Vec<u32>>,
    years: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Day {
    OfMonth(u32),
    BeforeLast(u32),
    Nearest(u32),
    NearestBeforeLast(u32),
    Weekday(u32),
    Nth(u32, usize),
}

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const WHICH: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "last"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Named {
    fn read(description: &str) -> Self {
        let (said, _) = description.split_once(", on the clocks of UTC").unwrap();
        let said = said.split_once(" (day of week `").map_or(said, |(said, _)| said);
        let mut parts = said.split(" in ");
        let (time, days) =
            parts.next().unwrap().split_once(" on ").map_or((said, None), |(time, days)| (time, Some(days)));
        let mut named = Self::default();
        named.read_time(time.split(" in ").next().unwrap());
        if let Some(days) = days {
            named.read_days(days);
        }
        for part in parts {
            if let Some(weeks) = part.strip_prefix("ISO week") {
                named.weeks = Some(numbers(weeks.trim_start_matches('s').trim()));
            } else if part.starts_with(|first: char| first.is_ascii_uppercase()) {
                named.months = Some(atoms(part).flat_map(|atom| span(atom, |name| index(&MONTHS, name) + 1)).collect());
            } else {
                named.years = Some(numbers(part));
            }
        }
        named
    }

    fn read_time(&mut self, time: &str) {
        let first = time.strip_prefix("at ").unwrap_or(time);
        if first.as_bytes()[0].is_ascii_digit() {
            self.seconds_of_day = atoms(first)
                .map(|time| {
                    time.split(':').chain(["0"]).take(3).fold(0, |sum, part| sum * 60 + part.parse::<u32>().unwrap())
                })
                .collect();
            return;
        }
        self.units[0] = Some(vec![0]);
        for phrase in first.split(" of ") {
            let unit = ["second", "minute", "hour"].iter().position(|unit| phrase.contains(unit)).unwrap();
            let size = [60, 60, 24][unit];
            let words: Vec<_> = phrase.split(' ').collect();
            self.units[unit] = match words[0] {
                "each" => None,
                "every" => {
                    let step = words[1].trim_end_matches(char::is_alphabetic).parse().unwrap();
                    Some((0..size).step_by(step).collect())
                }
                word => Some(numbers(phrase[word.len()..].trim())),
            };
        }
    }

    fn read_days(&mut self, days: &str) {
        let (of_month, weekdays) = match days.split_once(" of the month") {
            Some((of_month, rest)) => (Some(of_month), rest),
            None => (None, days),
        };
        self.either = weekdays.starts_with(" or on ");
        let weekdays = weekdays.trim_start_matches(" or on ").trim_start_matches(" if it is ");
        self.days = of_month.map(|days| atoms(days).flat_map(day).collect());
        self.weekdays = (!weekdays.is_empty()).then(|| atoms(weekdays).flat_map(day).collect());
    }

    fn has(&self, at: DateTime<Utc>) -> bool {
        let among =
            |values: &Option<Vec<u32>>, value: u32| values.as_ref().is_none_or(|values| values.contains(&value));
        let is_time = match self.seconds_of_day.is_empty() {
            false => self.seconds_of_day.contains(&at.num_seconds_from_midnight()),
            true => [at.second(), at.minute(), at.hour()]
                .into_iter()
                .zip(&self.units)
                .all(|(value, unit)| among(unit, value)),
        };
        let date = at.date_naive();
        let is_day = |days: &Option<Vec<Day>>| days.as_ref().is_none_or(|days| days.iter().any(|day| day.is(date)));
        let (day, weekday) = (is_day(&self.days), is_day(&self.weekdays));
        is_time
            && (if self.either { day || weekday } else { day && weekday })
            && among(&self.months, date.month())
            && among(&self.weeks, date.iso_week().week())
            && among(&self.years, date.year() as u32)
    }
}

impl Day {
    fn is(&self, date: NaiveDate) -> bool {
        let length = u32::from(date.num_days_in_month());
        let workday_near = |day: u32| {
            let Some(day) = date.with_day(day) else { return false };
            // The nearest day from Monday to Friday that does not leave the month.
            let near = [0, -1, 1, -2, 2].map(|days| day + TimeDelta::days(days));
            near.into_iter().find(|near| near.weekday().num_days_from_monday() < 5 && near.month() == date.month())
                == Some(date)
        };
        match *self {
            Self::OfMonth(day) => date.day() == day,
            Self::BeforeLast(back) => date.day() + back == length,
            Self::Nearest(day) => workday_near(day),
            Self::NearestBeforeLast(back) => back < length && workday_near(length - back),
            Self::Weekday(day) => date.weekday().num_days_from_monday() == day,
            Self::Nth(day, which) => {
                let is_nth =
                    if which == 5 { date.day() + 7 > length } else { date.day().div_ceil(7) as usize == which + 1 };
                date.weekday().num_days_from_monday() == day && is_nth
            }
        }
    }
}

fn day(atom: &str) -> Vec<Day> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    if let Some(day) = atom.strip_prefix("the weekday nearest to day ") {
        return vec![Day::Nearest(number(day))];
    }
    if let Some(back) = atom.strip_prefix("the weekday nearest to ") {
        return vec![Day::NearestBeforeLast(number(back.strip_suffix(" days before the last").unwrap()))];
    }
    if let Some(back) = atom.strip_suffix(" days before the last day") {
        return vec![Day::BeforeLast(number(back))];
    }
    match atom {
        "the last day" => return vec![Day::BeforeLast(0)],
        "the day before the last" => return vec![Day::BeforeLast(1)],
        "the last weekday (Monday to Friday)" => return vec![Day::NearestBeforeLast(0)],
        _ => {}
    }
    if let Some((which, day)) = atom.strip_prefix("the ").and_then(|rest| rest.split_once(' ')) {
        return vec![Day::Nth(index(&WEEKDAYS, day), index(&WHICH, which) as usize)];
    }
    if atom.starts_with(|first: char| first.is_ascii_uppercase()) {
        return span(atom, |name| index(&WEEKDAYS, name)).map(Day::Weekday).collect();
    }
    let days = atom.trim_start_matches("days ").trim_start_matches("day ");
    span(days, number).map(Day::OfMonth).collect()
}

/// The parts of `1, 3 to 5 and 9`.
fn atoms(list: &str) -> impl Iterator<Item = &str> {
    list.split(", ").flat_map(|part| part.split(" and ")).flat_map(|part| part.split(" or "))
}

fn numbers(list: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("`{text}` in `{list}`"));
    let mut found = Vec::new();
    for atom in atoms(list) {
        match atom.strip_prefix("every ").and_then(|rest| rest.split_once(" years from ")) {
            Some((step, years)) => found.extend(span(years, number).step_by(number(step) as usize)),
            None => found.extend(span(atom, number)),
        }
    }
    found
}

fn span(atom: &str, value: impl Fn(&str) -> u32) -> RangeInclusive<u32> {
    match atom.split_once(" to ") {
        Some((first, last)) => value(first)..=value(last),
        None => value(atom)..=value(atom),
    }
}

fn index(names: &[&str], name: &str) -> u32 {
    names.iter().position(|known| *known == name).unwrap_or_else(|| panic!("`{name}`")) as u32
}

/// One to three terms of a field.
fn field(random: &mut Random, min: u32, max: u32, special: &[&str]) -> String {
    let terms = (0..1 + random.below(3)).map(|_| {
        let (a, b) = (random.between(min, max), random.between(min, max));
        let (low, high) = (a.min(b), a.max(b));
        match random.below(if special.is_empty() { 6 } else { 8 }) {
            0 => "*".to_owned(),
            1 => format!("*/{}", random.between(1, (max - min).min(40))),
            2 => format!("{low}-{high}"),
            3 => format!("{min}-{max}"),
            4 if low < high => format!("{low}-{high}/{}", random.between(1, high - low)),
            4 | 5 => a.to_string(),
            _ => (*random.pick(special)).to_owned(),
        }
    });
    terms.collect::<Vec<_>>().join(",")
}

fn cron(random: &mut Random) -> Cron {
    const DAYS: [&str; 8] = ["L", "LW", "L-1", "L-5", "L-4W", "15W", "1W", "31W"];
    const WEEKDAYS: [&str; 6] = ["mon#1", "FRIL", "tue#3,Friday#5", "sun", "fri-mon", "Wednesday"];
    let seldom = |random: &mut Random, text: String| if random.below(2) == 0 { text } else { "*".to_owned() };
    let (second, minute, hour) = (field(random, 0, 59, &[]), field(random, 0, 59, &[]), field(random, 0, 23, &[]));
    let second = if random.below(2) == 0 { "0".to_owned() } else { second };
    let minute = if random.below(2) == 0 { random.between(0, 59).to_string() } else { minute };
    let month = field(random, 1, 12, &["jan", "nov-feb", "September"]);
    let month = seldom(random, month);
    let year = random.pick(&["", "", "*", "2000-2050/3", "2030,2035-2040", "1980/7"]).to_string();
    let read = match random.below(3) {
        0 => {
            let day = field(random, 1, 31, &["last", "1st mon", "last fri", "5th sun"]);
            let weekday = field(random, 0, 6, &["mon", "sun"]);
            let (day, weekday, week) = (seldom(random, day), seldom(random, weekday), field(random, 1, 53, &[]));
            let fields = Cron::fields().second(second).minute(minute).hour(hour).day(day).day_of_week(weekday);
            let month = month.replace("nov-feb", "nov");
            let fields = fields.month(month).year(if year.is_empty() { "*" } else { &year });
            if random.below(4) == 0 { fields.week(week).build() } else { fields.build() }
        }
        1 => {
            let (day, weekday) = (field(random, 1, 31, &DAYS), field(random, 0, 7, &WEEKDAYS));
            let (day, weekday) = (seldom(random, day), seldom(random, weekday).replace('*', "?"));
            let five = format!("{minute} {hour} {day} {month} {weekday}");
            Cron::crontab(&if random.below(2) == 0 { five } else { format!("{second} {five} {year}") })
        }
        _ => {
            let (day, weekday) = (field(random, 1, 31, &DAYS), field(random, 1, 7, &WEEKDAYS));
            let (day, weekday) = (seldom(random, day), seldom(random, weekday));
            Cron::quartz(&format!("{second} {minute} {hour} {day} {month} {weekday} {year}"))
        }
    };
    read.unwrap().timezone(Tz::UTC)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn what_a_description_names_is_what_fires(seed: u64) {
        let mut random = Random(seed);
        let trigger = Trigger::from(cron(&mut random));
        let description = trigger.describe();
        let named = Named::read(&description);
        let mut instants = Vec::new();
        for _ in 0..4 {
            // 1990 to 2080.
            let anywhere = DateTime::from_timestamp(631_152_000 + random.below(2_840_000_000) as i64, 0).unwrap();
            instants.push(anywhere);
            for near in [trigger.next(None, anywhere).unwrap(), trigger.previous(anywhere).unwrap()].into_iter().flatten() {
                let steps = [0, 1, -1, 60, 3600, -3600, 86_400, -86_400, 7 * 86_400, 31 * 86_400];
                instants.extend(steps.map(|seconds| near + TimeDelta::seconds(seconds)));
            }
        }
        for at in instants {
            let fires = trigger.next(None, at).unwrap() == Some(at);
            prop_assert_eq!(named.has(at), fires, "{}: {} at {}", trigger, description, at);
        }
    }

    #[test]
    fn what_a_description_of_a_drawn_field_names_holds_for_each_job(seed: u64, job in "[a-z]{1,8}") {
        let mut random = Random(seed);
        let (first, last) = (random.between(0, 20), random.between(21, 59));
        let step = random.between(1, last - first);
        let text = format!("H({first}-{last})/{step} H({first}-23) * * *");
        let written = Trigger::crontab(&text).unwrap();
        let minutes = format!("every {step} minutes from a drawn one ({first} to {}) to {last}", first + step - 1);
        let named = format!("{minutes} of a drawn hour ({first} to 23), on the clocks of ");
        prop_assert!(written.describe().starts_with(&named), "{}", written.describe());
        let bound = written.bind(DateTime::UNIX_EPOCH, Tz::UTC, &job);
        // From before midnight, so that the first day is whole.
        let fires = bound.next_n(DateTime::UNIX_EPOCH + TimeDelta::seconds(86_399), 100).unwrap();
        let one_day: Vec<_> = fires.iter().filter(|fire| fire.date_naive() == fires[0].date_naive()).collect();
        let drawn = one_day[0].minute();
        prop_assert!((first..first + step).contains(&drawn) && (first..=23).contains(&one_day[0].hour()));
        for (fire, expected) in one_day.iter().zip((drawn..=last).step_by(step as usize)) {
            prop_assert_eq!(fire.minute(), expected, "{}", text);
        }
    }
}
