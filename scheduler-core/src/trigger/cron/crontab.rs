//! Five fields, as Debian's cron has them: minute, hour, day of month, month, day of week.

use super::parse::{Cursor, Field, MONTHS, SUNDAY_FIRST, Wrap};
use super::plan::{Join, Plan};
use super::{Compiled, Dialect, TriggerError, TriggerErrorKind};

pub(super) const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "hour", min: 0, max: 23, names: &[], first_name: 0 },
    Field { name: "day of month", min: 1, max: 31, names: &[], first_name: 0 },
    Field { name: "month", min: 1, max: 12, names: MONTHS, first_name: 1 },
    // Ranges and steps run over 0 to 7; only then 7 becomes 0.
    Field { name: "day of week", min: 0, max: 7, names: SUNDAY_FIRST, first_name: 0 },
];

/// The five fields for which an `@` word stands.
pub(super) fn macro_expression(text: &str) -> Result<&str, TriggerError> {
    const MACROS: [(&str, &str); 7] = [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ];
    if !text.starts_with('@') {
        return Ok(text);
    }
    match MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, fields)) => Ok(fields),
        None => Err(TriggerError::new(
            TriggerErrorKind::Expression,
            format!("crontab `{text}`: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"),
        )),
    }
}

pub(super) fn compile(text: &str) -> Result<Compiled, TriggerError> {
    let text = macro_expression(text)?;
    let mut plan = Plan { second: 1, ..Plan::EVERY };
    let (mut stars, mut count, mut at) = (0u8, 0, 0);
    let bytes = text.as_bytes();
    loop {
        while at < bytes.len() && bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        if at == bytes.len() {
            break;
        }
        let start = at;
        while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        if count < 5 {
            stars |= u8::from(bytes[start] == b'*') << count;
            let cursor = Cursor { text, start, at: start, end: at, dialect: Dialect::Crontab };
            read(cursor, count, &mut plan)?;
        }
        count += 1;
    }
    if count != 5 {
        return Err(wrong_count(text, count));
    }
    let restricted = stars & 0b10100 == 0;
    let special = plan.nth | u64::from(plan.before_last | plan.nearest_before_last) != 0;
    plan.join = match (restricted, special) {
        (true, _) => Join::Either,
        (false, true) => Join::Both,
        (false, false) => Join::Plain,
    };
    Ok(Compiled { plan, follows_real_time: stars & 0b11 != 0 })
}

fn read(mut cursor: Cursor<'_>, number: usize, plan: &mut Plan) -> Result<(), TriggerError> {
    let field = &FIELDS[number];
    let mut mask = 0u64;
    loop {
        let special = match number {
            2 => last_day(&mut cursor, plan),
            4 => nth_weekday(&mut cursor, field, |sunday_first| (sunday_first + 6) % 7, plan)?,
            _ => false,
        };
        if !special {
            let cycle = if number == 4 { 7 } else { field.max - field.min + 1 };
            cursor.range(field, Wrap::After(cycle), |range| mask |= range.mask())?;
        }
        if cursor.ends(field)? {
            break;
        }
    }
    match number {
        0 => plan.minute = mask,
        1 => plan.hour = mask as u32,
        2 => plan.day = mask as u32,
        3 => plan.month = mask as u16,
        _ => plan.weekday = monday_first(mask | mask >> 7),
    }
    Ok(())
}

/// `L` and `LW`.
fn last_day(cursor: &mut Cursor<'_>, plan: &mut Plan) -> bool {
    if !cursor.eat_letter(b'L') {
        return false;
    }
    if cursor.eat_letter(b'W') {
        plan.nearest_before_last |= 1;
    } else {
        plan.before_last |= 1;
    }
    true
}

/// `5#2` and `5L`; the cursor stays where it is if it is something else.
pub(super) fn nth_weekday(
    cursor: &mut Cursor<'_>,
    field: &Field,
    monday_first: impl Fn(u32) -> u32,
    plan: &mut Plan,
) -> Result<bool, TriggerError> {
    // Most fields hold neither, and are left alone.
    if !cursor.text.as_bytes()[cursor.at..cursor.end].iter().any(|byte| matches!(byte, b'#' | b'L' | b'l')) {
        return Ok(false);
    }
    let start = cursor.at;
    if cursor.peek() == b'*' {
        return Ok(false);
    }
    let weekday = monday_first(cursor.value(field)?);
    let which = if cursor.eat(b'#') {
        match cursor.number() {
            Some(which @ 1..=5) => which,
            None if cursor.eat_letter(b'L') => 6,
            _ => return Err(cursor.error(field, "after `#` comes 1 to 5, or L for the last")),
        }
    } else if cursor.eat_letter(b'L') {
        6
    } else {
        cursor.at = start;
        return Ok(false);
    };
    plan.nth |= 1 << (8 * which + weekday);
    Ok(true)
}

/// From bits with Sunday first to bits with Monday first.
pub(super) fn monday_first(sunday_first: u64) -> u8 {
    let week = sunday_first & 0x7f;
    ((week >> 1 | week << 6) & 0x7f) as u8
}

#[cold]
fn wrong_count(text: &str, count: usize) -> TriggerError {
    let hint = match count {
        6 | 7 => "; for one with seconds use the Quartz dialect",
        _ => "",
    };
    TriggerError::new(
        TriggerErrorKind::Expression,
        format!(
            "crontab `{text}`: {count} fields, but there must be 5: minute, hour, day of month, month, day of week{hint}"
        ),
    )
}
