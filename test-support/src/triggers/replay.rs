//! Replays one case of the oracle files; see `scheduler-core/tests/data/oracle/README.md`. Used by the tests and by `cargo xtask oracle`.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::{
    Trigger,
    trigger::{And, CalendarInterval, Cron, CronFields, Interval, Or, TriggerError},
};
use serde_json::Value;

/// Runs a case; the error says what was expected and what came.
pub fn replay(case: &Value) -> Result<(), String> {
    match text(case, "kind")? {
        "rejected" => rejected(case),
        "cron" => {
            let cron = fields(&case["fields"])?.timezone(zone(case)?);
            fires(case, &bounded(case, cron)?.build().map_err(told)?.into())
        }
        "crontab" => {
            let cron = Cron::crontab(text(case, "expression")?).map_err(told)?;
            fires(case, &cron.timezone(zone(case)?).into())
        }
        "interval" => fires(case, &interval(case)?.into()),
        "calendar_interval" => fires(case, &calendar_interval(case)?.into()),
        kind @ ("and" | "or") => {
            let zone = zone(case)?;
            let parts = case["cron"].as_array().ok_or("no `cron`")?.iter();
            let parts = parts.map(|part| Ok(fields(part)?.timezone(zone).build().map_err(told)?.into()));
            let parts = parts.collect::<Result<Vec<Trigger>, String>>()?;
            let trigger: Result<Trigger, _> =
                if kind == "and" { And::of(parts).map(Trigger::from) } else { Or::of(parts).map(Trigger::from) };
            fires(case, &trigger.map_err(told)?)
        }
        kind => Err(format!("unknown kind `{kind}`")),
    }
}

fn fires(case: &Value, trigger: &Trigger) -> Result<(), String> {
    let after = time(case, "after")?.ok_or("no `after`")?;
    let expected = case["fires"].as_array().ok_or("no `fires`")?;
    let expected: Vec<_> = expected.iter().map(instant).collect::<Result<_, _>>()?;
    let mut found: Vec<DateTime<Utc>> = Vec::new();
    // cronsim answers strictly after the instant; in seven cases of the daylight-saving file that makes a difference.
    let mut previous = (case["kind"] == "crontab").then_some(after);
    let finished = loop {
        let now = previous.unwrap_or(after);
        let Some(next) = trigger.next(previous, now).map_err(told)? else { break true };
        if found.len() == expected.len() {
            break false;
        }
        let just_before = trigger.previous(next - TimeDelta::microseconds(1)).map_err(told)?;
        if trigger.previous(next).map_err(told)? != Some(next) || just_before.is_some_and(|before| before > now) {
            return Err(format!("previous({next}) does not lead back"));
        }
        found.push(next);
        previous = Some(next);
    };
    let ends = case["end"].is_string() || case["end_date"].is_string() || expected.is_empty();
    let finished_as_expected = finished || case["finished"] != true || !ends;
    if found == expected && finished_as_expected {
        return Ok(());
    }
    let list = |times: &[DateTime<Utc>]| times.iter().map(|at| at.to_rfc3339()).collect::<Vec<_>>().join(" ");
    let end = if finished_as_expected { "" } else { ", and then no end" };
    Err(format!("expected [{}]\n  got      [{}]{end}", list(&expected), list(&found)))
}

fn rejected(case: &Value) -> Result<(), String> {
    let Err(error) = fields(&case["fields"]).and_then(|fields| fields.build().map_err(told)) else {
        return Err("expected an error\n  got      none".to_owned());
    };
    let names = case["fields"].as_object().ok_or("no `fields`")?;
    if names.keys().any(|name| error.contains(&format!("`{name}`"))) {
        return Ok(());
    }
    Err(format!("expected an error that names the field\n  got      {error}"))
}

fn interval(case: &Value) -> Result<Interval, String> {
    let unit = |name: &str| case["units"][name].as_u64().unwrap_or(0);
    let mut interval = Interval::weeks(unit("weeks"))
        + Interval::days(unit("days"))
        + Interval::hours(unit("hours"))
        + Interval::minutes(unit("minutes"))
        + Interval::seconds(unit("seconds"));
    if let Some(start) = time(case, "start")? {
        interval = interval.starting_at(start);
    }
    if let Some(end) = time(case, "end")? {
        interval = interval.until(end);
    }
    Ok(interval)
}

fn calendar_interval(case: &Value) -> Result<CalendarInterval, String> {
    let unit = |name: &str| case["units"][name].as_u64().unwrap_or(0) as u32;
    let part = |name: &str| case[name].as_u64().unwrap_or(0) as u32;
    let time = NaiveTime::from_hms_opt(part("hour"), part("minute"), part("second")).ok_or("no such time")?;
    let mut interval = CalendarInterval::years(unit("years"))
        + CalendarInterval::months(unit("months"))
        + CalendarInterval::weeks(unit("weeks"))
        + CalendarInterval::days(unit("days"));
    interval = interval.at(time).timezone(zone(case)?);
    if let Some(start) = case["start_date"].as_str() {
        interval = interval.starting_on(start.parse().map_err(|_| "bad `start_date`")?);
    }
    if let Some(end) = case["end_date"].as_str() {
        interval = interval.until(end.parse().map_err(|_| "bad `end_date`")?);
    }
    Ok(interval)
}

fn bounded(case: &Value, mut cron: CronFields) -> Result<CronFields, String> {
    if let Some(start) = time(case, "start")? {
        cron = cron.start(start);
    }
    if let Some(end) = time(case, "end")? {
        cron = cron.end(end);
    }
    Ok(cron)
}

fn fields(fields: &Value) -> Result<CronFields, String> {
    let mut cron = Cron::fields();
    for (name, expression) in fields.as_object().ok_or("no `fields`")? {
        cron = match expression.as_str() {
            Some(text) => cron.field(name, text),
            None => cron.field(name, expression),
        }
        .map_err(told)?;
    }
    Ok(cron)
}

fn zone(case: &Value) -> Result<Tz, String> {
    let name = text(case, "timezone")?;
    name.parse().map_err(|_| format!("unknown zone `{name}`"))
}

fn time(case: &Value, name: &str) -> Result<Option<DateTime<Utc>>, String> {
    if case[name].is_null() { Ok(None) } else { instant(&case[name]).map(Some) }
}

fn instant(value: &Value) -> Result<DateTime<Utc>, String> {
    let text = value.as_str().ok_or("a time is not a string")?;
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).map_err(|error| format!("`{text}`: {error}"))
}

fn text<'a>(case: &'a Value, name: &str) -> Result<&'a str, String> {
    case[name].as_str().ok_or_else(|| format!("no `{name}`"))
}

fn told(error: TriggerError) -> String {
    format!("error: {error}")
}
