//! When a scheduled function runs, read by the parsers that the scheduler itself has.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use scheduler_core::{
    Trigger,
    trigger::{Cron, CronFields, Date, Interval},
};
use syn::{Error, Expr, Ident, LitStr, Path, Result};

use crate::arguments::{Argument, Arguments, Value, number_of, refused, text_of};

/// The options that say when; exactly one of them is given.
const KINDS: [&str; 5] = ["cron", "quartz", "every", "at", "trigger"];

/// When a scheduled function runs.
pub(crate) enum Schedule {
    /// A trigger that was read here.
    Read(Trigger),
    /// An expression of Rust that gives one.
    Given(Expr),
}

impl Schedule {
    /// Takes the options that say when out of the arguments of an attribute.
    pub(crate) fn take(arguments: &mut Arguments) -> Result<Self> {
        let kind = arguments.take_one_of(&KINDS).ok_or_else(|| {
            let kinds = "`cron = \"0 9 * * mon-fri\"`, `cron(hour = 9)`, `quartz = \"0 0 9 ? * *\"`, `every = \"10m\"`, \
                         `at = \"2026-12-24T18:00:00Z\"` or `trigger = ..`";
            Error::new(Span::call_site(), format!("say when it runs, with one of {kinds}"))
        })?;
        if let Some(second) = arguments.take_one_of(&KINDS) {
            let message = format!("`{}` says when it runs already; add further jobs for the task by code", kind.name);
            return Err(refused(&second.name, message));
        }
        let mut modifiers = Modifiers::take(arguments)?;
        let schedule = match (kind.name.to_string().as_str(), kind.value) {
            ("cron", Value::Has(fields)) => Self::Read(modifiers.cron(&kind.name, cron_fields(&kind.name, fields)?)?),
            (name, value) => {
                let argument = Argument { name: kind.name.clone(), value };
                modifiers.read(name, argument)?
            }
        };
        modifiers.end(&kind.name)?;
        Ok(schedule)
    }

    /// Whether it is one instant, which a store in memory forgets.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self, Self::Read(Trigger::Date(_)))
    }

    /// The expression that gives the trigger.
    pub(crate) fn expression(&self, library: &Path) -> TokenStream {
        match self {
            Self::Read(trigger) => {
                let text = trigger.to_string();
                quote! {
                    <#library::Trigger as ::core::str::FromStr>::from_str(#text)
                        .expect("a trigger that was read when the program was compiled")
                }
            }
            Self::Given(expression) => quote! { #expression },
        }
    }
}

/// What may stand beside the options that say when.
struct Modifiers {
    zone: Option<(Ident, Tz)>,
    jitter: Option<(Ident, Duration)>,
}

impl Modifiers {
    fn take(arguments: &mut Arguments) -> Result<Self> {
        let mut taken = Self { zone: None, jitter: None };
        if let Some(zone) = arguments.take("timezone") {
            taken.zone = Some((zone.name.clone(), zone_of(&zone.text()?)?));
        }
        if let Some(jitter) = arguments.take("jitter") {
            taken.jitter = Some((jitter.name.clone(), duration_of(&jitter.text()?)?));
        }
        Ok(taken)
    }

    fn read(&mut self, kind: &str, argument: Argument) -> Result<Schedule> {
        if kind == "trigger" {
            let expression = argument.expression()?;
            return match text_of(&expression) {
                Some(text) => Ok(Schedule::Read(fires(text, trigger_of(text, &text.value())?)?)),
                None => Ok(Schedule::Given(expression)),
            };
        }
        let text = argument.text()?;
        let written = text.value();
        let told = |error| refused(&text, error);
        let trigger = match kind {
            // A crontab may say `@every 5m`, which is an interval.
            "cron" => match Trigger::crontab(&written).map_err(told)? {
                Trigger::Cron(cron) => self.cron(&text, cron)?,
                Trigger::Interval(interval) => self.jittered(interval).into(),
                other => other,
            },
            "quartz" => self.cron(&text, Cron::quartz(&written).map_err(told)?)?,
            "every" => self.interval(&text)?,
            _ => self.date(&text)?.into(),
        };
        Ok(Schedule::Read(trigger))
    }

    fn cron(&mut self, at: &impl ToTokens, mut cron: Cron) -> Result<Trigger> {
        if let Some((name, zone)) = self.zone.take() {
            if cron.zone().is_some() {
                return Err(refused(&name, "the expression has a time zone of its own"));
            }
            cron = cron.timezone(zone);
        }
        if let Some((_, jitter)) = self.jitter.take() {
            cron = cron.jitter(jitter);
        }
        fires(at, cron.into())
    }

    fn interval(&mut self, text: &LitStr) -> Result<Trigger> {
        match trigger_of(text, &format!("every {}", text.value()))? {
            Trigger::Interval(interval) => Ok(self.jittered(interval).into()),
            other => Ok(other),
        }
    }

    fn jittered(&mut self, interval: Interval) -> Interval {
        match self.jitter.take() {
            Some((_, jitter)) => interval.jitter(jitter),
            None => interval,
        }
    }

    fn date(&mut self, text: &LitStr) -> Result<Date> {
        let written = text.value();
        if let Ok(instant) = DateTime::parse_from_rfc3339(&written) {
            return Ok(Date::at(instant));
        }
        let civil: NaiveDateTime = written.parse().map_err(|_| {
            refused(
                text,
                format!(
                    "date `{written}`: write it as in `2026-12-24T18:00:00Z`, or without `Z` and with a `timezone`"
                ),
            )
        })?;
        let Some((_, zone)) = self.zone.take() else {
            let message =
                format!("date `{written}`: say where: `timezone = \"Europe/Berlin\"`, or an offset as in `{written}Z`");
            return Err(refused(text, message));
        };
        Date::civil(civil, zone).map_err(|error| refused(text, error))
    }

    /// Refuses what the trigger has no use for.
    fn end(self, kind: &Ident) -> Result<()> {
        let left = self.zone.map(|(name, _)| name).or_else(|| self.jitter.map(|(name, _)| name));
        match left {
            Some(name) => Err(refused(&name, format!("`{name}` has no meaning beside this `{kind}`; leave it out"))),
            None => Ok(()),
        }
    }
}

/// APScheduler's fields: `cron(day_of_week = "mon-fri", hour = 9)`.
fn cron_fields(cron: &Ident, given: Vec<Argument>) -> Result<Cron> {
    let mut fields = CronFields::default();
    for argument in given {
        let name = argument.name.clone();
        let value = argument.expression()?;
        let text = match (text_of(&value), number_of(&value)) {
            (Some(text), _) => text.value(),
            (_, Some(number)) => number.base10_digits().to_owned(),
            _ => return Err(refused(&value, "a field is a number, or text in quotes")),
        };
        // By itself first, so that an error is told where it is.
        let alone = Cron::fields().field(&name.to_string(), &text).map_err(|error| refused(&name, error))?;
        alone.build().map_err(|error| refused(&value, error))?;
        fields = fields.field(&name.to_string(), text).map_err(|error| refused(&name, error))?;
    }
    fields.build().map_err(|error| refused(cron, error))
}

/// The trigger if it fires at all.
fn fires(at: &impl ToTokens, trigger: Trigger) -> Result<Trigger> {
    match trigger.never_fires() {
        true => Err(refused(at, format!("`{trigger}` never fires: there is no such time"))),
        false => Ok(trigger),
    }
}

fn trigger_of(at: &LitStr, text: &str) -> Result<Trigger> {
    text.parse().map_err(|error| refused(at, error))
}

fn zone_of(text: &LitStr) -> Result<Tz> {
    text.value().parse().map_err(|_| {
        let zone = text.value();
        refused(text, format!("time zone `{zone}`: the tz database has no such zone; an example is `Europe/Berlin`"))
    })
}

/// `1d 2h 3m 4.5s`, as in the text of a trigger.
pub(crate) fn duration_of(text: &LitStr) -> Result<Duration> {
    let read = format!("every {}", text.value()).parse();
    match read {
        Ok(Trigger::Interval(interval)) if interval == Interval::every(interval.period()) => Ok(interval.period()),
        _ => Err(refused(text, format!("duration `{}`: write it as in `1d 2h 3m 4.5s`, above zero", text.value()))),
    }
}
