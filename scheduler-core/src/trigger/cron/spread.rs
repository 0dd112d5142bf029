//! `H`: a value drawn from the job's id, so that many jobs of one expression do not fire together.

use super::parse::{Cursor, Field, Range, Source};
use super::{Dialect, TriggerError, crontab, quartz};
use siphasher::sip::SipHasher13;
use std::fmt::Write as _;
use std::hash::Hasher;

/// `H`, `H/15`, `H(0-29)` or `H(0-29)/10`: from which values one is drawn.
///
/// Days of the month are drawn from 1 to 28, which every month has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    /// The field's place in the table of its dialect.
    pub(super) number: usize,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) step: Option<u32>,
}

impl Drawn {
    /// What stands at the cursor, if it is an `H`.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'_>, field: &Field, number: usize) -> Result<Option<Self>, TriggerError> {
        if !cursor.peek().eq_ignore_ascii_case(&b'H') || !is_hash(&cursor.text[cursor.at..cursor.end]) {
            return Ok(None);
        }
        cursor.at += 1;
        let (mut first, mut last) = match field.name {
            "year" => return Err(cursor.error(field, "`H` cannot stand for a year")),
            "day of month" => (1, 28),
            // 0 and 7 are both Sunday in a crontab.
            "day of week" => (field.min, field.min + 6),
            _ => (field.min, field.max),
        };
        if cursor.eat(b'(') {
            first = cursor.value(field)?;
            if !cursor.eat(b'-') {
                return Err(cursor.error(field, "a range in brackets is written as in H(0-29)"));
            }
            last = cursor.value(field)?;
            if !cursor.eat(b')') || last < first {
                return Err(cursor.error(field, "a range in brackets is written as in H(0-29)"));
            }
        }
        let step = match cursor.peek() {
            b'/' => Some(cursor.step_within(field, last - first)?),
            _ => None,
        };
        // What follows must not change the meaning of what is drawn.
        match cursor.is_done() || cursor.peek() == b',' {
            true => Ok(Some(Self { number, first, last, step })),
            false => Err(cursor.error(field, "write `H` as in H, H/15, H(0-29) or H(0-29)/10")),
        }
    }

    /// What a job gets.
    pub(super) fn range(self, job: &str) -> Range {
        let mut hasher = SipHasher13::new();
        hasher.write(job.as_bytes());
        hasher.write(&[0xff, self.number as u8]);
        let hash = hasher.finish();
        let below = |n: u32| ((u128::from(hash) * u128::from(n)) >> 64) as u32;
        let Self { first, last, .. } = self;
        match self.step {
            Some(step) => Range { first: first + below(step), last, step },
            None => {
                let value = first + below(last - first + 1);
                Range { first: value, last: value, step: 1 }
            }
        }
    }
}

/// True if an expression holds an `H`.
pub(super) fn is_in(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'H' | b'h')) && terms(text).any(|(from, _)| is_hash(&text[from..]))
}

/// The expression with each `H` replaced by what the job gets, and the draws.
pub(super) fn resolve(text: &str, dialect: Dialect, job: &str) -> Result<(String, Vec<Drawn>), TriggerError> {
    let mut resolved = String::with_capacity(text.len() + 8);
    let (mut draws, mut copied) = (Vec::new(), 0);
    let count = Source::all(text).fields().1;
    for (from, place) in terms(text) {
        let end = text[from..].find(char::is_whitespace).map_or(text.len(), |length| from + length);
        let Some((number, field)) = field(dialect, count, place) else { continue };
        let mut cursor = Cursor::new(text, (from, end), dialect);
        let Some(drawn) = Drawn::read(&mut cursor, field, number)? else { continue };
        resolved.push_str(&text[copied..from]);
        let Range { first, last, step } = drawn.range(job);
        match step < last - first + 1 && drawn.step.is_some() {
            true => write!(resolved, "{first}-{last}/{step}"),
            false => write!(resolved, "{first}"),
        }
        .expect("writing to a string");
        draws.push(drawn);
        copied = cursor.at;
    }
    resolved.push_str(&text[copied..]);
    Ok((resolved, draws))
}

/// The field at a place of an expression of so many fields, with its number in the table.
pub(super) fn field(dialect: Dialect, count: usize, place: usize) -> Option<(usize, &'static Field)> {
    let (number, fields): (_, &'static [Field]) = match dialect {
        Dialect::Quartz => (place, &quartz::FIELDS),
        _ => (*crontab::order(count)?.get(place)?, &crontab::FIELDS),
    };
    Some((number, fields.get(number)?))
}

/// Where each term of each field begins, with the place of the field.
fn terms(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut place = 0;
    let mut before = b' ';
    let mut started = false;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        let begins = !byte.is_ascii_whitespace() && (before.is_ascii_whitespace() || before == b',');
        if begins && before.is_ascii_whitespace() {
            place += usize::from(started);
            started = true;
        }
        before = byte;
        begins.then_some((at, place))
    })
}

fn is_hash(term: &str) -> bool {
    let bytes = term.as_bytes();
    matches!(bytes.first(), Some(b'H' | b'h'))
        && bytes.get(1).is_none_or(|byte| matches!(byte, b'/' | b'(' | b',') || byte.is_ascii_whitespace())
}
