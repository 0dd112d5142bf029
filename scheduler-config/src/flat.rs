//! The flat `apscheduler.*` dictionary of APScheduler 3, translated key by key.

mod executor;
mod job_defaults;
mod job_store;
mod mongodb;
mod section;
mod sqlalchemy;

use std::{collections::BTreeMap, fmt};

use scheduler_core::{Error, ErrorKind};
use serde_json::{Map, Value};

use self::section::Section;
use crate::{config::SchedulerConfig, url::shown, zone};

const PREFIX: &str = "apscheduler.";

/// What has become of each key of a dictionary for APScheduler 3; see [`SchedulerConfig::from_flat`].
///
/// It displays as a list of all keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FlatConfig {
    /// What the accepted keys say. A store or an executor whose address or type is refused is not in it.
    pub config: SchedulerConfig,
    /// Each key that was given, and what has become of it.
    pub keys: BTreeMap<String, FlatKey>,
}

/// What has become of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlatKey {
    /// It has a meaning here, which the text tells.
    Accepted(String),
    /// It has none here, or its value is wrong; the text tells why and what to do.
    Refused(String),
    /// It does not begin with `apscheduler.`, and belongs to another program.
    Foreign,
}

impl SchedulerConfig {
    /// Translates the dictionary that APScheduler 3 takes in `configure()` or as `gconfig`, its keys flat, nested or both.
    /// Each key is accepted or refused with a reason.
    ///
    /// Values are JSON, or texts as in an INI file: `true`, `yes`, `on`, `y`, `t`, `1` and their opposites. SQLAlchemy's URLs
    /// become those of stores. Jobs that APScheduler has stored are not read, since they are pickled Python.
    ///
    /// What is not given has the defaults of this library: in APScheduler, a run that is a second late is given up; to have
    /// that, give `apscheduler.job_defaults.misfire_grace_time`.
    ///
    /// ```
    /// use scheduler_config::SchedulerConfig;
    ///
    /// let flat = SchedulerConfig::from_flat([
    ///     ("apscheduler.jobstores.default.type", "sqlalchemy"),
    ///     ("apscheduler.jobstores.default.url", "postgresql+psycopg2://app:secret@db/app"),
    ///     ("apscheduler.jobstores.default.pickle_protocol", "4"),
    ///     ("apscheduler.executors.default.class", "apscheduler.executors.pool:ThreadPoolExecutor"),
    ///     ("apscheduler.executors.default.max_workers", "20"),
    ///     ("apscheduler.job_defaults.coalesce", "false"),
    ///     ("apscheduler.timezone", "Europe/Berlin"),
    /// ]);
    /// assert_eq!(
    ///     flat.to_string(),
    ///     "\
    /// apscheduler.executors.default.class: executors.default.type = \"thread_pool\"
    /// apscheduler.executors.default.max_workers: executors.default.threads = 20
    /// apscheduler.job_defaults.coalesce: job_defaults.coalesce = \"all\"
    /// apscheduler.jobstores.default.pickle_protocol: refused: nothing is pickled; jobs are JSON
    /// apscheduler.jobstores.default.type: stores.default.url begins with `postgres:`
    /// apscheduler.jobstores.default.url: stores.default.url = \"postgres://app:***@db/app\"
    /// apscheduler.timezone: timezone = \"Europe/Berlin\"
    /// "
    /// );
    /// assert_eq!(
    ///     flat.checked().unwrap_err().to_string(),
    ///     "configuration for APScheduler, 1 key is refused:\n\
    ///      apscheduler.jobstores.default.pickle_protocol: refused: nothing is pickled; jobs are JSON",
    /// );
    /// ```
    pub fn from_flat(pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<Value>)>) -> FlatConfig {
        let mut flat = FlatConfig { config: Self::default(), keys: BTreeMap::new() };
        let mut given = BTreeMap::new();
        for (key, value) in pairs {
            flat.gather(key.into(), value.into(), &mut given);
        }
        flat.translate(given);
        flat
    }

    /// Translates such a dictionary from lines of `key = value` or `key: value`. Empty lines, headers in brackets, and lines
    /// that begin with `#` or `;` are passed over, so that it can be an INI file.
    ///
    /// ```
    /// use scheduler_config::SchedulerConfig;
    ///
    /// let flat = SchedulerConfig::from_flat_text("[app:main]\n# at most\napscheduler.job_defaults.max_instances = 3\n");
    /// assert_eq!(flat.to_string(), "apscheduler.job_defaults.max_instances: job_defaults.max_instances = 3\n");
    /// ```
    pub fn from_flat_text(text: &str) -> FlatConfig {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '[']));
        let pairs = lines.map(|line| {
            let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            (key.trim(), value.trim())
        });
        Self::from_flat(pairs)
    }
}

impl FlatConfig {
    /// The configuration, if no key is refused.
    ///
    /// # Errors
    ///
    /// Each refused key, with the reason.
    pub fn checked(self) -> Result<SchedulerConfig, Error> {
        let refused: Vec<String> = self
            .keys
            .iter()
            .filter(|(_, key)| matches!(key, FlatKey::Refused(_)))
            .map(|(name, key)| format!("{name}: {key}"))
            .collect();
        match refused.len() {
            0 => Ok(self.config),
            n => {
                let keys = if n == 1 { "key is" } else { "keys are" };
                let message = format!("configuration for APScheduler, {n} {keys} refused:\n{}", refused.join("\n"));
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }

    /// Takes nested dictionaries apart.
    fn gather(&mut self, key: String, value: Value, given: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                for (name, value) in inner {
                    self.gather(format!("{}.{name}", key.trim_end_matches('.')), value, given);
                }
            }
            // A section without keys.
            Value::Object(_) if key.trim_end_matches('.') == "apscheduler" => {}
            value if key.starts_with(PREFIX) => {
                if given.insert(key.clone(), value).is_some() {
                    self.refuse(&key, "it is given twice");
                }
            }
            _ => {
                self.keys.insert(key, FlatKey::Foreign);
            }
        }
    }

    fn translate(&mut self, given: BTreeMap<String, Value>) {
        let mut job_stores: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        let mut executors = job_stores.clone();
        for (key, value) in given {
            if self.keys.contains_key(&key) {
                continue;
            }
            let parts: Vec<&str> = key[PREFIX.len()..].splitn(3, '.').collect();
            match parts[..] {
                ["jobstores", name, option] => {
                    job_stores.entry(name.to_owned()).or_default().insert(option.to_owned(), value);
                }
                ["executors", name, option] => {
                    executors.entry(name.to_owned()).or_default().insert(option.to_owned(), value);
                }
                ["jobstores" | "executors", ..] => {
                    self.refuse(&key, "write its options as keys of their own, `type` or `class` among them");
                }
                ["job_defaults", option] => self.job_default(&key, option, &value),
                ["timezone"] => self.timezone(&key, &value),
                ["daemon"] => self.daemon(&key, &value),
                _ => self.refuse(&key, elsewhere(parts[0])),
            }
        }
        for (name, options) in job_stores {
            let store = job_store::translate(&mut Section::new(self, "jobstores", "stores", &name, options));
            self.config.stores.extend(store.map(|store| (name.into(), store)));
        }
        for (name, options) in executors {
            let executor = executor::translate(&mut Section::new(self, "executors", "executors", &name, options));
            self.config.executors.extend(executor.map(|executor| (name.into(), executor)));
        }
    }

    fn timezone(&mut self, key: &str, value: &Value) {
        match value.as_str().ok_or_else(|| "it is no text; give the name of a zone".to_owned()).and_then(zone::parse) {
            Ok(zone) => {
                self.config.timezone = Some(zone);
                self.accept(key, format!("timezone = {:?}", zone.name()));
            }
            Err(why) => self.refuse(key, &why),
        }
    }

    fn daemon(&mut self, key: &str, value: &Value) {
        match section::boolean(value) {
            Ok(true) => self.accept(key, "it is so: threads do not keep a program alive".to_owned()),
            Ok(false) => {
                self.refuse(key, "threads do not keep a program alive; let `main` wait, as `Blocking::start` does");
            }
            Err(why) => self.refuse(key, &why),
        }
    }

    fn accept(&mut self, key: &str, became: String) {
        self.keys.insert(key.to_owned(), FlatKey::Accepted(became));
    }

    fn refuse(&mut self, key: &str, why: &str) {
        self.keys.insert(key.to_owned(), FlatKey::Refused(shown(why)));
    }
}

/// Why a key of the whole scheduler is refused.
fn elsewhere(option: &str) -> &'static str {
    match option {
        "logger" => "it names an object of Python's; listen to events, or subscribe to `tracing`",
        "jobstore_retry_interval" => {
            "a store that fails is asked again after growing pauses, from 50 ms to a tenth of the lease, 10 s at most"
        }
        "event_loop" | "io_loop" | "reactor" => "it is an object of Python's; the runtime is an argument of `builder`",
        "standalone" => "it is of APScheduler 2; take `Blocking` for a scheduler that is the whole program",
        "daemonic" => "it is of APScheduler 2; threads do not keep a program alive",
        "misfire_grace_time" | "coalesce" => "it is of APScheduler 2; write it below `apscheduler.job_defaults`",
        "threadpool" => {
            "it is of APScheduler 2; write `apscheduler.executors.default.type = threadpool` and `max_workers`"
        }
        "jobstore" => "it is of APScheduler 2; write it below `apscheduler.jobstores`",
        _ => "APScheduler 3 has no such option",
    }
}

impl fmt::Display for FlatConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.iter().try_for_each(|(name, key)| writeln!(f, "{name}: {key}"))
    }
}

impl fmt::Display for FlatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(became) => f.write_str(became),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Foreign => f.write_str("left alone, since it does not begin with `apscheduler.`"),
        }
    }
}
