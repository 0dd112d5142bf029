//! A cron trigger in a sentence.

use super::plan::{Join, Plan};
use super::{Cron, Gap, Overlap};
use std::fmt::Write as _;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
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
    pub(in crate::trigger) fn describe(&self) -> String {
        let inner = &*self.0;
        let zone = self.zone().map_or("UTC", |zone| zone.name());
        let mut text = format!("{}{}, on the clocks of {zone}", time(&inner.plan), date(&inner.plan));
        if let Some(start) = inner.options.window.start() {
            write!(text, ", from {start}").expect("writing to a string");
        }
        if let Some(end) = inner.options.window.end() {
            write!(text, ", until {end}").expect("writing to a string");
        }
        text + "; " + &self.describe_changes()
    }

    fn describe_changes(&self) -> String {
        let (options, real) = (self.0.options, self.0.follows_real_time);
        match (options.gap, options.overlap) {
            (Gap::Auto, Overlap::Auto) if real => {
                return "it follows real time: in both passes of a repeated hour, and not in a skipped one".to_owned();
            }
            (Gap::Auto, Overlap::Auto) => {
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
            Overlap::Both => "both times",
            Overlap::Auto if real => "both times",
            Overlap::First | Overlap::Auto => "the first time",
            Overlap::Second => "the second time",
        };
        let follows = if real { "real" } else { "civil" };
        format!("it follows {follows} time; a skipped time fires {gap}, a repeated one {overlap}")
    }
}

/// `at 09:00`, `every 15 minutes from 9 to 17 o'clock`, `at second 30 of each minute`.
fn time(plan: &Plan) -> String {
    let (hours, minutes, seconds) =
        (u64::from(plan.hour).count_ones(), plan.minute.count_ones(), plan.second.count_ones());
    if hours * minutes * seconds <= 4 {
        return format!("at {}", times(plan));
    }
    let all = |mask: u64, size: u32| mask.count_ones() == size;
    let seconds = match (plan.second, step(plan.second, 60)) {
        (1, _) => String::new(),
        (second, _) if all(second, 60) => "each second".to_owned(),
        (_, Some(step)) => format!("every {step} seconds"),
        (second, _) => format!("at second{} {}", plural(second), list(second, number)),
    };
    let minutes = match (plan.minute, step(plan.minute, 60)) {
        (minute, _) if all(minute, 60) && seconds.is_empty() => "each minute".to_owned(),
        (minute, _) if all(minute, 60) => String::new(),
        (_, Some(step)) => format!("every {step} minutes"),
        (minute, _) => format!("at minute{} {}", plural(minute), list(minute, number)),
    };
    let hours = match (u64::from(plan.hour), step(u64::from(plan.hour), 24)) {
        (hour, _) if all(hour, 24) && minutes.starts_with("at") => "of each hour".to_owned(),
        (hour, _) if all(hour, 24) => String::new(),
        (_, Some(step)) => format!("of every {step} hours"),
        (hour, _) => format!("of hour{} {}", plural(hour), list(hour, number)),
    };
    let parts = [seconds, minutes, hours];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
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

fn date(plan: &Plan) -> String {
    let mut days = Vec::new();
    if plan.day != 0 && plan.day != Plan::EVERY.day {
        let mask = u64::from(plan.day);
        days.push(format!("day{} {}", plural(mask), list(mask, number)));
    }
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
    let nth = ones(plan.nth).map(|bit| format!("the {} {}", WHICH[bit as usize / 8 - 1], WEEKDAYS[bit as usize % 8]));
    let mut weekdays = Vec::new();
    if plan.weekday != Plan::EVERY.weekday && plan.weekday != 0 {
        weekdays.push(list(u64::from(plan.weekday), |day| WEEKDAYS[day as usize].to_owned()));
    }
    if plan.join == Join::BothNthIsDay {
        days.extend(nth)
    } else {
        weekdays.extend(nth)
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
        text += &format!(" in {}", list(u64::from(plan.month), |month| MONTHS[month as usize - 1].to_owned()));
    }
    if plan.week != 0 {
        text += &format!(" in ISO week{} {}", plural(plan.week), list(plan.week, number));
    }
    if let Some(years) = &plan.years {
        let ranges = years.0.iter().map(|&(first, last, step)| match (first == last, step) {
            (true, _) => first.to_string(),
            (false, 1) => format!("{first} to {last}"),
            (false, step) => format!("every {step} years from {first} to {last}"),
        });
        text += &format!(" in {}", joined(&ranges.collect::<Vec<_>>(), "and"));
    }
    text
}

/// The step of a mask that has each nth value from zero to the end of its range.
fn step(mask: u64, size: u32) -> Option<u32> {
    let step = (mask & !1).trailing_zeros();
    (mask & 1 != 0 && (2..size).contains(&step) && size.is_multiple_of(step))
        .then_some(step)
        .filter(|&step| ones(mask).eq((0..size).step_by(step as usize)))
}

/// `1, 3 to 5 and 9`.
fn list(mask: u64, name: impl Fn(u32) -> String) -> String {
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
