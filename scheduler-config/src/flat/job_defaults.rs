//! `apscheduler.job_defaults.*`.

use std::time::Duration;

use scheduler_core::Coalesce;
use serde_json::Value;

use super::{
    FlatConfig,
    section::{boolean, integer},
};

impl FlatConfig {
    pub(super) fn job_default(&mut self, key: &str, option: &str, value: &Value) {
        let defaults = self.config.job_defaults.clone();
        let translated = match option {
            "misfire_grace_time" => grace_time(value).map(|grace| {
                let text = grace.map_or_else(|| "\"none\"".to_owned(), |grace| format!("\"{}s\"", grace.as_secs()));
                (defaults.misfire_grace_time(grace), text)
            }),
            "coalesce" => boolean(value).map(|is_on| match is_on {
                true => (defaults.coalesce(Coalesce::Latest), "\"latest\"".to_owned()),
                false => (defaults.coalesce(Coalesce::All), "\"all\"".to_owned()),
            }),
            "max_instances" => instances(value).map(|n| (defaults.max_instances(n), n.to_string())),
            _ => {
                Err("APScheduler 3 passes over it; it knows misfire_grace_time, coalesce and max_instances".to_owned())
            }
        };
        match translated {
            Ok((defaults, text)) => {
                self.config.job_defaults = defaults;
                self.accept(key, format!("job_defaults.{option} = {text}"));
            }
            Err(why) => self.refuse(key, &why),
        }
    }
}

/// Without an end if there is none, as `None` in Python; text has a word for that.
fn grace_time(value: &Value) -> Result<Option<Duration>, String> {
    let is_none = value.is_null() || value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case("none"));
    if is_none { Ok(None) } else { positive(value).map(Duration::from_secs).map(Some) }
}

fn positive(value: &Value) -> Result<u64, String> {
    u64::try_from(integer(value)?).ok().filter(|n| *n > 0).ok_or_else(|| format!("{value} is not more than 0"))
}

fn instances(value: &Value) -> Result<u32, String> {
    u32::try_from(positive(value)?).map_err(|_| format!("{value} is out of range"))
}
