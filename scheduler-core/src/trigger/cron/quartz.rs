//! Six or seven fields, as Quartz has them: second, minute, hour, day of month, month, day of week, and perhaps year.

use super::crontab::{monday_first, nth_weekday, special_day};
use super::parse::{Cursor, Field, MONTHS, SUNDAY_FIRST, Source, Wrap, is_starred};
use super::plan::{FIRST_YEAR, Join, LAST_YEAR, Plan, Years};
use super::spread::Drawn;
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

const MINUTE: usize = 1;
const HOUR: usize = 2;
const DAY: usize = 3;
pub(super) const DAY_OF_WEEK: usize = 5;
const YEAR: usize = 6;

pub(super) fn compile(source: Source<'_>, job: Option<&str>) -> Result<Compiled, TriggerError> {
    let (places, count) = source.fields();
    if !(6..=7).contains(&count) {
        return Err(wrong_count(source.expression(), count));
    }
    let mut compiled = Compiled::new(Plan::EVERY);
    let mut has_question = false;
    for (number, &place) in places[..count].iter().enumerate() {
        let text = &source.text[place.0..place.1];
        if matches!(number, MINUTE | HOUR) {
            compiled.follows_real_time |= is_starred(text);
        }
        let cursor = Cursor::new(source.text, place, Dialect::Quartz);
        if !matches!(number, DAY | DAY_OF_WEEK) || text != "?" {
            read(cursor, number, job, &mut compiled)?;
        } else if has_question {
            return Err(
                cursor.error(&FIELDS[number], "`?` may stand in one of day of month and day of week, not in both")
            );
        } else {
            has_question = true;
        }
    }
    let plan = &mut compiled.plan;
    let days = plan.before_last | plan.nearest | plan.nearest_before_last;
    if plan.nth | u64::from(days) != 0 {
        plan.join = Join::Both;
    }
    Ok(compiled)
}

fn read(mut cursor: Cursor<'_>, number: usize, job: Option<&str>, compiled: &mut Compiled) -> Result<(), TriggerError> {
    let (field, plan) = (&FIELDS[number], &mut compiled.plan);
    let (mut mask, mut years, mut is_newer) = (0u64, Years::default(), false);
    loop {
        if let Some(drawn) = Drawn::read(&mut cursor, field, number)? {
            mask |= job.map_or(0, |job| drawn.range(job).mask());
        } else if number == YEAR {
            cursor.range(field, Wrap::No, |range| years.add(range))?;
        } else {
            let special = match number {
                DAY => {
                    // The first version knew these words in Quartz's dialect.
                    let special = special_day(&mut cursor, field, plan)?;
                    cursor.is_newer &= !special;
                    special
                }
                // An `L` by itself is the last day of the week, Saturday.
                DAY_OF_WEEK if cursor.word().eq_ignore_ascii_case("l") => {
                    cursor.at += 1;
                    mask |= 1 << 7;
                    true
                }
                DAY_OF_WEEK => nth_weekday(&mut cursor, field, |sunday_is_1| (sunday_is_1 + 5) % 7, plan)?,
                _ => false,
            };
            if !special {
                cursor.range(field, Wrap::After(field.max - field.min + 1), |range| mask |= range.mask())?;
            }
        }
        is_newer |= cursor.is_newer;
        if cursor.ends(field)? {
            break;
        }
    }
    match number {
        0 => plan.second = mask,
        MINUTE => plan.minute = mask,
        HOUR => plan.hour = mask as u32,
        DAY => plan.day = mask as u32,
        4 => plan.month = mask as u16,
        DAY_OF_WEEK => plan.weekday = monday_first(mask >> 1),
        _ => plan.years = years.boxed(),
    }
    compiled.is_newer |= is_newer;
    Ok(())
}

#[cold]
fn wrong_count(text: &str, count: usize) -> TriggerError {
    let hint = match count {
        _ if text.starts_with('@') => "; words with `@` are for the crontab dialect",
        5 => "; for five fields use the crontab dialect",
        _ => "",
    };
    TriggerError::new(
        TriggerErrorKind::Expression,
        format!(
            "quartz `{text}`: {count} field{}, but there must be 6 or 7: second, minute, hour, day of month, month, \
             day of week, and perhaps year{hint}",
            if count == 1 { "" } else { "s" }
        ),
    )
}
