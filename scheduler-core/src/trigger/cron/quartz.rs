//! Six or seven fields, as Quartz has them: second, minute, hour, day of month, month, day of week, and perhaps year.

use super::crontab::{monday_first, nth_weekday};
use super::parse::{Cursor, Field, MONTHS, SUNDAY_FIRST, Wrap};
use super::plan::{FIRST_YEAR, Join, LAST_YEAR, Plan, Years};
use super::{Compiled, Dialect, TriggerError, TriggerErrorKind};

pub(super) const FIELDS: [Field; 7] = [
    Field { name: "second", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "minute", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "hour", min: 0, max: 23, names: &[], first_name: 0 },
    Field { name: "day of month", min: 1, max: 31, names: &[], first_name: 0 },
    Field { name: "month", min: 1, max: 12, names: MONTHS, first_name: 1 },
    Field { name: "day of week", min: 1, max: 7, names: SUNDAY_FIRST, first_name: 1 },
    Field { name: "year", min: FIRST_YEAR, max: LAST_YEAR, names: &[], first_name: 0 },
];

pub(super) fn compile(text: &str) -> Result<Compiled, TriggerError> {
    let mut plan = Plan::EVERY;
    let (mut stars, mut questions, mut count, mut at) = (0u8, 0u8, 0, 0);
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
        if count < 7 {
            stars |= u8::from(bytes[start] == b'*') << count;
            let question = matches!(count, 3 | 5) && bytes[start] == b'?' && at == start + 1;
            questions |= u8::from(question) << count;
            let cursor = Cursor { text, start, at: start, end: at, dialect: Dialect::Quartz };
            if questions == 0b101000 {
                return Err(
                    cursor.error(&FIELDS[5], "`?` may stand in one of day of month and day of week, not in both")
                );
            }
            if !question {
                read(cursor, count, &mut plan)?;
            }
        }
        count += 1;
    }
    if !(6..=7).contains(&count) {
        return Err(wrong_count(text, count));
    }
    let days = plan.before_last | plan.nearest | plan.nearest_before_last;
    if plan.nth | u64::from(days) != 0 {
        plan.join = Join::Both;
    }
    Ok(Compiled { plan, follows_real_time: stars & 0b110 != 0 })
}

fn read(mut cursor: Cursor<'_>, number: usize, plan: &mut Plan) -> Result<(), TriggerError> {
    let field = &FIELDS[number];
    let mut mask = 0u64;
    let mut years = Years::default();
    loop {
        let special = match number {
            3 => special_day(&mut cursor, field, plan)?,
            // An `L` by itself is the last day of the week, Saturday.
            5 if cursor.word().eq_ignore_ascii_case("l") => {
                cursor.at += 1;
                mask |= 1 << 7;
                true
            }
            5 => nth_weekday(&mut cursor, field, |sunday_is_1| (sunday_is_1 + 5) % 7, plan)?,
            _ => false,
        };
        if number == 6 {
            cursor.range(field, Wrap::No, |range| {
                years.0.push((range.first as u16, range.last as u16, range.step as u16));
            })?;
        } else if !special {
            cursor.range(field, Wrap::After(field.max - field.min + 1), |range| mask |= range.mask())?;
        }
        if cursor.ends(field)? {
            break;
        }
    }
    match number {
        0 => plan.second = mask,
        1 => plan.minute = mask,
        2 => plan.hour = mask as u32,
        3 => plan.day = mask as u32,
        4 => plan.month = mask as u16,
        5 => plan.weekday = monday_first(mask >> 1),
        _ if years.is_any() => {}
        _ => plan.years = Some(Box::new(years)),
    }
    Ok(())
}

/// `L`, `L-3`, `LW`, `L-3W`, `15W`; the cursor stays where it is if it is something else.
fn special_day(cursor: &mut Cursor<'_>, field: &Field, plan: &mut Plan) -> Result<bool, TriggerError> {
    let start = cursor.at;
    if cursor.eat_letter(b'L') {
        let back = match cursor.eat(b'-') {
            true => match cursor.number() {
                Some(back @ 1..=30) => back,
                _ => return Err(cursor.error(field, "after `L-` comes 1 to 30, the days before the last")),
            },
            false => 0,
        };
        if cursor.eat_letter(b'W') {
            plan.nearest_before_last |= 1 << back;
        } else {
            plan.before_last |= 1 << back;
        }
        return Ok(true);
    }
    if let Some(day @ 1..=31) = cursor.number()
        && cursor.eat_letter(b'W')
    {
        plan.nearest |= 1 << day;
        return Ok(true);
    }
    cursor.at = start;
    Ok(false)
}

#[cold]
fn wrong_count(text: &str, count: usize) -> TriggerError {
    let hint = if count == 5 { "; for five fields use the crontab dialect" } else { "" };
    TriggerError::new(
        TriggerErrorKind::Expression,
        format!(
            "quartz `{text}`: {count} fields, but there must be 6 or 7: second, minute, hour, day of month, month, \
             day of week, and perhaps year{hint}"
        ),
    )
}
