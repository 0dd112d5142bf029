//! The dialect of APScheduler: a field for each unit of time, given by name.

use super::parse::{Cursor, Field, MONDAY_FIRST, MONTHS, Source, Wrap, is_name, is_starred};
use super::plan::{FIRST_YEAR, Join, LAST_YEAR, Plan, Years};
use super::{Compiled, Cron, Dialect, Options, TriggerError, TriggerErrorKind};
use std::fmt::{Display, Write as _};

/// The fields, from the most to the least significant.
pub(super) const FIELDS: [Field; 8] = [
    Field { name: "year", min: FIRST_YEAR, max: LAST_YEAR, names: &[], first_name: 0 },
    Field { name: "month", min: 1, max: 12, names: MONTHS, first_name: 1 },
    Field { name: "day", min: 1, max: 31, names: &[], first_name: 0 },
    Field { name: "week", min: 1, max: 53, names: &[], first_name: 0 },
    Field { name: "day_of_week", min: 0, max: 6, names: MONDAY_FIRST, first_name: 0 },
    Field { name: "hour", min: 0, max: 23, names: &[], first_name: 0 },
    Field { name: "minute", min: 0, max: 59, names: &[], first_name: 0 },
    Field { name: "second", min: 0, max: 59, names: &[], first_name: 0 },
];
const YEAR: usize = 0;
const MONTH: usize = 1;
const DAY: usize = 2;
const WEEK: usize = 3;
const DAY_OF_WEEK: usize = 4;
const HOUR: usize = 5;
const MINUTE: usize = 6;
const SECOND: usize = 7;

/// Builds a [`Cron`] from named fields, as APScheduler does; made by [`Cron::fields`].
///
/// Fields that are not given and more significant than the least significant given one match always, less significant
/// ones match their minimum; `week` and `day_of_week` match always unless given. So `hour("9")` is nine o'clock each day.
///
/// | field | values | also |
/// |---|---|---|
/// | year | 1970 to 9999 | |
/// | month | 1 to 12, jan to dec, january to december | |
/// | day | 1 to 31 | `last`, `1st mon` .. `5th sun`, `last fri` |
/// | week | 1 to 53 (ISO) | |
/// | day_of_week | 0 to 6, **0 is Monday**, mon to sun, monday to sunday | |
/// | hour, minute, second | 0 to 23, 0 to 59 | |
///
/// Each takes `*`, `*/n`, `a`, `a-b`, `a-b/n`, `a/n`, and a list of these. Day, week and day_of_week must all match.
///
/// ```
/// use scheduler_core::trigger::Cron;
///
/// let office_hours = Cron::fields().day_of_week("mon-fri").hour("9-17").minute("*/15").build()?;
/// assert_eq!(office_hours.to_string(), "cron day_of_week='mon-fri' hour='9-17' minute='*/15'");
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "CronTrigger")]
#[derive(Debug, Clone, Default)]
pub struct CronFields {
    pub(super) given: [Option<String>; 8],
    pub(super) options: Options,
}

impl CronFields {
    fn set(mut self, field: usize, expression: impl Display) -> Self {
        self.given[field] = Some(expression.to_string());
        self
    }

    /// The year, 1970 to 9999.
    pub fn year(self, expression: impl Display) -> Self {
        self.set(YEAR, expression)
    }

    /// The month, 1 to 12 or `jan` to `dec`.
    pub fn month(self, expression: impl Display) -> Self {
        self.set(MONTH, expression)
    }

    /// The day of the month, 1 to 31, `last`, or a weekday of the month such as `1st mon` or `last fri`.
    pub fn day(self, expression: impl Display) -> Self {
        self.set(DAY, expression)
    }

    /// The ISO week, 1 to 53.
    pub fn week(self, expression: impl Display) -> Self {
        self.set(WEEK, expression)
    }

    /// The weekday, 0 (Monday) to 6 (Sunday), or `mon` to `sun`.
    pub fn day_of_week(self, expression: impl Display) -> Self {
        self.set(DAY_OF_WEEK, expression)
    }

    /// The hour, 0 to 23.
    pub fn hour(self, expression: impl Display) -> Self {
        self.set(HOUR, expression)
    }

    /// The minute, 0 to 59.
    pub fn minute(self, expression: impl Display) -> Self {
        self.set(MINUTE, expression)
    }

    /// The second, 0 to 59.
    pub fn second(self, expression: impl Display) -> Self {
        self.set(SECOND, expression)
    }

    /// Sets a field by its name; for configuration files.
    ///
    /// # Errors
    ///
    /// [`Expression`](TriggerErrorKind::Expression) if there is no such field.
    pub fn field(self, name: &str, expression: impl Display) -> Result<Self, TriggerError> {
        match FIELDS.iter().position(|field| field.name == name) {
            Some(field) => Ok(self.set(field, expression)),
            None => Err(TriggerError::new(
                TriggerErrorKind::Expression,
                format!(
                    "cron: no field `{name}`; there are year, month, day, week, day_of_week, hour, minute and second"
                ),
            )),
        }
    }

    /// Compiles the fields.
    ///
    /// # Errors
    ///
    /// [`Expression`](TriggerErrorKind::Expression) if no field is given, or one cannot be read; the text says which,
    /// where and why.
    pub fn build(self) -> Result<Cron, TriggerError> {
        let mut text = String::new();
        for (field, given) in FIELDS.iter().zip(&self.given) {
            if let Some(given) = given {
                let gap = if text.is_empty() { "" } else { " " };
                // Quotes never survive parsing, so the text can be split again.
                write!(text, "{gap}{}='{}'", field.name, given.trim()).expect("writing to a string");
            }
        }
        let mut compiled = compile(&self.given.each_ref().map(Option::as_deref))?;
        let star = |field: usize| match &self.given[field] {
            Some(given) => is_starred(given),
            None => self.given[field + 1..].iter().any(Option::is_some),
        };
        compiled.follows_real_time = star(MINUTE) || star(HOUR);
        Ok(Cron::new(Dialect::Fields, &text, compiled, self.options))
    }

    /// Sets a field to a part of a longer text, to which the columns of errors then belong.
    pub(super) fn written(self, name: &str, source: Source<'_>) -> Result<Self, TriggerError> {
        let Source { text, start, end } = source;
        if let Some(number) = FIELDS.iter().position(|field| field.name == name) {
            let cursor = Cursor::new(text, (start, end), Dialect::Fields);
            Reader { cursor }.field(number, &FIELDS[number], &mut Compiled::new(Plan::EVERY))?;
        }
        self.field(name, &text[start..end])
    }

    /// The fields of a text made by [`build`](Self::build), perhaps with a zone in front.
    pub(super) fn from_source(mut source: Source<'_>) -> Result<Self, TriggerError> {
        let mut fields = Self::default();
        fields.options.zone = source.zone_in_front(Dialect::Fields)?;
        let (text, mut at) = (source.text, source.start);
        loop {
            let rest = text[at..source.end].trim_start();
            if rest.is_empty() {
                return Ok(fields);
            }
            let from = source.end - rest.len();
            let parts = rest
                .split_once("='")
                .and_then(|(name, rest)| rest.split_once('\'').map(|(expression, _)| (name, expression.len())));
            let Some((name, length)) = parts else {
                let hint = if rest.starts_with('@') { "; words with `@` are for the crontab dialect" } else { "" };
                return Err(TriggerError::new(
                    TriggerErrorKind::Expression,
                    format!("cron: `{}`: write fields as in hour='9' minute='*/5'{hint}", rest.trim_end()),
                ));
            };
            let start = from + name.len() + "='".len();
            fields = fields.written(name.trim(), Source { text, start, end: start + length })?;
            at = start + length + 1;
        }
    }
}

/// The name and the expression of each given field, in order.
pub(super) fn given(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut pieces = text.split_terminator('\'');
    std::iter::from_fn(move || Some((pieces.next()?.trim().trim_end_matches('='), pieces.next()?)))
}

fn compile(given: &[Option<&str>; 8]) -> Result<Compiled, TriggerError> {
    let Some(least) = given.iter().rposition(Option::is_some) else {
        return Err(TriggerError::new(
            TriggerErrorKind::Expression,
            "cron: no field is given; give at least one, such as second='*' for every second",
        ));
    };
    let mut compiled = Compiled::new(Plan::EVERY);
    for (number, field) in FIELDS.iter().enumerate() {
        match given[number] {
            Some(text) => {
                let cursor = Cursor::new(text, (0, text.len()), Dialect::Fields);
                Reader { cursor }.field(number, field, &mut compiled)?;
            }
            None if number > least => minimum(number, &mut compiled.plan),
            None => {}
        }
    }
    Ok(compiled)
}

/// What a field that is not given, below the least significant given one, matches.
fn minimum(field: usize, plan: &mut Plan) {
    match field {
        MONTH => plan.month = 1 << 1,
        DAY => plan.day = 1 << 1,
        HOUR => plan.hour = 1,
        MINUTE => plan.minute = 1,
        SECOND => plan.second = 1,
        _ => {}
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn field(mut self, number: usize, field: &Field, compiled: &mut Compiled) -> Result<(), TriggerError> {
        let plan = &mut compiled.plan;
        let mut mask = 0u64;
        let mut years = Years::default();
        if number == DAY {
            plan.day = 0;
        }
        loop {
            self.cursor.skip_spaces();
            if number != DAY || !self.special_day(field, plan)? {
                self.cursor.range(field, Wrap::No, |range| match number {
                    YEAR => years.add(range),
                    _ => mask |= range.mask(),
                })?;
            }
            self.cursor.skip_spaces();
            if self.cursor.ends(field)? {
                break;
            }
        }
        match number {
            YEAR => plan.years = years.boxed(),
            MONTH => plan.month = mask as u16,
            DAY => plan.day = mask as u32,
            WEEK if mask != FULL_WEEKS => {
                plan.week = mask;
                if plan.join == Join::Plain {
                    plan.join = Join::BothNthIsDay;
                }
            }
            WEEK => {}
            DAY_OF_WEEK => plan.weekday = mask as u8,
            HOUR => plan.hour = mask as u32,
            MINUTE => plan.minute = mask,
            _ => plan.second = mask,
        }
        compiled.is_newer |= self.cursor.is_newer;
        Ok(())
    }

    /// `last`, `1st mon`, `last fri`; false if it is something else.
    fn special_day(&mut self, field: &Field, plan: &mut Plan) -> Result<bool, TriggerError> {
        const WHICH: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];
        let word = self.cursor.word();
        let Some(which) = WHICH.iter().position(|which| which.eq_ignore_ascii_case(word)) else { return Ok(false) };
        self.cursor.at += word.len();
        self.cursor.skip_spaces();
        let name = self.cursor.word();
        plan.join = Join::BothNthIsDay;
        if name.is_empty() && which == 5 {
            plan.before_last |= 1;
            return Ok(true);
        }
        let Some(weekday) = MONDAY_FIRST.iter().position(|day| is_name(name, day)) else {
            return Err(self.cursor.error(field, format_args!("`{word}` is followed by a weekday, mon to sun")));
        };
        self.cursor.at += name.len();
        self.cursor.is_newer |= name.len() > 3;
        plan.nth |= 1 << (8 * (which + 1) + weekday);
        Ok(true)
    }
}

const FULL_WEEKS: u64 = ((1 << 53) - 1) << 1;
