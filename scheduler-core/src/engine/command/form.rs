//! Whether a definition that is written can be read again, by every store and by worker processes: what cannot would put its
//! job in quarantine.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, JobBody, JobId, NESTING_LIMIT, Tags, Trigger, is_nested_too_deeply};

/// The fields of a definition, which an unknown one must not be called.
const BODY_FIELDS: [&str; 11] =
    ["v", "name", "task", "args", "trigger", "executor", "options", "chosen_fire_time", "tags", "meta", "pause"];

/// The fields of a definition's options.
const OPTION_FIELDS: [&str; 13] = [
    "misfire_grace_time",
    "coalesce",
    "max_instances",
    "overlap",
    "limit_key",
    "delivery",
    "timeout",
    "retry",
    "priority",
    "history",
    "when_finished",
    "retention",
    "output",
];

/// Refuses arguments that could not be read again.
pub(super) fn check_arguments(id: &JobId, args: &Value) -> Result<(), Error> {
    if !is_nested_too_deeply(args) {
        return Ok(());
    }
    let message = format!(
        "job `{id}`: in its arguments more than {NESTING_LIMIT} arrays and objects lie in each other, which could not be \
         read again; pass them flatter, or as a text that the task reads"
    );
    Err(Error::new(ErrorKind::Arguments, message))
}

/// Refuses tags and notes that a job cannot have.
pub(super) fn check_notes(id: &JobId, tags: &Tags, meta: &Value) -> Result<(), Error> {
    tags.check().map_err(|error| Error::new(ErrorKind::Job, format!("job `{id}`: {error}")))?;
    if !is_nested_too_deeply(meta) {
        return Ok(());
    }
    let message = format!(
        "job `{id}`: in its `meta` more than {NESTING_LIMIT} arrays and objects lie in each other, which could not be read \
         again; make it flatter"
    );
    Err(Error::new(ErrorKind::Job, message))
}

/// Refuses a trigger that could not be read again.
pub(super) fn check_trigger(id: &JobId, trigger: &Trigger) -> Result<(), Error> {
    let is_flat =
        matches!(trigger, Trigger::Date(_) | Trigger::Interval(_) | Trigger::Cron(_) | Trigger::CalendarInterval(_));
    if is_flat {
        return Ok(());
    }
    let message = match serde_json::to_value(trigger) {
        Ok(form) if !is_nested_too_deeply(&form) => return Ok(()),
        Ok(_) => format!(
            "job `{id}`: trigger: its parts lie so deep in each other that it could not be read again: more than \
             {NESTING_LIMIT} arrays and objects as JSON; combine fewer at a time, or write a custom trigger"
        ),
        Err(error) => format!("job `{id}`: trigger: it cannot be written as JSON: {error}"),
    };
    Err(Error::new(ErrorKind::Trigger, message))
}

/// Refuses an imported definition that a store could not give back as it is.
pub(super) fn check_imported(id: &JobId, body: &JobBody) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Job, format!("job `{id}`: {message}")));
    if body.v == 0 {
        return refuse("its version is 0; the first is 1".to_owned());
    }
    if let Some(pause) = &body.pause {
        // Its end may have passed since it was exported.
        pause.check(DateTime::<Utc>::MIN_UTC).or_else(refuse)?;
        if is_too_deep(&pause.extra) {
            return refuse(format!("in its pause more than {NESTING_LIMIT} arrays and objects lie in each other"));
        }
    }
    let unknown = [(&body.extra, &BODY_FIELDS[..]), (&body.options.extra, &OPTION_FIELDS[..])];
    for (extra, fields) in unknown {
        if let Some(name) = fields.iter().find(|name| extra.contains_key(**name)) {
            return refuse(format!("it has `{name}` twice: as itself and among the fields that are not known"));
        }
        if is_too_deep(extra) {
            return refuse(format!(
                "in a field that is not known, more than {NESTING_LIMIT} arrays and objects lie in each other, which \
                 could not be read again"
            ));
        }
    }
    Ok(())
}

fn is_too_deep(extra: &Map<String, Value>) -> bool {
    extra.values().any(is_nested_too_deeply)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::{BODY_VERSION, JobOptions, trigger::Interval};

    #[test]
    fn the_fields_of_a_definition_are_those_that_are_written() {
        let body = JobBody {
            v: BODY_VERSION,
            name: Some("nightly".to_owned()),
            task: "report".into(),
            args: Value::Null,
            trigger: Interval::seconds(1).into(),
            executor: crate::ExecutorName::default(),
            options: JobOptions {
                misfire_grace_time: Some(Duration::from_secs(1)),
                timeout: Some(Duration::from_secs(1)),
                retry: Some(Box::default()),
                priority: 1,
                limit_key: Some("tenant-42".into()),
                retention: Duration::from_secs(1),
                output: crate::Output::Keep,
                ..JobOptions::default()
            },
            chosen_fire_time: Some(DateTime::UNIX_EPOCH),
            tags: ["nightly"].into(),
            meta: Value::from(1),
            pause: Some(Box::default()),
            extra: Map::new(),
        };
        let json = serde_json::to_value(&body).unwrap();
        for (object, fields) in [(&json, &BODY_FIELDS[..]), (&json["options"], &OPTION_FIELDS[..])] {
            let written: BTreeSet<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(written, fields.iter().copied().collect());
        }
    }
}
