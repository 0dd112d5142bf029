//! Crontab text whole: cron, or an interval.

use super::parse::Source;
use super::{Cron, Dialect};
use crate::duration;
use crate::{
    Trigger,
    trigger::{Interval, TriggerError, TriggerErrorKind},
};

impl Trigger {
    /// Reads what stands in a crontab: a cron expression as [`Cron::crontab`] does, or `@every 5m`, which is an interval.
    ///
    /// `@every` is Go's: in robfig/cron, and so in Dkron and asynq. Its duration has parts as in `1h30m` or `1h 30m 5s`; the
    /// first fire time is one interval after the job is added. A zone in front of it has no meaning and is left out. Text
    /// after `crontab`, as in a configuration, and `cron = ".."` of the macro are read alike.
    ///
    /// ```
    /// use scheduler_core::{Trigger, trigger::{Cron, Interval}};
    ///
    /// assert_eq!(Trigger::crontab("@every 1h30m")?, Interval::minutes(90).into());
    /// assert_eq!(Trigger::crontab("0 9 * * mon-fri")?, Cron::crontab("0 9 * * mon-fri")?.into());
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Cron::crontab`]; and a duration that cannot be read, is zero or too long.
    pub fn crontab(text: &str) -> Result<Self, TriggerError> {
        match every(Source::all(text))? {
            Some(interval) => Ok(interval.into()),
            None => Ok(Cron::crontab(text)?.into()),
        }
    }
}

/// The interval, if an `@every` stands there.
pub(in crate::trigger) fn every(mut source: Source<'_>) -> Result<Option<Interval>, TriggerError> {
    const WORD: &str = "@every";
    // A wrong zone is told only if it is an interval: else the parser of the expression tells it.
    let zone = source.zone_in_front(Dialect::Crontab);
    let expression = match &zone {
        Ok(_) => source.expression(),
        Err(_) => source.expression().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start()),
    };
    let Some((word, written)) = expression.split_at_checked(WORD.len()) else { return Ok(None) };
    if !word.eq_ignore_ascii_case(WORD) || !(written.is_empty() || written.starts_with(char::is_whitespace)) {
        return Ok(None);
    }
    zone?;
    let period = duration::parse(written).ok_or_else(|| {
        let message = format!("crontab `{expression}`: write a duration behind `@every`, as in `@every 1h30m`");
        TriggerError::new(TriggerErrorKind::Expression, message)
    })?;
    let interval = Interval::every(period);
    interval.check()?;
    Ok(Some(interval))
}
