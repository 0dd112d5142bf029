//! Cron: which civil times match, in which zone, and what happens when its clocks are changed.

#[allow(clippy::arithmetic_side_effects, reason = "dates from 1970 to 9999 only")]
mod calendar;
mod changes;
#[allow(clippy::arithmetic_side_effects, reason = "columns and masks")]
mod crontab;
#[allow(clippy::arithmetic_side_effects, reason = "masks and their bits")]
mod describe;
mod every;
#[allow(clippy::arithmetic_side_effects, reason = "columns and masks")]
mod fields;
mod hints;
mod lint;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "seconds of the years that chrono can hold, far from the ends of i64"
)]
mod next;
mod options;
#[allow(clippy::arithmetic_side_effects, reason = "columns of a text, and values within the range of a field")]
mod parse;
mod persist;
#[allow(clippy::arithmetic_side_effects, reason = "masks, and dates from 1970 to 9999 only")]
mod plan;
#[allow(clippy::arithmetic_side_effects, reason = "columns and masks")]
mod quartz;
#[cfg(feature = "cron")]
mod schedule;
#[allow(clippy::arithmetic_side_effects, reason = "columns of a text, and values within the range of a field")]
mod spread;

pub use changes::{Gap, RepeatedHour};
pub(super) use every::every;
pub use fields::CronFields;
pub(super) use parse::Source;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use self::{options::Options, plan::Plan};
use super::{
    TriggerError, TriggerErrorKind,
    jitter::Jitter,
    window::{Window, readable},
};

/// Two days before 1970, which is where cron expressions begin: no clock shows a day of 1970 earlier.
pub(super) const BEFORE_CRON: DateTime<Utc> = DateTime::from_timestamp(-2 * 86_400, 0).expect("a time");

/// Fires when the clocks of a zone show what an expression says.
///
/// Three dialects: named fields as in APScheduler ([`Cron::fields`]), [`Cron::crontab`] and [`Cron::quartz`]. All fire
/// times are whole seconds.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Cron};
///
/// let nine = Trigger::from(Cron::fields().hour("9").timezone(chrono_tz::Europe::Berlin).build()?);
/// let now = Utc.with_ymd_and_hms(2026, 7, 1, 12, 0, 0).unwrap();
/// assert_eq!(nine.next(None, now)?, Some(Utc.with_ymd_and_hms(2026, 7, 2, 7, 0, 0).unwrap()));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
///
/// # When clocks are changed
///
/// By default ([`Gap::Auto`], [`RepeatedHour::Auto`]), an expression whose minute or hour begins with `*` (or with
/// `0/1`, which says the same) follows real time: it fires in both passes of a repeated hour and not at all in a
/// skipped one. Any other fires once for each civil time that it names: at the first pass of a repeated hour, and right
/// after a gap, once however many of its times fell into it. This is what Debian's cron does. [`gap`](Self::gap) and
/// [`overlap`](Self::overlap) choose otherwise.
///
/// The transitions of the tz database are known until 2100; after that a zone keeps its last offset.
#[doc(alias = "CronTrigger")]
#[derive(Clone, PartialEq)]
pub struct Cron(Arc<Inner>);

/// Boxed, so that the triggers of a million interval jobs do not pay for cron; shared, so that a clone costs nothing.
#[derive(Debug, Clone, PartialEq)]
struct Inner {
    plan: Plan,
    text: Box<str>,
    dialect: Dialect,
    follows_real_time: bool,
    is_newer: bool,
    options: Options,
    /// The zone bound at add, if none is written.
    bound_zone: Option<Tz>,
    /// The expression bound at add, if `H` is written.
    bound_text: Option<Box<str>>,
}

/// What a dialect makes of an expression.
struct Compiled {
    plan: Plan,
    follows_real_time: bool,
    /// Whether it says something that the first version of the persisted form did not know.
    is_newer: bool,
}

impl Compiled {
    fn new(plan: Plan) -> Self {
        Self { plan, follows_real_time: false, is_newer: false }
    }
}

/// How an expression is written.
///
/// ```
/// use scheduler_core::trigger::{Cron, Dialect};
///
/// assert_eq!(Cron::crontab("0 9 * * mon-fri")?.dialect(), Dialect::Crontab);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dialect {
    /// Named fields, as in APScheduler.
    Fields,
    /// Five fields, as in Debian's cron; perhaps a second in front, then perhaps a year behind.
    Crontab,
    /// Six or seven fields, as in Quartz.
    Quartz,
}

/// Which numbers the weekdays have in [`Cron::from_crontab`].
///
/// See there for an example.
///
/// ```
/// use scheduler_core::{Trigger, trigger::{Cron, Weekdays}};
///
/// // The same text, once from a crontab and once from a program for APScheduler 3.
/// let crontab = Trigger::from(Cron::from_crontab("0 9 * * 0", Weekdays::Crontab)?);
/// let apscheduler = Trigger::from(Cron::from_crontab("0 9 * * 0", Weekdays::Apscheduler)?);
/// let now = "2026-11-26T00:00:00Z".parse().unwrap();
/// let day = |trigger: &Trigger| trigger.next(None, now).map(|next| next.unwrap().format("%A").to_string());
/// assert_eq!((day(&crontab)?, day(&apscheduler)?), ("Sunday".to_owned(), "Monday".to_owned()));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weekdays {
    /// 0 and 7 are Sunday, as in every crontab.
    Crontab,
    /// 0 is Monday and 6 is Sunday, and day of month and weekday must both match, as in APScheduler 3.
    Apscheduler,
}

impl Dialect {
    /// How errors name it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Fields => "cron",
            Self::Crontab => "crontab",
            Self::Quartz => "quartz",
        }
    }
}

impl Cron {
    /// Begins an expression of named fields, in APScheduler's dialect.
    pub fn fields() -> CronFields {
        CronFields::default()
    }

    /// Reads a crontab expression: minute, hour, day of month, month, day of week.
    ///
    /// The rules are those of Debian's cron: a fire time matches the day of the month **or** the weekday, unless one of
    /// them begins with `*` or `?`; Sunday is 0 or 7. Six fields have the second in front, as in Spring and croner, seven
    /// the year behind as well; the weekdays have the same numbers then. Beyond Debian's there are
    ///
    /// - names of months and weekdays, short or long: `jan`, `Monday`;
    /// - ranges that run past the end: `fri-mon`, `22-2/2`;
    /// - steps beyond the range, which leave the first value, as in cronsim: `0 9 */100,1-7 * mon` is the first Monday of
    ///   each month, for the day begins with `*`, and so both must match;
    /// - `?` for any day or weekday;
    /// - `L` (the last day), `L-3` (three days before it), `15W` (the day from Monday to Friday that is nearest to the 15th),
    ///   `LW` (the last one), `5#2` (the second Friday), `5L` (the last one);
    /// - `H`, drawn from the job's id: `H/15`, `H(0-29)`;
    /// - `@hourly` to `@yearly`;
    /// - a zone in front: `CRON_TZ=Asia/Tokyo` or `TZ=Asia/Tokyo`.
    ///
    /// `@every 5m` is an interval and no cron; [`Trigger::crontab`](super::Trigger::crontab) reads both.
    ///
    /// ```
    /// use chrono::{TimeZone, Utc};
    /// use scheduler_core::{Trigger, trigger::Cron};
    ///
    /// let trigger = Trigger::from(Cron::crontab("30 4 1,15 * fri")?);
    /// let now = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    /// let days: Vec<_> = trigger.next_n(now, 3)?.iter().map(|at| at.date_naive().to_string()).collect();
    /// assert_eq!(days, ["2026-01-01", "2026-01-02", "2026-01-09"]);
    ///
    /// // Pasted from Spring: 1 is Monday.
    /// let workdays = Trigger::from(Cron::crontab("0 0 1 * * 1-5")?);
    /// assert_eq!(workdays.next(None, now)?.unwrap().to_string(), "2026-01-01 01:00:00 UTC");
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Expression`](TriggerErrorKind::Expression); the text names field, column, reason and often what was meant.
    #[doc(alias = "from_crontab")]
    pub fn crontab(expression: &str) -> Result<Self, TriggerError> {
        Self::read(Dialect::Crontab, Source::all(expression), Options::default())
    }

    /// Reads a crontab expression and says which numbers the weekdays have in it.
    ///
    /// ```
    /// use scheduler_core::trigger::{Cron, Weekdays};
    ///
    /// // APScheduler's `CronTrigger.from_crontab` counts from Monday.
    /// let monday = Cron::from_crontab("0 9 * * 0", Weekdays::Apscheduler)?;
    /// assert_eq!(monday.to_string(), "cron month='*' day='*' day_of_week='0' hour='9' minute='0'");
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`crontab`](Self::crontab).
    pub fn from_crontab(expression: &str, weekdays: Weekdays) -> Result<Self, TriggerError> {
        if weekdays == Weekdays::Crontab {
            return Self::crontab(expression);
        }
        let mut source = Source::all(expression);
        let zone = source.zone_in_front(Dialect::Crontab)?;
        let (places, count) = source.fields();
        if count != 5 {
            return Err(TriggerError::new(
                TriggerErrorKind::Expression,
                format!("crontab `{}`: {count} fields, but there must be 5", source.expression()),
            ));
        }
        let mut fields = Self::fields();
        fields.options.zone = zone;
        for (name, (start, end)) in ["minute", "hour", "day", "month", "day_of_week"].into_iter().zip(places) {
            fields = fields.written(name, Source { text: expression, start, end })?;
        }
        fields.build()
    }

    /// Reads a Quartz expression: second, minute, hour, day of month, month, day of week, and perhaps year.
    ///
    /// **Sunday is 1 and Saturday 7**, which only Quartz and its kin have; in most other schedulers whose expressions begin
    /// with the second (Spring, croner, tokio-cron-scheduler) Sunday is 0, and [`crontab`](Self::crontab) reads those.
    /// [`Trigger::describe`](super::Trigger::describe) and [`Trigger::lint`](super::Trigger::lint) say which days numbers mean.
    ///
    /// There are `?` (no matter), `L`, `L-3`, `LW`, `L-3W`, `15W`, `6L`, `FRI#2`, ranges that run past the end, and
    /// `H`, long names and a zone in front as in [`crontab`](Self::crontab). Quartz itself wants a `?` for the day of
    /// the month or the weekday; here both may be given, and then both must match.
    ///
    /// ```
    /// use chrono::{TimeZone, Utc};
    /// use scheduler_core::{Trigger, trigger::Cron};
    ///
    /// let payday = Trigger::from(Cron::quartz("0 0 9 LW * ?")?);
    /// let now = Utc.with_ymd_and_hms(2026, 5, 1, 0, 0, 0).unwrap();
    /// assert_eq!(payday.next(None, now)?, Some(Utc.with_ymd_and_hms(2026, 5, 29, 9, 0, 0).unwrap()));
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`crontab`](Self::crontab).
    pub fn quartz(expression: &str) -> Result<Self, TriggerError> {
        Self::read(Dialect::Quartz, Source::all(expression), Options::default())
    }

    /// Reads an expression with a zone in front, if there is one; other options are given.
    pub(super) fn from_source(dialect: Dialect, source: Source<'_>) -> Result<Self, TriggerError> {
        match dialect {
            Dialect::Fields => CronFields::from_source(source)?.build(),
            _ => Self::read(dialect, source, Options::default()),
        }
    }

    fn read(dialect: Dialect, mut source: Source<'_>, mut options: Options) -> Result<Self, TriggerError> {
        if let Some(zone) = source.zone_in_front(dialect)? {
            if options.zone.is_some_and(|other| other != zone) {
                return Err(second_zone(dialect, source.expression(), zone));
            }
            options.zone = Some(zone);
        }
        let compiled = compiled(dialect, source, Some(""))?;
        Ok(Self::new(dialect, source.expression(), compiled, options))
    }

    fn new(dialect: Dialect, text: &str, compiled: Compiled, options: Options) -> Self {
        let Compiled { plan, follows_real_time, is_newer } = compiled;
        let (text, bound_zone, bound_text) = (text.into(), None, None);
        Self(Arc::new(Inner { plan, text, dialect, follows_real_time, is_newer, options, bound_zone, bound_text }))
    }

    fn options(&mut self) -> &mut Options {
        &mut Arc::make_mut(&mut self.0).options
    }

    /// The zone of the expression: as written, else as bound when the job was added, else none (which counts as UTC).
    pub fn zone(&self) -> Option<Tz> {
        self.0.options.zone.or(self.0.bound_zone)
    }

    /// The dialect in which the expression is written.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// True if the expression follows real time where clocks are changed: its minute or hour begins with `*` or `0/1`.
    pub fn follows_real_time(&self) -> bool {
        self.0.follows_real_time
    }

    /// True if the expression says something that the first version of the persisted form did not know.
    pub(super) fn is_newer(&self) -> bool {
        self.0.is_newer
    }

    pub(super) fn window(&self) -> (Jitter, Window) {
        (self.0.options.jitter, self.0.options.window)
    }

    pub(super) fn bind(mut self, zone: Tz, job: &str) -> Self {
        if self.zone().is_none() {
            Arc::make_mut(&mut self.0).bound_zone = Some(zone);
        }
        if self.0.bound_text.is_none() && self.has_hash() {
            let resolved = spread::resolve(&self.0.text, self.0.dialect, job);
            let (text, _) = resolved.expect("an expression that was read before");
            self.bind_text(&text).expect("an expression that was made from a valid one");
        }
        self
    }

    fn has_hash(&self) -> bool {
        self.0.dialect != Dialect::Fields && spread::is_in(&self.0.text)
    }

    fn bind_text(&mut self, text: &str) -> Result<(), TriggerError> {
        let compiled = compiled(self.0.dialect, Source::all(text), Some(""))?;
        let inner = Arc::make_mut(&mut self.0);
        inner.plan = compiled.plan;
        inner.bound_text = Some(text.into());
        Ok(())
    }

    pub(super) fn unbound(mut self) -> Self {
        if self.0.bound_zone.is_some() || self.0.bound_text.is_some() {
            let inner = Arc::make_mut(&mut self.0);
            inner.bound_zone = None;
            if inner.bound_text.take().is_some() {
                let written = compiled(inner.dialect, Source::all(&inner.text), Some(""));
                inner.plan = written.expect("an expression that was read before").plan;
            }
        }
        self
    }

    pub(super) fn never_fires(&self) -> bool {
        self.next(None, self.0.options.window.start().unwrap_or(BEFORE_CRON)).is_none()
    }
}

/// Compiles an expression of text; each `H` becomes what this job gets, or nothing without one.
fn compiled(dialect: Dialect, source: Source<'_>, job: Option<&str>) -> Result<Compiled, TriggerError> {
    if dialect == Dialect::Quartz { quartz::compile(source, job) } else { crontab::compile(source, job) }
}

#[cold]
fn second_zone(dialect: Dialect, expression: &str, zone: Tz) -> TriggerError {
    let title = dialect.title();
    let message =
        format!("{title} `{expression}`: its own zone, {zone}, is not the one beside it; leave one of them out");
    TriggerError::new(TriggerErrorKind::Expression, message)
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.dialect.title(), self.0.text)?;
        if let Some(zone) = self.0.options.zone {
            write!(f, " in {}", zone.name())?;
        }
        if let Some(start) = self.0.options.window.start() {
            write!(f, " starting at {}", readable(start))?;
        }
        if let Some(end) = self.0.options.window.end() {
            write!(f, " until {}", readable(end))?;
        }
        match self.0.options.gap {
            Gap::Auto => {}
            gap => write!(f, " gap {}", gap.word())?,
        }
        match self.0.options.overlap {
            RepeatedHour::Auto => {}
            overlap => write!(f, " overlap {}", overlap.word())?,
        }
        self.0.options.jitter.fmt(f)
    }
}
