//! A trigger as text: what `Display` writes, read back.
//!
//! ```text
//! date 2027-01-01T00:00:00Z
//! every 1d 2h 30m after the end starting now until 2027-01-01T00:00:00Z jitter 5s
//! calendar 1m at 09:00:00 clamp in Europe/Berlin starting on 2026-01-31 until 2027-12-31
//! crontab 0 9 * * mon-fri in Europe/Berlin starting at 2026-01-01T00:00:00Z gap shift overlap both
//! crontab @every 5m                     which is read as: every 5m
//! cron day='last fri' hour='9'          quartz 0 0 9 LW * ?
//! and(every 2h; every 3h)               or(…; …) until …
//! except(crontab 0 9 * * *; dates 2026-12-25, 2026-12-26; during 4h of crontab 0 8 * * sun) in Europe/Berlin
//! custom "tides" {"harbour":"Cuxhaven"}
//! ```

use super::{
    And, CalendarInterval, Cron, Custom, Date, Dialect, Except, First, Gap, Interval, MonthEnd, Or, RepeatedHour,
    Trigger, TriggerError, TriggerErrorKind,
    cron::{Source, every},
};
use crate::duration;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use std::str::FromStr;
use std::time::Duration;

/// Reads start, end and jitter of a combination.
macro_rules! framed {
    ($words:ident, $combination:expr) => {{
        let mut combination = $combination;
        while let Some(option) = $words.option(&["starting at", "until", "jitter"]) {
            combination = match option {
                "starting at" => combination.start($words.instant()?),
                "until" => combination.end($words.instant()?),
                _ => combination.jitter($words.duration()?),
            };
        }
        combination.into()
    }};
}

/// Reads what `Display` writes; what [`bind`](Trigger::bind) decided is not part of it.
impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, TriggerError> {
        read(text, text, 0)
    }
}

/// Deeper nesting than anybody writes, and far from exhausting the stack.
const DEEPEST: u32 = 32;

/// Reads a part of a text; the columns of its errors are those of the whole.
fn read(whole: &str, text: &str, depth: u32) -> Result<Trigger, TriggerError> {
    let mut words = Words { whole, text, rest: text.trim() };
    if depth > DEEPEST {
        return Err(words.error("combinations are nested too deeply"));
    }
    let trigger = match words.kind() {
        "date" => Date::at(words.instant()?).into(),
        "every" => interval(&mut words)?.into(),
        "calendar" => calendar_interval(&mut words)?.into(),
        "cron" => cron(&mut words, Dialect::Fields)?.into(),
        "crontab" => crontab(&mut words)?,
        "quartz" => cron(&mut words, Dialect::Quartz)?.into(),
        "and" => framed!(words, And::of(parts(&mut words, depth)?)?),
        "or" => framed!(words, Or::of(parts(&mut words, depth)?)?),
        "except" => except(&mut words, depth)?,
        "custom" => return custom(&words),
        _ => {
            return Err(
                words.error("begin with date, every, calendar, cron, crontab, quartz, and, or, except or custom")
            );
        }
    };
    if !words.rest.is_empty() {
        return Err(words.error(&format!("`{}` is not understood", words.rest)));
    }
    Ok(trigger)
}

fn interval(words: &mut Words<'_>) -> Result<Interval, TriggerError> {
    let period = words.duration()?;
    let interval = match words.option(&["after the end"]) {
        Some(_) => Interval::after_end(period),
        None => Interval::every(period),
    };
    with_options(words, interval)
}

const INTERVAL_OPTIONS: [&str; 4] = ["starting at", "starting now", "until", "jitter"];

fn with_options(words: &mut Words<'_>, mut interval: Interval) -> Result<Interval, TriggerError> {
    while let Some(option) = words.option(&INTERVAL_OPTIONS) {
        interval = match option {
            "starting at" => interval.starting_at(words.instant()?),
            "starting now" => interval.first(First::Now),
            "until" => interval.until(words.instant()?),
            _ => interval.jitter(words.duration()?),
        };
    }
    interval.check()?;
    Ok(interval)
}

fn calendar_interval(words: &mut Words<'_>) -> Result<CalendarInterval, TriggerError> {
    let mut interval = CalendarInterval::days(0);
    while words.rest.starts_with(|first: char| first.is_ascii_digit()) {
        let word = words.word();
        let (number, unit) = word.split_at(word.len() - word.chars().next_back().map_or(0, char::len_utf8));
        let number = number.parse().map_err(|_| words.error("write a calendar period as in 1y 2m 3w 4d"))?;
        interval = interval
            + match unit {
                "y" => CalendarInterval::years(number),
                "m" => CalendarInterval::months(number),
                "w" => CalendarInterval::weeks(number),
                "d" => CalendarInterval::days(number),
                _ => return Err(words.error("write a calendar period as in 1y 2m 3w 4d")),
            };
    }
    while let Some(option) = words.option(&["at", "clamp", "in", "starting on", "until", "jitter"]) {
        interval = match option {
            "at" => interval.at(words.parse::<NaiveTime>("a time, as in 09:00:00")?),
            "clamp" => interval.month_end(MonthEnd::Clamp),
            "in" => interval.timezone(words.zone()?),
            "starting on" => interval.starting_on(words.date()?),
            "until" => interval.until(words.date()?),
            _ => interval.jitter(words.duration()?),
        };
    }
    interval.check()?;
    Ok(interval)
}

/// Cron, or the interval of `@every`.
fn crontab(words: &mut Words<'_>) -> Result<Trigger, TriggerError> {
    let (expression, rest) = words.before(&INTERVAL_OPTIONS);
    match every(words.source(expression))? {
        Some(interval) => {
            words.rest = rest;
            Ok(with_options(words, interval)?.into())
        }
        None => Ok(cron(words, Dialect::Crontab)?.into()),
    }
}

fn cron(words: &mut Words<'_>, dialect: Dialect) -> Result<Cron, TriggerError> {
    const OPTIONS: [&str; 6] = ["in", "starting at", "until", "gap", "overlap", "jitter"];
    let (expression, rest) = words.before(&OPTIONS);
    let mut cron = Cron::from_source(dialect, words.source(expression))?;
    words.rest = rest;
    while let Some(option) = words.option(&OPTIONS) {
        cron = match option {
            "in" => {
                let zone = words.zone()?;
                if let Some(own) = cron.zone().filter(|own| *own != zone) {
                    return Err(words.error(&format!("it has two zones, {own} and {zone}; leave one of them out")));
                }
                cron.timezone(zone)
            }
            "starting at" => cron.start(words.instant()?),
            "until" => cron.end(words.instant()?),
            "gap" => cron.gap(words.one_of(&Gap::ALL, Gap::word)?),
            "overlap" => cron.overlap(words.one_of(&RepeatedHour::ALL, RepeatedHour::word)?),
            _ => cron.jitter(words.duration()?),
        };
    }
    Ok(cron)
}

fn parts(words: &mut Words<'_>, depth: u32) -> Result<Vec<Trigger>, TriggerError> {
    words.brackets()?.into_iter().map(|part| read(words.whole, part, depth + 1)).collect()
}

fn except(words: &mut Words<'_>, depth: u32) -> Result<Trigger, TriggerError> {
    let parts = words.brackets()?;
    let (trigger, exceptions) = parts.split_first().ok_or_else(|| words.error("there is no trigger in it"))?;
    let mut except = Except::new(read(words.whole, trigger, depth + 1)?)?;
    for exception in exceptions {
        let mut inner = words.at(exception);
        except = match inner.word() {
            "dates" => {
                let mut dates = Vec::new();
                for date in inner.rest.split(',') {
                    dates.push(words.at(date.trim()).date()?);
                }
                except.dates(dates)
            }
            "times" => except.times(read(words.whole, inner.rest, depth + 1)?)?,
            "during" => {
                let lasting = inner.duration()?;
                if inner.word() != "of" {
                    return Err(words.error("write a pause as in `during 4h of crontab 0 8 * * sun`"));
                }
                except.during(read(words.whole, inner.rest, depth + 1)?, lasting)?
            }
            _ => return Err(words.error("an exception begins with dates, times or during")),
        };
    }
    if words.option(&["in"]).is_some() {
        except = except.timezone(words.zone()?);
    }
    Ok(framed!(words, except))
}

fn custom(words: &Words<'_>) -> Result<Trigger, TriggerError> {
    let mut values = serde_json::Deserializer::from_str(words.rest).into_iter::<serde_json::Value>();
    let bad = |_| words.error("write a custom trigger as in custom \"tides\" {\"harbour\":\"Cuxhaven\"}");
    let Some(serde_json::Value::String(name)) = values.next().transpose().map_err(bad)? else {
        return Err(words.error("the name of a custom trigger stands in quotes"));
    };
    let args = values.next().transpose().map_err(bad)?.unwrap_or_default();
    if values.next().is_some() {
        return Err(words.error("a custom trigger has a name and one JSON value"));
    }
    Ok(Custom::new(name, args).into())
}

/// The text, and what of it is not read yet.
struct Words<'a> {
    /// All that was written, of which `text` may be a part.
    whole: &'a str,
    text: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn error(&self, reason: &str) -> TriggerError {
        TriggerError::new(TriggerErrorKind::Expression, format!("trigger `{}`: {reason}", self.text))
    }

    /// The same text, of which something else is not read yet.
    fn at(&self, rest: &'a str) -> Self {
        Self { rest, ..*self }
    }

    /// What stands before the first of some options, and the rest.
    fn before(&self, options: &[&str]) -> (&'a str, &'a str) {
        let ends = options.iter().filter_map(|option| self.rest.find(&format!(" {option} "))).min();
        let (before, rest) = self.rest.split_at(ends.unwrap_or(self.rest.len()));
        (before, rest.trim_start())
    }

    /// Where a part of the text stands in all that was written.
    fn source(&self, part: &str) -> Source<'a> {
        let start = part.as_ptr().addr() - self.whole.as_ptr().addr();
        Source { text: self.whole, start, end: start + part.len() }
    }

    /// The first word; a bracket ends it too.
    fn kind(&mut self) -> &'a str {
        let length = self.rest.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(self.rest.len());
        let (kind, rest) = self.rest.split_at(length);
        self.rest = rest.trim_start();
        kind
    }

    fn word(&mut self) -> &'a str {
        let (word, rest) = self.rest.split_once(char::is_whitespace).unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        word
    }

    /// One of these, if it stands here.
    fn option(&mut self, options: &[&'static str]) -> Option<&'static str> {
        let stands_here = |option: &&&str| {
            let after = self.rest.strip_prefix(**option);
            after.is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
        };
        let found = *options.iter().find(stands_here)?;
        self.rest = self.rest[found.len()..].trim_start();
        Some(found)
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, TriggerError> {
        let word = self.word();
        word.parse().map_err(|_| self.error(&format!("`{word}` is not {what}")))
    }

    fn instant(&mut self) -> Result<DateTime<Utc>, TriggerError> {
        self.parse("a time in RFC 3339, as in 2026-11-21T09:30:00Z")
    }

    fn date(&mut self) -> Result<NaiveDate, TriggerError> {
        self.parse("a date, as in 2026-11-21")
    }

    fn zone(&mut self) -> Result<Tz, TriggerError> {
        self.parse("the name of a zone in the tz database")
    }

    fn one_of<T: Copy>(&mut self, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, TriggerError> {
        let word = self.word();
        let found = all.iter().copied().find(|&one| name(one) == word);
        found.ok_or_else(|| self.error(&format!("`{word}` is not one of the choices")))
    }

    /// `1d 2h 3m 4.5s`.
    fn duration(&mut self) -> Result<Duration, TriggerError> {
        let mut micros = None;
        while self.rest.starts_with(|first: char| first.is_ascii_digit()) {
            let word = self.word();
            let part = duration::part(word)
                .ok_or_else(|| self.error(&format!("`{word}`: write a duration as in 1d 2h 3m 4.5s")))?;
            micros = Some(micros.unwrap_or(0u64).saturating_add(part));
        }
        micros
            .map(Duration::from_micros)
            .ok_or_else(|| self.error("a duration is missing; write it as in 1d 2h 3m 4.5s"))
    }

    /// What stands in brackets, separated by semicolons outside of inner brackets and quotes.
    fn brackets(&mut self) -> Result<Vec<&'a str>, TriggerError> {
        let inner = self.rest.strip_prefix('(').ok_or_else(|| self.error("a `(` is missing"))?;
        let (mut parts, mut depth, mut from, mut quoted, mut escaped) = (Vec::new(), 0, 0, false, false);
        for (at, c) in inner.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '(' => depth += 1,
                ')' if depth == 0 => {
                    parts.push(inner[from..at].trim());
                    self.rest = inner[at + 1..].trim_start();
                    return Ok(parts);
                }
                ')' => depth -= 1,
                ';' if depth == 0 => {
                    parts.push(inner[from..at].trim());
                    from = at + 1;
                }
                _ => {}
            }
        }
        Err(self.error("a `)` is missing"))
    }
}
