//! The fields of Debian's cron: minute, hour, day of month, month, day of week; perhaps a second in front, then perhaps a
//! year behind.

use super::parse::{Cursor, Field, MONTHS, SUNDAY_FIRST, Source, Wrap, is_starred};
use super::plan::{FIRST_YEAR, Join, LAST_YEAR, Plan, Years};
use super::spread::Drawn;
use super::{Compiled, Dialect, TriggerError, TriggerErrorKind};

/// The second and the year come last, so that `H` draws the same minute with and without them.
pub(super) const FIELDS: [Field; 7] = [
    Field { name: "minute", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "hour", min: 0, max: 23, names: &[], first_name: 0 },
    Field { name: "day of month", min: 1, max: 31, names: &[], first_name: 0 },
    Field { name: "month", min: 1, max: 12, names: MONTHS, first_name: 1 },
    // Ranges and steps run over 0 to 7; only then 7 becomes 0.
    Field { name: "day of week", min: 0, max: 7, names: SUNDAY_FIRST, first_name: 0 },
    Field { name: "second", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "year", min: FIRST_YEAR, max: LAST_YEAR, names: &[], first_name: 0 },
];
const MINUTE: usize = 0;
const HOUR: usize = 1;
const DAY: usize = 2;
const MONTH: usize = 3;
const DAY_OF_WEEK: usize = 4;
const SECOND: usize = 5;
const YEAR: usize = 6;

/// The numbers of the fields of an expression that has so many.
#[inline]
pub(super) fn order(count: usize) -> Option<&'static [usize]> {
    match count {
        5 => Some(&[MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK]),
        6 => Some(&[SECOND, MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK]),
        7 => Some(&[SECOND, MINUTE, HOUR, DAY, MONTH, DAY_OF_WEEK, YEAR]),
        _ => None,
    }
}

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
    if let Some((_, expression)) = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(expression);
    }
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let reason = match word.as_str() {
        "@reboot" => {
            "it is for the daemon of a machine; to run once when the program starts, add a job without a trigger, as \
             `JobSpec::now` does"
        }
        "@every" => {
            "it is an interval and no cron; `Trigger::crontab` reads both, `every 5m` is its text and `Interval` its type"
        }
        "@every_minute" => "write `* * * * *`",
        "@every_second" => "write `* * * * * *`, with the second in front",
        _ => "there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
    };
    Err(TriggerError::new(TriggerErrorKind::Expression, format!("crontab `{text}`: {reason}")))
}

pub(super) fn compile(source: Source<'_>, job: Option<&str>) -> Result<Compiled, TriggerError> {
    let expression = source.expression();
    let source = if expression.starts_with('@') { Source::all(macro_expression(expression)?) } else { source };
    let (places, count) = source.fields();
    let order = order(count).ok_or_else(|| wrong_count(expression, count))?;
    let mut compiled = Compiled::new(Plan { second: 1, ..Plan::EVERY });
    compiled.is_newer = count > 5;
    let mut starred_days = false;
    for (&place, &number) in places.iter().zip(order) {
        let text = &source.text[place.0..place.1];
        match number {
            MINUTE | HOUR => compiled.follows_real_time |= is_starred(text),
            DAY | DAY_OF_WEEK => starred_days |= text.starts_with(['*', '?']),
            _ => {}
        }
        read(Cursor::new(source.text, place, Dialect::Crontab), number, job, &mut compiled)?;
    }
    let plan = &mut compiled.plan;
    let special = plan.nth | u64::from(plan.before_last | plan.nearest | plan.nearest_before_last) != 0;
    plan.join = match (starred_days, special) {
        (false, _) => Join::Either,
        (true, true) => Join::Both,
        (true, false) => Join::Plain,
    };
    Ok(compiled)
}

fn read(mut cursor: Cursor<'_>, number: usize, job: Option<&str>, compiled: &mut Compiled) -> Result<(), TriggerError> {
    let (field, plan) = (&FIELDS[number], &mut compiled.plan);
    let mut mask = 0u64;
    let mut years = Years::default();
    loop {
        if let Some(drawn) = Drawn::read(&mut cursor, field, number)? {
            mask |= job.map_or(0, |job| drawn.range(job).mask());
        } else if matches!(number, DAY | DAY_OF_WEEK) && cursor.eat(b'?') {
            // As in Kubernetes and Spring: `?` is `*`.
            cursor.is_newer = true;
            mask |= cursor.all(field)?.mask();
        } else if number == YEAR {
            cursor.range(field, Wrap::No, |range| years.add(range))?;
        } else {
            let special = match number {
                DAY => special_day(&mut cursor, field, plan)?,
                DAY_OF_WEEK => nth_weekday(&mut cursor, field, |sunday_first| (sunday_first + 6) % 7, plan)?,
                _ => false,
            };
            if !special {
                let cycle = if number == DAY_OF_WEEK { 7 } else { field.max - field.min + 1 };
                cursor.range(field, Wrap::After(cycle), |range| mask |= range.mask())?;
            }
        }
        if cursor.ends(field)? {
            break;
        }
    }
    match number {
        MINUTE => plan.minute = mask,
        HOUR => plan.hour = mask as u32,
        DAY => plan.day = mask as u32,
        MONTH => plan.month = mask as u16,
        DAY_OF_WEEK => plan.weekday = monday_first(mask | mask >> 7),
        SECOND => plan.second = mask,
        _ => plan.years = years.boxed(),
    }
    compiled.is_newer |= cursor.is_newer;
    Ok(())
}

/// `L`, `L-3`, `LW`, `L-3W`, `15W`; the cursor stays where it is if it is something else.
pub(super) fn special_day(cursor: &mut Cursor<'_>, field: &Field, plan: &mut Plan) -> Result<bool, TriggerError> {
    let start = cursor.at;
    let word = cursor.word();
    if word.eq_ignore_ascii_case("L") || word.eq_ignore_ascii_case("LW") {
        cursor.at += 1;
        let back = match cursor.eat(b'-') {
            true => match cursor.number() {
                Some(back @ 1..=30) => back,
                _ => return Err(cursor.error(field, "after `L-` comes 1 to 30, the days before the last")),
            },
            false => 0,
        };
        cursor.is_newer |= back > 0;
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
        cursor.is_newer = true;
        plan.nearest |= 1 << day;
        return Ok(true);
    }
    cursor.at = start;
    Ok(false)
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
    TriggerError::new(
        TriggerErrorKind::Expression,
        format!(
            "crontab `{text}`: {count} field{}, but there must be 5: minute, hour, day of month, month, day of week; or 6 \
             with a second in front, or 7 with a second in front and a year behind",
            if count == 1 { "" } else { "s" }
        ),
    )
}
