//! What the dialects share in reading a field: numbers, names, ranges, steps, and errors that point.

use super::{Dialect, TriggerError, TriggerErrorKind};
use chrono_tz::Tz;
use std::fmt;

/// What a field may hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u32,
    pub(super) max: u32,
    /// In order; three letters of each are enough.
    pub(super) names: &'static [&'static str],
    /// The value of the first name.
    pub(super) first_name: u32,
}

pub(super) const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
pub(super) const SUNDAY_FIRST: &[&str] =
    &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
pub(super) const MONDAY_FIRST: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What the user wrote, and where in it the expression stands: columns count from the beginning of all of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::trigger) struct Source<'a> {
    pub(in crate::trigger) text: &'a str,
    pub(in crate::trigger) start: usize,
    pub(in crate::trigger) end: usize,
}

impl<'a> Source<'a> {
    pub(in crate::trigger) fn all(text: &'a str) -> Self {
        Self { text, start: 0, end: text.len() }
    }

    /// The expression.
    pub(super) fn expression(self) -> &'a str {
        self.text[self.start..self.end].trim()
    }

    /// Takes a zone in front: `CRON_TZ=Asia/Tokyo` as in cronie, or `TZ=Asia/Tokyo` as in Go's cron.
    pub(super) fn zone_in_front(&mut self, dialect: Dialect) -> Result<Option<Tz>, TriggerError> {
        let written = &self.text[self.start..self.end];
        let trimmed = written.trim_start();
        let Some(prefix) = ["CRON_TZ=", "TZ="].into_iter().find(|prefix| trimmed.starts_with(prefix)) else {
            return Ok(None);
        };
        let from = self.start + (written.len() - trimmed.len()) + prefix.len();
        let length = self.text[from..self.end].find(char::is_whitespace).unwrap_or(self.end - from);
        let zone = &self.text[from..from + length];
        let read = zone.parse().map_err(|_| {
            let (title, expression, column) = (dialect.title(), self.expression(), self.column(from));
            let message = format!("{title} `{expression}`: `{zone}` at column {column}: not a name of the tz database");
            TriggerError::new(TriggerErrorKind::Expression, message)
        })?;
        self.start = from + length;
        Ok(Some(read))
    }

    fn column(self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    /// Where each field begins and ends, and how many there are; more than seven are only counted.
    #[inline]
    pub(super) fn fields(self) -> ([(usize, usize); 7], usize) {
        let (bytes, mut found, mut count, mut at) = (self.text.as_bytes(), [(0, 0); 7], 0, self.start);
        loop {
            while at < self.end && bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            if at == self.end {
                return (found, count);
            }
            let start = at;
            while at < self.end && !bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            if let Some(place) = found.get_mut(count) {
                *place = (start, at);
            }
            count += 1;
        }
    }
}

/// True if a minute or hour says "each": it begins with `*`, or with `0/1`, which says the same.
pub(super) fn is_starred(field: &str) -> bool {
    let field = field.trim_start();
    field.starts_with('*')
        || field.strip_prefix("0/1").is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ' ']))
}

/// A range of values with a step, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) step: u32,
}

impl Range {
    /// The values as bits; a range must be in order and below 64.
    #[inline]
    pub(super) fn mask(self) -> u64 {
        let all = (u64::MAX << self.first) & (u64::MAX >> (63 - self.last));
        if self.step == 1 {
            return all;
        }
        let (mut mask, mut value) = (0, self.first);
        while value <= self.last {
            mask |= 1 << value;
            value += self.step;
        }
        mask
    }
}

/// Whether a range may run past the end of its field, as in `fri-mon`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wrap {
    No,
    /// After so many values the first comes again.
    After(u32),
}

/// A place in the text of a field.
pub(super) struct Cursor<'a> {
    /// All that the user wrote; the field lies from `start` to `end`.
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) dialect: Dialect,
    /// Whether something was read that the first version of the persisted form did not know.
    pub(super) is_newer: bool,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(text: &'a str, (start, end): (usize, usize), dialect: Dialect) -> Self {
        Self { text, start, at: start, end, dialect, is_newer: false }
    }

    #[inline]
    pub(super) fn peek(&self) -> u8 {
        if self.at < self.end { self.text.as_bytes()[self.at] } else { 0 }
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Takes a letter in either case.
    #[inline]
    pub(super) fn eat_letter(&mut self, upper: u8) -> bool {
        let found = self.peek().eq_ignore_ascii_case(&upper);
        self.at += usize::from(found);
        found
    }

    /// The letters and digits that follow.
    pub(super) fn word(&self) -> &'a str {
        let rest = &self.text[self.at..self.end];
        let length = rest.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        &rest[..length]
    }

    /// The term, between commas, in which the cursor stands: for errors.
    fn term(&self) -> (usize, &'a str) {
        let (text, bytes) = (self.text, self.text.as_bytes());
        let at = self.at.min(self.end);
        let from = bytes[self.start..at]
            .iter()
            .rposition(|&byte| byte == b',')
            .map_or(self.start, |comma| self.start + comma + 1);
        let to = bytes[at..self.end].iter().position(|&byte| byte == b',').map_or(self.end, |comma| at + comma);
        let term = &text[from..to];
        (from + (term.len() - term.trim_start().len()), term.trim())
    }

    /// An error at the term in which the cursor stands.
    #[cold]
    pub(super) fn error(&self, field: &Field, reason: impl fmt::Display) -> TriggerError {
        let (at, term) = self.term();
        let column = self.text[..at].chars().count() + 1;
        TriggerError::new(
            TriggerErrorKind::Expression,
            format!("{} field `{}`: `{term}` at column {column}: {reason}", self.dialect.title(), field.name),
        )
    }

    /// A number or a name, within the field's range.
    #[inline]
    pub(super) fn value(&mut self, field: &Field) -> Result<u32, TriggerError> {
        let start = self.at;
        if let Some(value) = self.number() {
            // The `L` of `5L` is the dialect's business.
            let more = self.peek().is_ascii_alphabetic() && !matches!(self.peek(), b'L' | b'l');
            if value < field.min || value > field.max || more {
                self.at = start;
                return Err(self.bad_value(field));
            }
            return Ok(value);
        }
        if let Some(value) = self.name(field) {
            return Ok(value);
        }
        Err(self.bad_value(field))
    }

    /// A number, without regard to any range; too large a one stays too large.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u32> {
        let start = self.at;
        let mut value = 0u32;
        while self.peek().is_ascii_digit() {
            value = value.saturating_mul(10).saturating_add(u32::from(self.peek() - b'0'));
            self.at += 1;
        }
        (self.at > start).then_some(value)
    }

    /// `mon`, `Monday`, and the `fri` of `friL`.
    fn name(&mut self, field: &Field) -> Option<u32> {
        let word = self.word();
        let find = |word: &str| field.names.iter().position(|name| is_name(word, name));
        let (position, length) = match find(word) {
            Some(position) => (position, word.len()),
            // The `L` behind a name is the dialects' business.
            None => {
                let shorter = word.strip_suffix(['L', 'l'])?;
                (find(shorter)?, shorter.len())
            }
        };
        self.at += length;
        self.is_newer |= length > 3;
        Some(field.first_name + position as u32)
    }

    /// `*`, `*/n`, `a`, `a-b`, `a-b/n`, `a/n`, given to `take`; twice if the range runs past the end and that is allowed.
    #[inline]
    pub(super) fn range(&mut self, field: &Field, wrap: Wrap, mut take: impl FnMut(Range)) -> Result<(), TriggerError> {
        if self.eat(b'*') {
            take(self.all(field)?);
            return Ok(());
        }
        let first = self.value(field)?;
        let last = match self.peek() {
            b'-' => {
                self.at += 1;
                self.value(field)?
            }
            b'/' => field.max,
            _ => first,
        };
        if first <= last {
            let step = self.step(field, last - first)?;
            take(Range { first, last, step });
            return Ok(());
        }
        let Wrap::After(cycle) = wrap else {
            return Err(self.error(field, "the range runs backwards; write two, separated by a comma"));
        };
        let step = self.step(field, last + cycle - first)?;
        take(Range { first, last: field.max, step });
        let past_end = first + ((field.max - first) / step + 1) * step - cycle;
        if past_end <= last {
            take(Range { first: past_end, last, step });
        }
        Ok(())
    }

    /// All values of a field, with the step that follows.
    #[inline]
    pub(super) fn all(&mut self, field: &Field) -> Result<Range, TriggerError> {
        let step = self.step(field, field.max - field.min)?;
        Ok(Range { first: field.min, last: field.max, step })
    }

    /// What follows a term: true for the end of the field, false for a comma.
    #[inline]
    pub(super) fn ends(&mut self, field: &Field) -> Result<bool, TriggerError> {
        if self.is_done() {
            return Ok(true);
        }
        if self.eat(b',') {
            return Ok(false);
        }
        let term = self.term().1;
        let reason = match self.dialect {
            Dialect::Fields => super::hints::refused(self.dialect, field, term),
            Dialect::Crontab | Dialect::Quartz => None,
        };
        Err(match reason {
            Some(reason) => self.error(field, reason),
            None => self.error(field, super::hints::more(term, self.peek(), field)),
        })
    }

    /// `/n`; 1 without a slash. `length` is how far the range goes beyond its first value.
    ///
    /// A longer step leaves the first value alone: always in a crontab, as in cronsim, which makes `*/100,1-7` the first
    /// week and yet starred; in Quartz up to the size of the field; in APScheduler's fields it is an error.
    #[inline]
    pub(super) fn step(&mut self, field: &Field, length: u32) -> Result<u32, TriggerError> {
        if self.peek() != b'/' {
            return Ok(1);
        }
        let longest = match self.dialect {
            Dialect::Fields => return self.step_within(field, length),
            Dialect::Crontab => u32::MAX,
            Dialect::Quartz => field.max,
        };
        self.at += 1;
        match self.number() {
            Some(step) if step >= 1 && step <= length => Ok(step),
            Some(step) if step >= 1 && step <= longest => {
                self.is_newer = true;
                Ok(length + 1)
            }
            _ if longest == u32::MAX => Err(self.error(field, "the step must be 1 or more")),
            _ => Err(self.error(field, format_args!("the step must be 1 to {longest}"))),
        }
    }

    /// `/n` with a step that lets the range have a second value; 1 without a slash.
    pub(super) fn step_within(&mut self, field: &Field, length: u32) -> Result<u32, TriggerError> {
        if !self.eat(b'/') {
            return Ok(1);
        }
        match self.number() {
            Some(step) if step >= 1 && step <= length => Ok(step),
            _ if length == 0 => Err(self.error(field, "a range of one value takes no step")),
            _ => Err(self.error(field, format_args!("the step must be 1 to {length}"))),
        }
    }

    #[cold]
    pub(super) fn bad_value(&self, field: &Field) -> TriggerError {
        let (word, term, range) = (self.word(), self.term().1, Allowed(field));
        if let Some(hint) = super::hints::refused(self.dialect, field, term) {
            return self.error(field, hint);
        }
        if word.is_empty() {
            return match self.peek() {
                0 | b',' if term.is_empty() => self.error(field, format_args!("a value is missing; write {range}")),
                0 | b',' => self.error(field, format_args!("a value is missing at the end; write {range}")),
                b'-' => self.error(field, format_args!("a range needs a value on each side, {range}")),
                _ => self.error(field, format_args!("write {range}")),
            };
        }
        match super::hints::hint(self.dialect, field, word) {
            Some(hint) => self.error(field, format_args!("the value must be {range}; {hint}")),
            None => self.error(field, format_args!("the value must be {range}")),
        }
    }
}

/// `mon` and `Monday` for `monday`, and the usual longer forms: `tues`, `thur`, `thurs`, `sept`.
pub(super) fn is_name(word: &str, name: &str) -> bool {
    let is_start = name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_usual = || ["tues", "thur", "thurs", "sept"].iter().any(|usual| usual.eq_ignore_ascii_case(word));
    is_start && (word.len() == 3 || word.len() == name.len() || is_usual())
}

/// `0 to 6 or mon to sun`.
struct Allowed<'a>(&'a Field);

impl fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.min, self.0.max)?;
        match (self.0.names.first(), self.0.names.last()) {
            (Some(first), Some(last)) => write!(f, " or {} to {}", &first[..3], &last[..3]),
            _ => Ok(()),
        }
    }
}
