//! The table of options, and what is made of it: options of which some are given, and the setters that go with them.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer},
};

use crate::{
    Coalesce, Delivery, JobChange, JobOptions, JobSpec, LimitKey, Output, Overlap, Retry, Task, WhenFinished, duration,
    options::{check_grace, check_limit_key, check_max_instances, check_timeout},
    retry,
};

/// Makes of the table of options the fields of [`PartialOptions`], the setters of all that have options, and the names.
macro_rules! options {
    ($(
        #[doc = $doc:literal]
        $(#[serde($($serde:tt)*)])?
        $name:ident($given:ident: $type:ty) -> $kept:ty { $keep:expr } $(for a job { $settle:expr })?
    )*) => {
        /// Options of which some are given: a scheduler's job defaults, or the changes to a job.
        ///
        /// ```
        /// use scheduler_core::{JobOptions, PartialOptions};
        /// let defaults = PartialOptions::default().max_instances(3);
        /// assert_eq!(defaults.over(JobOptions::default()).max_instances.get(), 3);
        /// ```
        ///
        /// # In a configuration
        ///
        /// Only what is given is written. [Durations](crate::duration) are texts or numbers of seconds; `"none"`, or `null` where
        /// there is one, says that there shall be no grace time, timeout or retry. `coalesce` may be true or false, as in
        /// APScheduler.
        ///
        /// ```
        /// use std::time::Duration;
        /// use scheduler_core::{Coalesce, PartialOptions, Retry};
        ///
        /// let json = r#"{"misfire_grace_time": "5m", "coalesce": false, "timeout": "none", "retry": {"attempts": 3, "cap": 60}}"#;
        /// let defaults: PartialOptions = serde_json::from_str(json)?;
        /// let same = PartialOptions::default()
        ///     .misfire_grace_time(Duration::from_secs(300))
        ///     .coalesce(Coalesce::All)
        ///     .timeout(None)
        ///     .retry(Retry::attempts(3).cap(Duration::from_secs(60)));
        /// assert_eq!(defaults, same);
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[doc(alias = "job_defaults")]
        pub struct PartialOptions {
            $(
                #[serde(skip_serializing_if = "Option::is_none" $(, $($serde)*)?)]
                $name: Option<$kept>,
            )*
        }

        impl PartialOptions {
            /// The names of the options, which configurations and attributes use as well.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            $(
                #[doc = concat!($doc, "; see [`JobOptions::", stringify!($name), "`].")]
                pub fn $name(mut self, $given: $type) -> Self {
                    self.$name = Some($keep);
                    self
                }
            )*

            /// The given options, with those that are set here in their place.
            pub fn over(&self, mut options: JobOptions) -> JobOptions {
                // An option that has no row in the table does not compile here.
                let JobOptions { $($name: _,)* extra: _ } = &options;
                $(
                    if let Some($given) = cloned(&self.$name) {
                        options.$name = settled!($given $(, $settle)?);
                    }
                )*
                options
            }

            /// These options, and those of `others` that are not given here.
            ///
            /// ```
            /// use scheduler_core::PartialOptions;
            /// let (own, common) = (PartialOptions::default().priority(1), PartialOptions::default().priority(2).history(3));
            /// assert_eq!(own.or(&common), PartialOptions::default().priority(1).history(3));
            /// ```
            pub fn or(mut self, others: &Self) -> Self {
                $(
                    if self.$name.is_none() {
                        self.$name = cloned(&others.$name);
                    }
                )*
                self
            }
        }

        setters! { Task: $(#[doc = $doc] $name($given: $type))* }
        setters! { JobSpec: $(#[doc = $doc] $name($given: $type))* }
        setters! { JobChange: $(#[doc = $doc] $name($given: $type))* }
    };
}

/// The setters of a type that has [`PartialOptions`] in its field `options`.
macro_rules! setters {
    ($of:ty: $(#[doc = $doc:literal] $name:ident($given:ident: $type:ty))*) => {
        impl $of {
            $(
                #[doc = concat!($doc, "; see [`JobOptions::", stringify!($name), "`].")]
                pub fn $name(mut self, $given: $type) -> Self {
                    self.options = self.options.$name($given);
                    self
                }
            )*
        }
    };
}

/// What an option is for a job: as it is kept, if the table does not say otherwise.
macro_rules! settled {
    ($given:ident) => {
        $given
    };
    ($given:ident, $settle:expr) => {
        $settle
    };
}

fn cloned<T: Clone>(option: &Option<T>) -> Option<T> {
    option.clone()
}

// What the option says, how it is read and written if not as its type, its setter, and how it is kept. The fields of
// `JobOptions` say more, and have the defaults.
options! {
    /// How late a fire time may be settled and still run
    #[serde(with = "grace")]
    misfire_grace_time(grace: impl Into<Option<Duration>>) -> Option<Duration> { grace.into() }

    /// Which of several fire times that are due at once run
    #[serde(deserialize_with = "coalesce")]
    coalesce(coalesce: Coalesce) -> Coalesce { coalesce }

    /// How many runs may be running at once: at least 1, which is checked when the job is added or the scheduler built
    #[serde(deserialize_with = "max_instances")]
    max_instances(n: u32) -> u32 { n } for a job { NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN) }

    /// What becomes of a fire time when that many are running
    overlap(overlap: Overlap) -> Overlap { overlap }

    /// The key under which the runs count, of which a limit may let only so many run at once; an empty one is none
    #[serde(deserialize_with = "limit_key")]
    limit_key(key: impl Into<LimitKey>) -> LimitKey { key.into() } for a job { given_key(key) }

    /// What becomes of a run whose node dies
    delivery(delivery: Delivery) -> Delivery { delivery }

    /// How long an attempt may take
    #[serde(with = "timeout")]
    timeout(timeout: impl Into<Option<Duration>>) -> Option<Duration> { timeout.into() }

    /// Whether and how a failed run is repeated
    #[serde(with = "retry::or_none")]
    retry(retry: impl Into<Option<Retry>>) -> Option<Box<Retry>> { retry.into().map(Box::new) }

    /// Which of the runs that are due at once start first
    priority(priority: i32) -> i32 { priority }

    /// How many ended runs the store keeps
    history(runs: u32) -> u32 { runs }

    /// What becomes of the job after its last fire time
    when_finished(when_finished: WhenFinished) -> WhenFinished { when_finished }

    /// How long the job stays known after it is over
    #[serde(with = "duration::given")]
    retention(retention: Duration) -> Duration { retention }

    /// Whether what the task returns is kept with the run
    output(output: Output) -> Output { output }
}

impl PartialOptions {
    /// Whether each option that is given is within its range; see [`JobOptions`]. Asked when a job is added or changed, and
    /// when a scheduler is built.
    ///
    /// ```
    /// use scheduler_core::PartialOptions;
    /// let error = PartialOptions::default().max_instances(0).check().unwrap_err();
    /// assert_eq!(error, "`max_instances` of 0: at least 1; to keep a job from running, pause it");
    /// ```
    ///
    /// # Errors
    ///
    /// The option and its range.
    pub fn check(&self) -> Result<(), String> {
        check_grace(self.misfire_grace_time.flatten())?;
        check_timeout(self.timeout.flatten())?;
        self.max_instances.map_or(Ok(()), check_max_instances)?;
        check_limit_key(self.limit_key.clone().and_then(given_key).as_ref())?;
        self.retry.iter().flatten().try_for_each(|retry| retry.check())
    }
}

/// A duration, or none, within the range of its option.
macro_rules! within_range {
    ($name:ident, $check:ident) => {
        mod $name {
            use std::time::Duration;

            use serde::{Deserializer, Serializer, de::Error};

            use super::{duration::or_none, $check};

            pub(super) fn serialize<S: Serializer>(
                given: &Option<Option<Duration>>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                or_none::serialize(given, serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<Option<Duration>>, D::Error> {
                let given = or_none::deserialize(deserializer)?;
                $check(given.flatten()).map_err(D::Error::custom)?;
                Ok(given)
            }
        }
    };
}

within_range!(grace, check_grace);
within_range!(timeout, check_timeout);

fn max_instances<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let n = u32::deserialize(deserializer)?;
    check_max_instances(n).map_err(de::Error::custom)?;
    Ok(Some(n))
}

/// A key, unless it is the empty one.
fn given_key(key: LimitKey) -> Option<LimitKey> {
    (!key.as_str().is_empty()).then_some(key)
}

/// A key; `none` and null are the empty one.
fn limit_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LimitKey>, D::Error> {
    let key = Option::<String>::deserialize(deserializer)?.filter(|key| key != "none").unwrap_or_default();
    let key = LimitKey::from(key);
    check_limit_key(given_key(key.clone()).as_ref()).map_err(de::Error::custom)?;
    Ok(Some(key))
}

/// A policy by its name, or as APScheduler has it.
fn coalesce<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Coalesce>, D::Error> {
    struct Policy;

    impl de::Visitor<'_> for Policy {
        type Value = Coalesce;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`latest`, `earliest`, `all`, true or false")
        }

        fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Coalesce, E> {
            Ok(if is_on { Coalesce::Latest } else { Coalesce::All })
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Coalesce, E> {
            Coalesce::deserialize(name.into_deserializer())
        }
    }

    deserializer.deserialize_any(Policy).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Failures;

    #[test]
    fn what_is_not_given_and_what_shall_not_be_stay_apart() {
        let cases = [
            (json!({}), PartialOptions::default()),
            (json!({"misfire_grace_time": "none"}), PartialOptions::default().misfire_grace_time(None)),
            (
                json!({"misfire_grace_time": "1.5s"}),
                PartialOptions::default().misfire_grace_time(Duration::from_millis(1500)),
            ),
            (json!({"timeout": "none", "retry": "none"}), PartialOptions::default().timeout(None).retry(None)),
        ];
        for (json, options) in cases {
            assert_eq!(serde_json::to_value(&options).unwrap(), json);
            assert_eq!(serde_json::from_value::<PartialOptions>(json).unwrap(), options);
        }
        let null: PartialOptions = serde_json::from_value(json!({"retry": null})).unwrap();
        assert_eq!(null, PartialOptions::default().retry(None));
        let no_keys = [json!({"limit_key": null}), json!({"limit_key": "none"}), json!({"limit_key": ""})];
        for json in no_keys {
            let options: PartialOptions = serde_json::from_value(json).unwrap();
            assert_eq!(options, PartialOptions::default().limit_key(""));
            let keyed = JobOptions { limit_key: Some("tenant-42".into()), ..JobOptions::default() };
            assert_eq!(options.over(keyed).limit_key, None);
        }
    }

    #[test]
    fn every_option_goes_there_and_back() {
        let retry = Retry::attempts(5).backoff(Duration::from_secs(10)).factor(3.0).jitter(0.1).on(Failures::TIMEOUT);
        let options = PartialOptions::default()
            .misfire_grace_time(Duration::from_secs(90))
            .coalesce(Coalesce::Earliest)
            .max_instances(3)
            .overlap(Overlap::Queue(7))
            .limit_key("tenant-42")
            .delivery(Delivery::AtMostOnce)
            .timeout(Duration::from_secs(3600))
            .retry(retry)
            .priority(-2)
            .history(10)
            .when_finished(WhenFinished::Keep)
            .retention(Duration::from_secs(86_400))
            .output(Output::Keep);
        let json = json!({
            "misfire_grace_time": "1m 30s", "coalesce": "earliest", "max_instances": 3, "overlap": {"queue": 7},
            "limit_key": "tenant-42", "delivery": "at_most_once", "timeout": "1h",
            "retry": {"attempts": 5, "backoff": "10s", "factor": 3.0, "cap": "5m", "jitter": 0.1, "on": ["timeout"]},
            "priority": -2, "history": 10, "when_finished": "keep", "retention": "1d", "output": "keep",
        });
        assert_eq!(serde_json::to_value(&options).unwrap(), json);
        assert_eq!(serde_json::from_value::<PartialOptions>(json).unwrap(), options);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_name() {
        let cases = [
            (json!({"max_instance": 3}), "unknown field `max_instance`, expected one of `misfire_grace_time`"),
            (json!({"max_instances": 0}), "`max_instances` of 0: at least 1"),
            (json!({"max_instances": -1}), "invalid value: integer `-1`, expected u32"),
            (json!({"timeout": 0}), "`timeout` of 0ns: at least 1ms, or none for no limit"),
            (json!({"misfire_grace_time": "0.00001s"}), "`misfire_grace_time` of 10µs: at least 1ms"),
            (json!({"retry": {"attempts": 0}}), "invalid value: integer `0`, expected a nonzero u32"),
            (json!({"timeout": "ten minutes"}), "`ten minutes` is no duration; write it as in 1d 2h 3m 4.5s or 250ms"),
            (json!({"timeout": -1}), "-1 is not a number of seconds from 0"),
            (json!({"timeout": true}), "invalid type: boolean `true`, expected a duration"),
            (json!({"coalesce": "newest"}), "unknown variant `newest`, expected one of `latest`"),
            (json!({"coalesce": 1}), "expected `latest`, `earliest`, `all`, true or false"),
            (json!({"retry": {"attempt": 3}}), "unknown field `attempt`, expected one of `attempts`, `backoff`"),
            (json!({"retry": 3}), "invalid type: integer `3`, expected"),
        ];
        for (json, message) in cases {
            let error = serde_json::from_value::<PartialOptions>(json.clone()).unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
