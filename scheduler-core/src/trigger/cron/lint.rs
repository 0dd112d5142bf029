//! What of an expression is easily read in another way than it is meant.

use super::describe::{WEEKDAYS, list};
use super::parse::Source;
use super::plan::Join;
use super::{Cron, Dialect, quartz, spread};

impl Cron {
    /// See [`Trigger::lint`](crate::Trigger::lint).
    pub(in crate::trigger) fn lint(&self, found: &mut Vec<String>) {
        let inner = &*self.0;
        if let Some(numbers) = self.weekday_numbers() {
            let meant = list(u64::from(inner.plan.weekday), |day| WEEKDAYS[day as usize].to_owned());
            let meant = if meant.is_empty() { String::new() } else { format!(", so that this is {meant}") };
            found.push(format!(
                "{self}: Quartz counts the weekdays of `{numbers}` from Sunday, which is 1{meant}; write names, or take the \
                 crontab dialect, in which Sunday is 0"
            ));
        }
        let (day, weekday) = (inner.plan.has_any_day(), inner.plan.has_any_weekday());
        if inner.plan.join == Join::Either && (day || weekday) {
            found.push(format!(
                "{self}: it fires each day, for day of month or day of week must match and one of them always does; begin \
                 that one with `*` if both must match"
            ));
        }
        // Spring has six fields; what croner reads from them is a crontab's.
        let has_seconds = inner.dialect == Dialect::Crontab && Source::all(&inner.text).fields().1 > 5;
        if has_seconds && inner.plan.join == Join::Either && !day && !weekday {
            found.push(format!(
                "{self}: it fires when day of month or day of week matches, as in croner; in Spring both must, which named \
                 fields and the Quartz dialect have"
            ));
        }
        for (name, largest, term) in self.steps_beyond() {
            found.push(format!(
                "{self}: the step of `{term}` is beyond the {name}s of 0 to {largest}, so that only its first value is left; \
                 for every so much real time take an interval"
            ));
        }
    }

    /// The day of week of a Quartz expression, if numbers stand for weekdays in it.
    pub(super) fn weekday_numbers(&self) -> Option<&str> {
        if self.0.dialect != Dialect::Quartz {
            return None;
        }
        let text: &str = &self.0.text;
        let (start, end) = Source::all(text).fields().0[quartz::DAY_OF_WEEK];
        let written = &text[start..end];
        // What follows `#` and `/` are no weekdays.
        let mut counts = true;
        let is_number = written.bytes().any(|byte| {
            counts = match byte {
                b'#' | b'/' => false,
                b',' => true,
                _ => counts,
            };
            counts && byte.is_ascii_digit()
        });
        is_number.then_some(written)
    }

    /// Terms of second, minute and hour whose step no value of their field can have, as in `*/90`.
    fn steps_beyond(&self) -> impl Iterator<Item = (&'static str, u32, &str)> {
        let inner = &*self.0;
        let text: &str = &inner.text;
        let is_text = inner.dialect != Dialect::Fields && !text.starts_with('@');
        let (places, count) = if is_text { Source::all(text).fields() } else { ([(0, 0); 7], 0) };
        places.into_iter().take(count).enumerate().flat_map(move |(place, (start, end))| {
            let field = spread::field(inner.dialect, count, place).map(|(_, field)| field);
            let field = field.filter(|field| matches!(field.name, "second" | "minute" | "hour"));
            text[start..end].split(',').filter_map(move |term| {
                let (field, (_, step)) = (field?, term.split_once('/')?);
                (step.parse::<u32>().ok()? > field.max).then_some((field.name, field.max, term))
            })
        })
    }
}
