//! The persisted form of a cron trigger.

use super::{Cron, CronFields, Dialect, Gap, Options, RepeatedHour, Source, TriggerError, TriggerErrorKind, fields};
use crate::trigger::jitter::Jitter;
use crate::trigger::window::{Window, is_default, optional_time, optional_zone};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
struct Form {
    dialect: Dialect,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Expression>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    start: Option<DateTime<Utc>>,
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    end: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "is_default")]
    gap: Gap,
    #[serde(default, skip_serializing_if = "is_default")]
    overlap: RepeatedHour,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter_us: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    bound: Bound,
}

/// The expression of a field; a number may be written as one.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Expression {
    Text(String),
    Number(u32),
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Bound {
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = &*self.0;
        let (mut fields, mut expression) = (BTreeMap::new(), None);
        match inner.dialect {
            Dialect::Fields => {
                fields.extend(
                    fields::given(&inner.text).map(|(name, text)| (name.to_owned(), Expression::Text(text.to_owned()))),
                );
            }
            Dialect::Crontab | Dialect::Quartz => expression = Some(inner.text.to_string()),
        }
        Form {
            dialect: inner.dialect,
            fields,
            expression,
            timezone: inner.options.zone,
            start: inner.options.window.start(),
            end: inner.options.window.end(),
            gap: inner.options.gap,
            overlap: inner.options.overlap,
            jitter_us: inner.options.jitter.longest(),
            bound: Bound { timezone: inner.bound_zone, expression: inner.bound_text.as_deref().map(str::to_owned) },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Form::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Form> for Cron {
    type Error = TriggerError;

    fn try_from(form: Form) -> Result<Self, TriggerError> {
        let options = Options {
            zone: form.timezone,
            window: Window::of(form.start, form.end),
            gap: form.gap,
            overlap: form.overlap,
            jitter: Jitter::micros(form.jitter_us),
        };
        let mut cron = match form.dialect {
            Dialect::Fields => {
                let mut fields = CronFields { options, ..CronFields::default() };
                for (name, expression) in &form.fields {
                    fields = match expression {
                        Expression::Text(text) => fields.field(name, text)?,
                        Expression::Number(number) => fields.field(name, number)?,
                    };
                }
                fields.build()?
            }
            dialect => {
                let expression = form.expression.ok_or_else(|| {
                    TriggerError::new(
                        TriggerErrorKind::Expression,
                        format!("{}: there is no `expression`", dialect.title()),
                    )
                })?;
                Self::read(dialect, Source::all(&expression), options)?
            }
        };
        if let Some(text) = &form.bound.expression {
            cron.bind_text(text)?;
        }
        Arc::make_mut(&mut cron.0).bound_zone = form.bound.timezone;
        Ok(cron)
    }
}
