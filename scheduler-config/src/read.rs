//! Reading a configuration, with errors that say where.

use scheduler_core::{Error, ErrorKind};
use serde::Deserializer;
use serde_path_to_error::Path;

use crate::{config::SchedulerConfig, url::shown};

impl SchedulerConfig {
    /// Reads a configuration in TOML.
    ///
    /// # Errors
    ///
    /// It is no TOML, or says what is not understood; the message names the line and the key.
    ///
    /// ```
    /// use scheduler_config::SchedulerConfig;
    ///
    /// let error = SchedulerConfig::from_toml("[job_defaults]\nmax_instances = 'three'\n").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "configuration, line 2, `job_defaults.max_instances`: invalid type: string \"three\", expected u32",
    /// );
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let place = |error: &toml::de::Error| {
            let line =
                error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
            line.map_or_else(String::new, |line| format!(", line {line}"))
        };
        let deserializer =
            toml::Deserializer::parse(text).map_err(|error| failure(&place(&error), None, error.message()))?;
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            // Its own text would show the line, with the password that may be in it.
            failure(&place(error.inner()), Some(error.path()), error.inner().message())
        })
    }

    /// Reads a configuration in JSON.
    ///
    /// # Errors
    ///
    /// It is no JSON, or says what is not understood; the message names the line and the key.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let config = Self::read(&mut deserializer)?;
        deserializer.end().map_err(|error| failure("", None, &error.to_string()))?;
        Ok(config)
    }

    /// Reads a configuration in any format of serde, as YAML from `serde_norway::Deserializer`.
    ///
    /// # Errors
    ///
    /// It says what is not understood; the message names the key.
    pub fn read<'de>(deserializer: impl Deserializer<'de>) -> Result<Self, Error> {
        serde_path_to_error::deserialize(deserializer)
            .map_err(|error| failure("", Some(error.path()), &error.inner().to_string()))
    }
}

fn failure(place: &str, path: Option<&Path>, message: &str) -> Error {
    let path = path.map(ToString::to_string).filter(|path| path != ".");
    let path = path.map_or_else(String::new, |path| format!(", `{path}`"));
    Error::new(ErrorKind::Config, format!("configuration{place}{path}: {}", shown(message)))
}
