//! A reference that cannot be clever: it walks real time second by second, asks the tz database what the clocks show,
//! and matches the fields. It shares no code with the triggers. Used by the tests and by `cargo xtask oracle --transitions`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{Cron, Gap, RepeatedHour},
};
use std::collections::{BTreeMap, BTreeSet};

/// Splitmix64: the same seed, the same expressions, everywhere.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "an endless source is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not zero.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(u64::from(high - low) + 1) as u32
    }

    /// One of several, of which there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// One term of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Term {
    Star,
    StarStep(u32),
    Value(u32),
    Range(u32, u32),
    RangeStep(u32, u32, u32),
    ValueStep(u32, u32),
    /// So many days before the last.
    BeforeLast(u32),
    Nearest(u32),
    LastWorkday,
    /// A weekday (0 is Monday) and which one of the month, 6 for the last.
    Nth(u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dialect {
    Fields,
    Crontab,
    Quartz,
}

/// An expression as data; never parsed, only written out and matched.
#[derive(Debug, Clone)]
pub struct Expression {
    dialect: Dialect,
    second: Vec<Term>,
    minute: Vec<Term>,
    hour: Vec<Term>,
    day: Vec<Term>,
    month: Vec<Term>,
    /// Values in the numbers of the dialect.
    weekday: Vec<Term>,
    gap: Gap,
    overlap: RepeatedHour,
}

/// A list of terms within a range, with hints for values that are likely to matter.
fn terms(random: &mut Random, min: u32, max: u32, likely: &[u32]) -> Vec<Term> {
    let value = |random: &mut Random| match random.below(2) {
        0 if !likely.is_empty() => *random.pick(likely),
        _ => random.between(min, max),
    };
    let one = |random: &mut Random| match random.below(7) {
        0 => Term::StarStep(random.between(1, max - min)),
        1 => {
            let (a, b) = (value(random), value(random));
            Term::Range(a.min(b), a.max(b))
        }
        2 => {
            let (a, b) = (value(random), value(random));
            if a == b { Term::Value(a) } else { Term::RangeStep(a.min(b), a.max(b), random.between(1, a.abs_diff(b))) }
        }
        3 => {
            let a = value(random);
            if a == max { Term::Value(a) } else { Term::ValueStep(a, random.between(1, max - a)) }
        }
        _ => Term::Value(value(random)),
    };
    match random.below(4) {
        0 => vec![Term::Star],
        1 => (0..random.between(2, 3)).map(|_| one(random)).collect(),
        _ => vec![one(random)],
    }
}

impl Expression {
    /// An expression that is likely to fire near a civil time.
    pub fn near(random: &mut Random, civil: NaiveDateTime) -> Self {
        let dialect = *random.pick(&[Dialect::Fields, Dialect::Crontab, Dialect::Quartz]);
        let hours: Vec<u32> = (22..27).map(|h| (civil.hour() + h) % 24).collect();
        let minutes = [0, 15, 30, 45, civil.minute(), (civil.minute() + 59) % 60];
        let second = match random.below(4) {
            _ if dialect == Dialect::Crontab => vec![Term::Value(0)],
            0 => vec![Term::RangeStep(7, 47, 20)],
            1 => vec![Term::Value(random.between(0, 59))],
            _ => vec![Term::Value(0)],
        };
        let (first_weekday, weekdays) = match dialect {
            Dialect::Fields => (0, 6),
            Dialect::Crontab => (0, 7),
            Dialect::Quartz => (1, 7),
        };
        let day = match random.below(8) {
            0 => terms(random, 1, 31, &[civil.day()]),
            1 => vec![Self::special_day(random, dialect)],
            _ => vec![Term::Star],
        };
        let weekday = match random.below(8) {
            0 => terms(random, first_weekday, weekdays, &[]),
            1 if dialect != Dialect::Fields => vec![Term::Nth(random.between(0, 6), random.between(1, 6))],
            _ => vec![Term::Star],
        };
        let month = if random.below(8) == 0 { terms(random, 1, 12, &[civil.month()]) } else { vec![Term::Star] };
        let options = random.below(2) == 0;
        Self {
            dialect,
            second,
            minute: terms(random, 0, 59, &minutes),
            hour: terms(random, 0, 23, &hours),
            day,
            month,
            weekday,
            gap: if options { *random.pick(&[Gap::Auto, Gap::NextValid, Gap::Shift, Gap::Skip]) } else { Gap::Auto },
            overlap: match random.below(4) {
                0 if options => RepeatedHour::First,
                1 if options => RepeatedHour::Second,
                2 if options => RepeatedHour::Both,
                _ => RepeatedHour::Auto,
            },
        }
    }

    fn special_day(random: &mut Random, dialect: Dialect) -> Term {
        match (dialect, random.below(4)) {
            (_, 0) => Term::BeforeLast(0),
            (Dialect::Fields, _) => Term::Nth(random.between(0, 6), random.between(1, 6)),
            (_, 1) | (Dialect::Crontab, _) => Term::LastWorkday,
            (Dialect::Quartz, 2) => Term::BeforeLast(random.between(1, 30)),
            (Dialect::Quartz, _) => Term::Nearest(random.between(1, 31)),
        }
    }

    /// The trigger that is to be tested, from the text of the expression.
    pub fn trigger(&self, zone: Tz) -> Trigger {
        let cron = match self.dialect {
            Dialect::Fields => Cron::fields()
                .month(self.written(&self.month))
                .day(self.written(&self.day))
                .day_of_week(self.written(&self.weekday))
                .hour(self.written(&self.hour))
                .minute(self.written(&self.minute))
                .second(self.written(&self.second))
                .build(),
            Dialect::Crontab => Cron::crontab(&self.text()),
            Dialect::Quartz => Cron::quartz(&self.text()),
        };
        let cron = cron.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        cron.timezone(zone).gap(self.gap).overlap(self.overlap).into()
    }

    fn text(&self) -> String {
        let fields = [&self.second, &self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        let from = usize::from(self.dialect == Dialect::Crontab);
        fields[from..].iter().map(|terms| self.written(terms)).collect::<Vec<_>>().join(" ")
    }

    fn written(&self, terms: &[Term]) -> String {
        const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        const WHICH: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];
        let term = |term: &Term| match *term {
            Term::Star => "*".to_owned(),
            Term::StarStep(n) => format!("*/{n}"),
            Term::Value(a) => a.to_string(),
            Term::Range(a, b) => format!("{a}-{b}"),
            Term::RangeStep(a, b, n) => format!("{a}-{b}/{n}"),
            Term::ValueStep(a, n) => format!("{a}/{n}"),
            Term::BeforeLast(0) if self.dialect == Dialect::Fields => "last".to_owned(),
            Term::BeforeLast(0) => "L".to_owned(),
            Term::BeforeLast(n) => format!("L-{n}"),
            Term::Nearest(a) => format!("{a}W"),
            Term::LastWorkday => "LW".to_owned(),
            Term::Nth(day, n) if self.dialect == Dialect::Fields => {
                format!("{} {}", WHICH[n as usize - 1], WEEKDAYS[day as usize])
            }
            Term::Nth(day, 6) => format!("{}L", WEEKDAYS[day as usize]),
            Term::Nth(day, n) => format!("{}#{n}", WEEKDAYS[day as usize]),
        };
        terms.iter().map(term).collect::<Vec<_>>().join(",")
    }

    fn matches(&self, civil: i64) -> bool {
        if !numbers(&self.second, civil.rem_euclid(60) as u32, 0, 59) {
            return false;
        }
        let civil = naive(civil);
        let date = civil.date();
        numbers(&self.minute, civil.minute(), 0, 59)
            && numbers(&self.hour, civil.hour(), 0, 23)
            && numbers(&self.month, civil.month(), 1, 12)
            && self.matches_day(date)
    }

    fn matches_day(&self, date: NaiveDate) -> bool {
        let day = numbers(&self.day, date.day(), 1, 31) || self.day.iter().any(|term| special(*term, date));
        let (min, max) = match self.dialect {
            Dialect::Fields => (0, 6),
            Dialect::Crontab => (0, 7),
            Dialect::Quartz => (1, 7),
        };
        let from_sunday = date.weekday().num_days_from_sunday();
        let weekday = match self.dialect {
            Dialect::Fields => numbers(&self.weekday, date.weekday().num_days_from_monday(), min, max),
            Dialect::Crontab => {
                numbers(&self.weekday, from_sunday, min, max) || from_sunday == 0 && numbers(&self.weekday, 7, min, max)
            }
            Dialect::Quartz => numbers(&self.weekday, from_sunday + 1, min, max),
        };
        let weekday = weekday || self.weekday.iter().any(|term| special(*term, date));
        let starred = |terms: &[Term]| matches!(terms[0], Term::Star | Term::StarStep(_));
        if self.dialect == Dialect::Crontab && !starred(&self.day) && !starred(&self.weekday) {
            day || weekday
        } else {
            day && weekday
        }
    }

    fn follows_real_time(&self) -> bool {
        [&self.minute, &self.hour].iter().any(|terms| matches!(terms[0], Term::Star | Term::StarStep(_)))
    }

    /// All fire times from one second to another, both included.
    pub fn fires(&self, zone: Tz, from: i64, to: i64) -> Vec<i64> {
        let gap = match self.gap {
            Gap::Auto if self.follows_real_time() => Gap::Skip,
            Gap::Auto => Gap::NextValid,
            gap => gap,
        };
        let overlap = match self.overlap {
            RepeatedHour::Auto if self.follows_real_time() => RepeatedHour::Both,
            RepeatedHour::Auto => RepeatedHour::First,
            overlap => overlap,
        };
        // What lies beyond decides which of two equal times comes first, and what a gap pushes in.
        let margin = 2 * 3600 + largest_jump(zone, from - 26 * 3600, to + 26 * 3600);
        let mut shown: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut fires = BTreeSet::new();
        let mut last = None;
        let mut offsets = Offsets::new(zone);
        for instant in from - margin..=to + margin {
            let civil = instant + offsets.at(instant);
            if let Some(last) = last {
                for skipped in last + 1..civil {
                    if self.matches(skipped) {
                        match gap {
                            Gap::NextValid => fires.insert(instant),
                            Gap::Shift => fires.insert(instant + skipped - last - 1),
                            _ => false,
                        };
                    }
                }
            }
            if self.matches(civil) {
                shown.entry(civil).or_default().push(instant);
            }
            last = Some(civil);
        }
        for instants in shown.values() {
            match overlap {
                RepeatedHour::First => fires.extend(instants.first()),
                RepeatedHour::Second => fires.extend(instants.last()),
                _ => fires.extend(instants),
            }
        }
        fires.range(from..=to).copied().collect()
    }
}

/// Only the terms that are numbers.
fn numbers(terms: &[Term], value: u32, min: u32, max: u32) -> bool {
    terms.iter().any(|term| match *term {
        Term::Star => true,
        Term::StarStep(n) => value >= min && (value - min).is_multiple_of(n),
        Term::Value(a) => value == a,
        Term::Range(a, b) => (a..=b).contains(&value),
        Term::RangeStep(a, b, n) => (a..=b).contains(&value) && (value - a).is_multiple_of(n),
        Term::ValueStep(a, n) => (a..=max).contains(&value) && (value - a).is_multiple_of(n),
        _ => false,
    })
}

fn special(term: Term, date: NaiveDate) -> bool {
    let length = (28..=31).rev().find(|&day| date.with_day(day).is_some()).expect("each month has 28 days");
    match term {
        Term::BeforeLast(n) => date.day() + n == length,
        Term::Nearest(day) => day <= length && date == workday(date.with_day(day).expect("within the month")),
        Term::LastWorkday => date == workday(date.with_day(length).expect("within the month")),
        Term::Nth(weekday, 6) => date.weekday().num_days_from_monday() == weekday && date.day() + 7 > length,
        Term::Nth(weekday, n) => date.weekday().num_days_from_monday() == weekday && date.day().div_ceil(7) == n,
        _ => false,
    }
}

/// The nearest day from Monday to Friday in the same month.
fn workday(date: NaiveDate) -> NaiveDate {
    let is_workday = |date: &NaiveDate| date.weekday().num_days_from_monday() < 5;
    let around = [0, -1, 1, -2, 2].map(|days| date + chrono::TimeDelta::days(days));
    around.into_iter().find(|near| is_workday(near) && near.month() == date.month()).expect("a weekend has two days")
}

fn naive(civil: i64) -> NaiveDateTime {
    DateTime::from_timestamp(civil, 0).expect("a year of the calendar").naive_utc()
}

/// The tz database, asked once a minute where both ends of the minute agree.
struct Offsets {
    zone: Tz,
    minute: i64,
    offset: Option<i64>,
}

impl Offsets {
    fn new(zone: Tz) -> Self {
        Self { zone, minute: i64::MIN, offset: None }
    }

    fn at(&mut self, instant: i64) -> i64 {
        let minute = instant.div_euclid(60);
        if minute != self.minute {
            let (first, last) = (offset(self.zone, minute * 60), offset(self.zone, minute * 60 + 59));
            (self.minute, self.offset) = (minute, (first == last).then_some(first));
        }
        self.offset.unwrap_or_else(|| offset(self.zone, instant))
    }
}

/// By how many seconds the clocks of a zone are ahead of UTC at an instant, which is in seconds since 1970.
pub fn offset(zone: Tz, instant: i64) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&naive(instant)).fix().local_minus_utc())
}

/// By how much the clocks are changed at once, at most, in a stretch of time.
fn largest_jump(zone: Tz, from: i64, to: i64) -> i64 {
    let jump = |at: i64| (offset(zone, at) - offset(zone, at - 3600)).abs();
    (from..to).step_by(3600).map(jump).max().unwrap_or(0)
}

/// Each second from 1970 to the end of 2037 at which the offset of a zone changes.
pub fn transitions(zone: Tz) -> Vec<i64> {
    let end = Utc.with_ymd_and_hms(2038, 1, 1, 0, 0, 0).single().expect("an instant").timestamp();
    let mut found = Vec::new();
    let day = 86_400;
    let mut early = offset(zone, 0);
    for from in (0..end).step_by(day as usize) {
        let late = offset(zone, from + day);
        if late != early {
            let (mut low, mut high) = (from, from + day);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if offset(zone, middle) == early { low = middle } else { high = middle }
            }
            found.push(high);
        }
        early = late;
    }
    found
}

/// Compares a random expression with the reference around a transition; the error says where they part.
pub fn compare(random: &mut Random, zone: Tz, transition: i64) -> Result<usize, String> {
    let jump = (offset(zone, transition) - offset(zone, transition - 1)).abs();
    let around = jump + 2 * 3600;
    let (from, to) = (transition - around, transition + around);
    let expression = Expression::near(random, naive(transition + offset(zone, transition)));
    let expected = expression.fires(zone, from, to);
    let trigger = expression.trigger(zone);
    let at = |second: i64| DateTime::from_timestamp(second, 0).expect("a year of the calendar");
    let tell = |what: &str| Err(format!("{zone} at {}: {trigger}: {what}", at(transition).to_rfc3339()));
    let mut found = Vec::new();
    let mut next = trigger.next(None, at(from)).map_err(|error| error.to_string())?;
    while let Some(fire) = next.filter(|fire| fire.timestamp() <= to) {
        if found.last().is_some_and(|&last| last >= fire.timestamp()) {
            return tell("next() does not move on");
        }
        found.push(fire.timestamp());
        next = trigger.next(Some(fire), fire).map_err(|error| error.to_string())?;
    }
    if found != expected {
        let list = |times: &[i64]| times.iter().map(|&time| at(time).to_rfc3339()).collect::<Vec<_>>().join(" ");
        return tell(&format!("expected [{}]\n  got      [{}]", list(&expected), list(&found)));
    }
    let mut before = None;
    for &fire in &expected {
        let last = trigger.previous(at(fire)).map_err(|error| error.to_string())?;
        let earlier = trigger.previous(at(fire - 1)).map_err(|error| error.to_string())?;
        if last != Some(at(fire)) || before.is_some_and(|before| earlier != Some(at(before))) {
            return tell(&format!("previous() of {} gives {last:?} and before it {earlier:?}", at(fire)));
        }
        before = Some(fire);
    }
    Ok(expected.len())
}
