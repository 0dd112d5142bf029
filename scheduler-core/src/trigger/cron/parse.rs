//! What the dialects share in reading a field: numbers, names, ranges, steps, and errors that point.

use super::{Dialect, TriggerError, TriggerErrorKind};
use std::fmt;

/// What a field may hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u32,
    pub(super) max: u32,
    /// Three letters each, in order.
    pub(super) names: &'static [&'static str],
    /// The value of the first name.
    pub(super) first_name: u32,
}

pub(super) const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
pub(super) const SUNDAY_FIRST: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
pub(super) const MONDAY_FIRST: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

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
}

impl<'a> Cursor<'a> {
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

    fn name(&mut self, field: &Field) -> Option<u32> {
        let word = self.text.as_bytes().get(self.at..self.end.min(self.at + 3))?;
        let position = field.names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(word))?;
        let after = self.text.as_bytes()[..self.end].get(self.at + 3);
        // A longer word is a mistake, but for the `L` of `friL`, which the dialects look at themselves.
        if after.is_some_and(|byte| byte.is_ascii_alphanumeric() && !byte.eq_ignore_ascii_case(&b'l')) {
            return None;
        }
        self.at += 3;
        Some(field.first_name + position as u32)
    }

    /// `*`, `*/n`, `a`, `a-b`, `a-b/n`, `a/n`, given to `take`; twice if the range runs past the end and that is allowed.
    #[inline]
    pub(super) fn range(&mut self, field: &Field, wrap: Wrap, mut take: impl FnMut(Range)) -> Result<(), TriggerError> {
        if self.eat(b'*') {
            let step = self.step(field, field.max - field.min)?;
            take(Range { first: field.min, last: field.max, step });
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

    /// What follows a term: true for the end of the field, false for a comma.
    #[inline]
    pub(super) fn ends(&mut self, field: &Field) -> Result<bool, TriggerError> {
        if self.is_done() {
            return Ok(true);
        }
        if self.eat(b',') {
            return Ok(false);
        }
        Err(self.error(field, "there is more than a value; separate values by commas"))
    }

    /// `/n` with a step that lets the range have a second value; 1 without a slash.
    #[inline]
    pub(super) fn step(&mut self, field: &Field, length: u32) -> Result<u32, TriggerError> {
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
        let word = self.word();
        let range = Allowed(field);
        if word.is_empty() {
            return match self.peek() {
                0 | b',' if self.term().1.is_empty() => {
                    self.error(field, format_args!("a value is missing; write {range}"))
                }
                0 | b',' => self.error(field, format_args!("a value is missing at the end; write {range}")),
                b'-' => self.error(field, format_args!("a range needs a value on each side, {range}")),
                b'?' => self.error(field, "`?` is for Quartz expressions; write `*`"),
                _ => self.error(field, format_args!("write {range}")),
            };
        }
        match super::hints::hint(self.dialect, field, word) {
            Some(hint) => self.error(field, format_args!("the value must be {range}; {hint}")),
            None => self.error(field, format_args!("the value must be {range}")),
        }
    }
}

/// `0 to 6 or mon to sun`.
struct Allowed<'a>(&'a Field);

impl fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.min, self.0.max)?;
        match (self.0.names.first(), self.0.names.last()) {
            (Some(first), Some(last)) => write!(f, " or {first} to {last}"),
            _ => Ok(()),
        }
    }
}
