//! A configuration from the variables of the environment.

use std::{collections::BTreeMap, env};

use scheduler_core::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::{config::SchedulerConfig, url::shown};

const PREFIX: &str = "APSCHEDULER_";

/// What a process pool tells its workers by, and so the programs that they start: no configuration.
const WORKER: &str = "APSCHEDULER_WORKER";

/// Stands between the names of sections and keys, which have single underscores in them.
const SEPARATOR: &str = "__";

impl SchedulerConfig {
    /// A configuration from nothing but the variables of the environment that begin with `APSCHEDULER_`; see
    /// [`with_vars`](Self::with_vars).
    ///
    /// # Errors
    ///
    /// As there; also a value that is not UTF-8.
    pub fn from_env() -> Result<Self, Error> {
        Self::default().with_env()
    }

    /// This configuration, with what the variables of the environment say in its place; see
    /// [`with_vars`](Self::with_vars).
    ///
    /// # Errors
    ///
    /// As there; also a value that is not UTF-8.
    pub fn with_env(self) -> Result<Self, Error> {
        let mut vars = Vec::new();
        for (name, value) in env::vars_os() {
            // Others have variables with any name.
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            match value.into_string() {
                Ok(value) => vars.push((name.to_owned(), value)),
                Err(_) => return Err(refused(name, "its value is not UTF-8")),
            }
        }
        self.with_vars(vars)
    }

    /// This configuration, with what some variables say in its place. Those whose names do not begin with `APSCHEDULER_`
    /// are left alone, and so is `APSCHEDULER_WORKER`, which a process pool sets for its workers.
    ///
    /// Two underscores separate sections and keys, in either case: `APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES`. Names of
    /// stores, executors and jobs are those that are there already, in any case, or else in lower case. A value is a number,
    /// `true`, `false` or `null` if it looks like one, JSON if it begins with a quote, a bracket or a brace, and otherwise
    /// text. A variable that is empty is one that is not set.
    ///
    /// ```
    /// use scheduler_config::SchedulerConfig;
    ///
    /// let file = "[stores]\ndefault = 'sqlite://jobs.db'\n";
    /// let config = SchedulerConfig::from_toml(file)?.with_vars([
    ///     ("APSCHEDULER_STORES__DEFAULT", "postgres://app:secret@db/app"),
    ///     ("APSCHEDULER_STORES__DEFAULT__PREFIX", "billing_"),
    ///     ("APSCHEDULER_JOB_DEFAULTS__MAX_INSTANCES", "3"),
    ///     ("APSCHEDULER_EXECUTORS__HEAVY", r#"{"type": "thread_pool", "threads": 2}"#),
    /// ])?;
    /// assert_eq!(config.stores["default"].url.to_string(), "postgres://app:***@db/app");
    /// assert_eq!(config.stores["default"].prefix.as_deref(), Some("billing_"));
    /// # Ok::<(), scheduler_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A variable says what is not understood; the message names it.
    pub fn with_vars(
        self,
        vars: impl IntoIterator<Item = (impl AsRef<str>, impl Into<String>)>,
    ) -> Result<Self, Error> {
        // In the order of their names, so that a section comes before the keys in it.
        let vars = vars.into_iter().filter_map(|(name, value)| {
            let (name, value) = (name.as_ref().to_owned(), value.into());
            let is_ours = name.starts_with(PREFIX) && name != WORKER;
            (is_ours && !value.is_empty()).then_some((name, value))
        });
        let vars: BTreeMap<String, String> = vars.collect();
        let internal = |error: serde_json::Error| Error::new(ErrorKind::Config, error.to_string());
        let mut tree = serde_json::to_value(self).map_err(internal)?;
        for (name, text) in &vars {
            let value = value(text).map_err(|error| refused(name, &format!("it is no JSON: {error}")))?;
            place(&mut tree, &name[PREFIX.len()..], value).map_err(|why| refused(name, &why))?;
        }
        serde_path_to_error::deserialize(&tree).map_err(|error| {
            let path = error.path().to_string();
            let message = error.inner().to_string();
            match vars.keys().rev().find(|name| is_about(name, &path)) {
                Some(variable) => refused(variable, &message),
                None => Error::new(ErrorKind::Config, format!("configuration, `{path}`: {}", shown(&message))),
            }
        })
    }
}

/// Whether a variable gives the value at a path, a section that it is in, or something in it.
fn is_about(variable: &str, path: &str) -> bool {
    let parts = variable[PREFIX.len()..].split(SEPARATOR);
    parts.zip(path.split('.')).all(|(part, key)| part.eq_ignore_ascii_case(key))
}

fn refused(variable: &str, why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("environment variable `{variable}`: {}", shown(why)))
}

/// What the text of a variable means.
fn value(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.trim();
    if text.starts_with(['"', '[', '{']) {
        return serde_json::from_str(text);
    }
    // A number, true, false or null; anything else is text.
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
}

/// Puts a value to where the rest of a variable's name says.
fn place(tree: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut node = tree;
    let mut within: Vec<String> = Vec::new();
    for part in path.split(SEPARATOR) {
        if part.is_empty() {
            return Err(format!("it has an empty part; write it as in `{PREFIX}JOB_DEFAULTS{SEPARATOR}MAX_INSTANCES`"));
        }
        // A store that another variable gives as its URL alone gets options.
        if matches!(&within[..], [stores, _] if stores == "stores") && node.is_string() {
            let url = node.take();
            *node = Value::from(Map::from_iter([("url".to_owned(), url)]));
        }
        let Value::Object(section) = node else {
            return Err(format!("`{}` is a value, which has nothing in it", within.join(".")));
        };
        let known = section.keys().find(|key| key.eq_ignore_ascii_case(part)).cloned();
        within.push(known.unwrap_or_else(|| part.to_lowercase()));
        node = section.entry(within[within.len() - 1].clone()).or_insert_with(|| Map::new().into());
    }
    *node = value;
    Ok(())
}
