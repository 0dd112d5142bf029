//! A cron trigger in a sentence.

use super::plan::{Join, Plan};
use super::spread::{self, Drawn};
use super::{Cron, Dialect, Gap, RepeatedHour, Source, compiled};
use std::fmt::Write as _;

pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
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
const WHICH: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "last"];

impl Cron {
    /// Says in a sentence when this fires, on which clocks, and what it does when they are changed.
    ///
    /// What is bound when a job is added (the zone, and `H`) is named only once it is.
    pub(in crate::trigger) fn describe(&self) -> String {
        let inner = &*self.0;
        let (open, draws) =
            if self.has_hash() && inner.bound_text.is_none() { self.open() } else { (None, Vec::new()) };
        let said = Said { plan: open.as_ref().unwrap_or(&inner.plan), draws: &draws, dialect: inner.dialect };
        let mut text = said.time() + &said.date();
        if let Some(numbers) = self.weekday_numbers() {
            write!(text, " (day of week `{numbers}`, where 1 is Sunday)").expect("writing to a string");
        }
        text += match self.zone() {
            Some(zone) => format!(", on the clocks of {}", zone.name()),
            None => ", on the clocks of the scheduler's zone (UTC unless it has another)".to_owned(),
        }
        .as_str();
        if let Some(start) = inner.options.window.start() {
            write!(text, ", from {start}").expect("writing to a string");
        }
        if let Some(end) = inner.options.window.end() {
            write!(text, ", until {end}").expect("writing to a string");
        }
        if !draws.is_empty() {
            text += "; what is drawn depends on the job's id";
        }
        text + "; " + &self.describe_changes()
    }

    /// The values that are written, and the draws, of an expression that no job has yet.
    fn open(&self) -> (Option<Plan>, Vec<Drawn>) {
        let inner = &*self.0;
        let written = compiled(inner.dialect, Source::all(&inner.text), None).map(|compiled| compiled.plan);
        let draws = spread::resolve(&inner.text, inner.dialect, "").map(|(_, draws)| draws);
        (written.ok(), draws.unwrap_or_default())
    }

    fn describe_changes(&self) -> String {
        let (options, real) = (self.0.options, self.0.follows_real_time);
        match (options.gap, options.overlap) {
            (Gap::Auto, RepeatedHour::Auto) if real => {
                return "it follows real time: in both passes of a repeated hour, and not in a skipped one".to_owned();
            }
            (Gap::Auto, RepeatedHour::Auto) => {
                return "it follows civil time: once in a repeated hour, and right after a gap that skips it"
                    .to_owned();
            }
            _ => {}
        }
        let gap = match options.gap {
            Gap::Skip => "not at all",
            Gap::Auto if real => "not at all",
            Gap::NextValid | Gap::Auto => "right after the gap",
            Gap::Shift => "later by the length of the gap",
        };
        let overlap = match options.overlap {
            RepeatedHour::Both => "both times",
            RepeatedHour::Auto if real => "both times",
            RepeatedHour::First | RepeatedHour::Auto => "the first time",
            RepeatedHour::Second => "the second time",
        };
        let follows = if real { "real" } else { "civil" };
        format!("it follows {follows} time; a skipped time fires {gap}, a repeated one {overlap}")
    }
}

/// What an expression says of days and times.
struct Said<'a> {
    plan: &'a Plan,
    /// Each `H` that no job has drawn yet.
    draws: &'a [Drawn],
    dialect: Dialect,
}

impl Said<'_> {
    /// `at 09:00`, `every 15 minutes of hours 9 to 17`, `at second 30 of each minute`.
    fn time(&self) -> String {
        let plan = self.plan;
        let units = [("second", plan.second, 60), ("minute", plan.minute, 60), ("hour", u64::from(plan.hour), 24)];
        let count = units.iter().map(|unit| unit.1.count_ones()).product::<u32>();
        if count <= 4 && units.iter().all(|unit| self.drawn(unit.0).next().is_none()) {
            return format!("at {}", times(plan));
        }
        // The full minute is not said; the least unit that is said leads, and greater ones follow with "of".
        let from = usize::from(plan.second == 1 && self.drawn("second").next().is_none());
        let mut parts: Vec<String> = Vec::new();
        let mut lists = false;
        for &(unit, mask, size) in &units[from..] {
            let leads = parts.is_empty();
            let draws: Vec<_> = self.drawn(unit).map(|drawn| drawn_number(drawn, unit)).collect();
            let is_full = mask.count_ones() == size;
            let said = if is_full {
                match (leads, lists) {
                    (true, _) => format!("each {unit}"),
                    (false, true) => format!("of each {unit}"),
                    (false, false) => continue,
                }
            } else if !draws.is_empty() {
                let mut values = draws;
                if mask != 0 {
                    values.insert(0, format!("{unit}{} {}", plural(mask), list(mask, number)));
                }
                let word = if !leads {
                    "of "
                } else if values[0].starts_with("every") {
                    ""
                } else {
                    "at "
                };
                format!("{word}{}", joined(&values, "and"))
            } else if let Some(step) = step(mask, size) {
                if leads { format!("every {step} {unit}s") } else { format!("of every {} {unit} from 0", nth(step)) }
            } else {
                format!("{} {unit}{} {}", if leads { "at" } else { "of" }, plural(mask), list(mask, number))
            };
            lists = !is_full && !said.starts_with("every");
            parts.push(said);
        }
        parts.join(" ")
    }

    fn date(&self) -> String {
        let plan = self.plan;
        let (mut days, mut weekdays) = (self.days(), self.weekdays());
        let nth =
            ones(plan.nth).map(|bit| format!("the {} {}", WHICH[bit as usize / 8 - 1], WEEKDAYS[bit as usize % 8]));
        if plan.join == Join::BothNthIsDay {
            days.extend(nth);
        } else {
            weekdays.extend(nth);
        }
        // One that has each value makes its other words idle, and in an `or` the other side as well.
        let (any_day, any_weekday) = (plan.has_any_day(), plan.has_any_weekday());
        let is_idle = plan.join == Join::Either && (any_day || any_weekday);
        if any_day || is_idle {
            days.clear();
        }
        if any_weekday || is_idle {
            weekdays.clear();
        }
        let mut text = match (days.is_empty(), weekdays.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!(" on {} of the month", joined(&days, "and")),
            (true, false) => format!(" on {}", joined(&weekdays, "and")),
            (false, false) => {
                let join = if plan.join == Join::Either { "or on" } else { "if it is" };
                format!(" on {} of the month {join} {}", joined(&days, "and"), joined(&weekdays, "or"))
            }
        };
        if plan.month != Plan::EVERY.month {
            let name = |month: u32| MONTHS[month as usize - 1].to_owned();
            let written = (plan.month != 0).then(|| list(u64::from(plan.month), name));
            let drawn = self.drawn("month").map(|drawn| drawn_value(drawn, "month", name));
            text += &format!(" in {}", joined(&written.into_iter().chain(drawn).collect::<Vec<_>>(), "and"));
        }
        if plan.week != 0 {
            text += &format!(" in ISO week{} {}", plural(plan.week), list(plan.week, number));
        }
        if let Some(years) = &plan.years {
            let ranges = years.0.iter().map(|&(first, last, step)| match (last - first < step, step) {
                (true, _) => first.to_string(),
                (false, 1) => format!("{first} to {last}"),
                (false, step) => format!("every {step} years from {first} to {last}"),
            });
            text += &format!(" in {}", joined(&ranges.collect::<Vec<_>>(), "and"));
        }
        text
    }

    fn days(&self) -> Vec<String> {
        let (plan, mut days) = (self.plan, Vec::new());
        if plan.day != 0 {
            let mask = u64::from(plan.day);
            days.push(format!("day{} {}", plural(mask), list(mask, number)));
        }
        days.extend(self.drawn("day of month").map(|drawn| drawn_number(drawn, "day")));
        for back in ones(u64::from(plan.before_last)) {
            days.push(match back {
                0 => "the last day".to_owned(),
                1 => "the day before the last".to_owned(),
                _ => format!("{back} days before the last day"),
            });
        }
        for day in ones(u64::from(plan.nearest)) {
            days.push(format!("the weekday nearest to day {day}"));
        }
        for back in ones(u64::from(plan.nearest_before_last)) {
            days.push(match back {
                0 => "the last weekday (Monday to Friday)".to_owned(),
                _ => format!("the weekday nearest to {back} days before the last"),
            });
        }
        days
    }

    fn weekdays(&self) -> Vec<String> {
        let name = |day: u32| WEEKDAYS[day as usize % 7].to_owned();
        // From Sunday = 0 or 1 to Monday = 0.
        let monday_first = if self.dialect == Dialect::Quartz { 5 } else { 6 };
        let written = (self.plan.weekday != 0).then(|| list(u64::from(self.plan.weekday), name));
        let drawn =
            self.drawn("day of week").map(|drawn| drawn_value(drawn, "weekday", |day| name(day + monday_first)));
        written.into_iter().chain(drawn).collect()
    }

    /// What is drawn for a field of text.
    fn drawn<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Drawn> + 's {
        let fields: &[_] = match self.dialect {
            Dialect::Quartz => &super::quartz::FIELDS,
            _ => &super::crontab::FIELDS,
        };
        self.draws.iter().filter(move |drawn| fields[drawn.number].name == name)
    }
}

fn drawn_number(drawn: &Drawn, unit: &str) -> String {
    drawn_value(drawn, unit, number)
}

/// `a drawn minute (0 to 59)`, `every 15 minutes from a drawn one (0 to 14) to 59`.
fn drawn_value(drawn: &Drawn, unit: &str, name: impl Fn(u32) -> String) -> String {
    let Drawn { first, last, .. } = *drawn;
    match drawn.step {
        None => format!("a drawn {unit} ({} to {})", name(first), name(last)),
        Some(step) => {
            let latest = first + step - 1;
            format!("every {step} {unit}s from a drawn one ({} to {}) to {}", name(first), name(latest), name(last))
        }
    }
}

/// A few times of day, one by one.
fn times(plan: &Plan) -> String {
    let mut times = Vec::new();
    for hour in ones(u64::from(plan.hour)) {
        for minute in ones(plan.minute) {
            for second in ones(plan.second) {
                times.push(if plan.second == 1 {
                    format!("{hour:02}:{minute:02}")
                } else {
                    format!("{hour:02}:{minute:02}:{second:02}")
                });
            }
        }
    }
    joined(&times, "and")
}

/// `2nd`, `3rd`, `4th`, for the steps that divide 60 or 24.
fn nth(step: u32) -> String {
    let ending = match step {
        2 => "nd",
        3 => "rd",
        _ => "th",
    };
    format!("{step}{ending}")
}

/// The step of a mask that has each nth value from zero to the end of its range.
fn step(mask: u64, size: u32) -> Option<u32> {
    let step = (mask & !1).trailing_zeros();
    (mask & 1 != 0 && (2..size).contains(&step) && size.is_multiple_of(step))
        .then_some(step)
        .filter(|&step| ones(mask).eq((0..size).step_by(step as usize)))
}

/// `1, 3 to 5 and 9`.
pub(super) fn list(mask: u64, name: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    let mut values = ones(mask).peekable();
    while let Some(first) = values.next() {
        let mut last = first;
        while let Some(next) = values.next_if(|&next| next == last + 1) {
            last = next;
        }
        match last - first {
            0 => parts.push(name(first)),
            1 => parts.extend([name(first), name(last)]),
            _ => parts.push(format!("{} to {}", name(first), name(last))),
        }
    }
    joined(&parts, "and")
}

fn number(value: u32) -> String {
    value.to_string()
}

fn plural(mask: u64) -> &'static str {
    if mask.is_power_of_two() { "" } else { "s" }
}

fn joined(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

fn ones(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(bit)
    })
}
