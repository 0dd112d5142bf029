//! `H`: a value drawn from the job's id, so that many jobs of one expression do not fire together.

use super::parse::{Cursor, Field};
use super::{Dialect, TriggerError, crontab, quartz};
use siphasher::sip::SipHasher13;
use std::fmt::Write as _;
use std::hash::Hasher;

/// True if an expression may hold an `H`: only then the rest of this file is needed.
pub(super) fn is_in(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'H' | b'h')) && terms(text).any(|(from, _)| is_hash(&text[from..]))
}

/// The expression with each `H`, `H/15`, `H(0-29)` and `H(0-29)/10` replaced by what the job gets.
///
/// Days of the month are drawn from 1 to 28, which every month has.
pub(super) fn resolve(text: &str, dialect: Dialect, job: &str) -> Result<String, TriggerError> {
    let fields: &[Field] = if dialect == Dialect::Quartz { &quartz::FIELDS } else { &crontab::FIELDS };
    let mut resolved = String::with_capacity(text.len() + 8);
    let mut copied = 0;
    for (from, number) in terms(text) {
        if !is_hash(&text[from..]) {
            continue;
        }
        resolved.push_str(&text[copied..from]);
        let end = text[from..].find(char::is_whitespace).map_or(text.len(), |length| from + length);
        let mut cursor = Cursor { text, start: from, at: from + 1, end, dialect };
        if let Some(field) = fields.get(number) {
            draw(&mut cursor, field, number, job, &mut resolved)?;
        }
        copied = cursor.at;
    }
    resolved.push_str(&text[copied..]);
    Ok(resolved)
}

fn draw(
    cursor: &mut Cursor<'_>,
    field: &Field,
    number: usize,
    job: &str,
    out: &mut String,
) -> Result<(), TriggerError> {
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
    let mut hasher = SipHasher13::new();
    hasher.write(job.as_bytes());
    hasher.write(&[0xff, number as u8]);
    let hash = hasher.finish();
    let below = |n: u32| ((u128::from(hash) * u128::from(n)) >> 64) as u32;
    let written = match cursor.peek() {
        b'/' => {
            let step = cursor.step(field, last - first)?;
            let start = first + below(step);
            if start + step <= last { write!(out, "{start}-{last}/{step}") } else { write!(out, "{start}") }
        }
        _ => write!(out, "{}", first + below(last - first + 1)),
    };
    written.expect("writing to a string");
    // What follows must not change the meaning of what was drawn.
    match cursor.is_done() || cursor.peek() == b',' {
        true => Ok(()),
        false => Err(cursor.error(field, "write `H` as in H, H/15, H(0-29) or H(0-29)/10")),
    }
}

/// Where each term of each field begins, with the number of the field.
fn terms(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut number = 0;
    let mut before = b' ';
    let mut started = false;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        let begins = !byte.is_ascii_whitespace() && (before.is_ascii_whitespace() || before == b',');
        if begins && before.is_ascii_whitespace() {
            number += usize::from(started);
            started = true;
        }
        before = byte;
        begins.then_some((at, number))
    })
}

fn is_hash(term: &str) -> bool {
    let bytes = term.as_bytes();
    matches!(bytes.first(), Some(b'H' | b'h'))
        && bytes.get(1).is_none_or(|byte| matches!(byte, b'/' | b'(' | b',') || byte.is_ascii_whitespace())
}
