//! Retries: whether a failed run is repeated, how often, and after how long.

use std::{fmt, num::NonZeroU32, ops, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Repeats a failed run: how often, after which pauses, and after which failures.
///
/// The pause grows from [`first`](Self::backoff) by [`factor`](Self::factor) each time up to [`cap`](Self::cap). While it
/// lasts, the run waits in the store and holds no slot. A run keeps its fire time over all its attempts. A takeover after
/// the death of a node is an attempt too, but uses up none of those allowed here. Each failure but the last is told as
/// [`EventKind::RunRetried`](crate::EventKind::RunRetried).
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::{Failures, Retry};
///
/// let retry = Retry::attempts(5)
///     .backoff(Duration::from_secs(10))
///     .cap(Duration::from_secs(60))
///     .on(Failures::ERROR | Failures::TIMEOUT);
/// assert!(retry.repeats(Failures::ERROR, 4) && !retry.repeats(Failures::ERROR, 5));
/// assert!(!retry.repeats(Failures::PANIC, 1));
/// // Without its jitter, the pauses are 10, 20, 40, 60 seconds.
/// let retry = retry.jitter(0.0);
/// assert_eq!(retry.pause(3, 0), Duration::from_secs(40));
/// assert_eq!(retry.pause(4, 0), Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// 0 counts as 1.
    attempts: u32,
    #[serde(with = "crate::options::exact_seconds")]
    first: Duration,
    factor: f64,
    #[serde(with = "crate::options::exact_seconds")]
    cap: Duration,
    jitter: f64,
    on: Failures,
}

impl Default for Retry {
    /// Three attempts with the defaults of the methods below.
    fn default() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(300),
            jitter: 0.2,
            on: Failures::ALL,
        }
    }
}

impl Retry {
    /// At most this many attempts, the first one included: at least 1, which repeats nothing. 0 is an error when the job is
    /// added.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// The pause after the first failure; zero repeats at once. Defaults to 1 s.
    pub fn backoff(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// By how much each pause is longer than the one before. Defaults to 2; 1 keeps them alike, and less counts as 1.
    pub fn factor(mut self, factor: f64) -> Self {
        // What is not finite could not be written as JSON.
        self.factor = at_least(factor, 1.0).min(f64::MAX);
        self
    }

    /// The longest pause; also the first one if that would be longer. Zero leaves no pause. Defaults to five minutes.
    pub fn cap(mut self, longest: Duration) -> Self {
        self.cap = longest;
        self
    }

    /// Which part of a pause is left out at most, so that what failed together is not repeated together: from 0 to 1, what is
    /// less counts as 0 and what is more as 1.
    /// Defaults to 0.2: a pause of 10 s lasts 8 s to 10 s.
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = at_least(part, 0.0).min(1.0);
        self
    }

    /// After which failures the run is repeated. Defaults to [`Failures::ALL`]. A cancelled run never is.
    pub fn on(mut self, failures: Failures) -> Self {
        self.on = failures;
        self
    }

    /// The most attempts, the first one included.
    pub fn most_attempts(&self) -> NonZeroU32 {
        NonZeroU32::new(self.attempts).unwrap_or(NonZeroU32::MIN)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        match self.attempts {
            0 => Err("`retry` with 0 attempts: at least 1, which is the first one; give none for no retry".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether a run is repeated that has failed so often, and this time in this way.
    pub fn repeats(&self, failure: Failures, failed: u32) -> bool {
        self.on.contains(failure) && failed < self.attempts
    }

    /// The pause after the n-th failure in a row, counted from 1. `random` is any number; the same gives the same pause.
    pub fn pause(&self, failed: u32, random: u64) -> Duration {
        let growth = at_least(self.factor, 1.0).powf(f64::from(failed.saturating_sub(1))).min(f64::MAX);
        let pause = (self.first.as_secs_f64() * growth).min(self.cap.as_secs_f64());
        let left_out = at_least(self.jitter, 0.0).min(1.0) * (random as f64 / u64::MAX as f64);
        let micros = (pause * (1.0 - left_out) * 1e6).round();
        Duration::from_micros(micros as u64).min(self.cap)
    }
}

/// The number, or the least that it may be, also for what is no number.
fn at_least(number: f64, least: f64) -> f64 {
    if number >= least { number } else { least }
}

/// The form in a configuration: the names of the setters, [durations](crate::duration) as people write them, nothing unknown.
pub(crate) mod or_none {
    use std::{num::NonZeroU32, time::Duration};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Failures, Retry};
    use crate::duration::{self, OrNone};

    #[derive(Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Form {
        attempts: NonZeroU32,
        #[serde(with = "duration")]
        backoff: Duration,
        factor: f64,
        #[serde(with = "duration")]
        cap: Duration,
        jitter: f64,
        on: Failures,
    }

    impl Default for Form {
        fn default() -> Self {
            Retry::default().into()
        }
    }

    impl From<Retry> for Form {
        fn from(Retry { attempts, first, factor, cap, jitter, on }: Retry) -> Self {
            let attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
            Self { attempts, backoff: first, factor, cap, jitter, on }
        }
    }

    impl From<Form> for Retry {
        fn from(Form { attempts, backoff, factor, cap, jitter, on }: Form) -> Self {
            Self { attempts: attempts.get(), first: backoff, cap, on, ..Self::default() }.factor(factor).jitter(jitter)
        }
    }

    type Given = Option<Option<Box<Retry>>>;

    pub(crate) fn serialize<S: Serializer>(retry: &Given, serializer: S) -> Result<S::Ok, S::Error> {
        OrNone(retry.clone().flatten().map(|retry| Form::from(*retry))).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        Ok(Some(OrNone::<Form>::deserialize(deserializer)?.0.map(|form| Box::new(form.into()))))
    }
}

/// A set of the ways in which an attempt can fail.
///
/// ```
/// use scheduler_core::Failures;
/// let failures = Failures::ERROR | Failures::CRASH;
/// assert!(failures.contains(Failures::CRASH) && !failures.contains(Failures::PANIC));
/// assert_eq!(serde_json::to_string(&failures)?, r#"["error","crash"]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failures(u8);

impl Failures {
    /// The task returned an error.
    pub const ERROR: Self = Self(1);
    /// The task panicked.
    pub const PANIC: Self = Self(2);
    /// The process that ran the task died.
    pub const CRASH: Self = Self(4);
    /// The task ran longer than its timeout.
    pub const TIMEOUT: Self = Self(8);
    /// Each of them.
    pub const ALL: Self = Self(15);
    /// None of them.
    pub const NONE: Self = Self(0);

    const NAMES: [(Self, &'static str); 4] =
        [(Self::ERROR, "error"), (Self::PANIC, "panic"), (Self::CRASH, "crash"), (Self::TIMEOUT, "timeout")];

    /// Whether all of `other` are in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(failure, _)| self.contains(*failure)).map(|(_, name)| name)
    }
}

impl ops::BitOr for Failures {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for Failures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Failures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut failures = Self::NONE;
        for name in Vec::<String>::deserialize(deserializer)? {
            let known = Self::NAMES.into_iter().find(|(_, known)| *known == name);
            let (failure, _) =
                known.ok_or_else(|| de::Error::unknown_variant(&name, &["error", "panic", "crash", "timeout"]))?;
            failures = failures | failure;
        }
        Ok(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_what_jitter_leaves_and_the_whole_one() {
        let retry = Retry::attempts(3).backoff(Duration::from_secs(10)).jitter(0.5);
        assert_eq!((retry.pause(1, 0), retry.pause(1, u64::MAX)), (Duration::from_secs(10), Duration::from_secs(5)));
    }

    #[test]
    fn numbers_out_of_range_do_no_harm() {
        for (factor, jitter) in [(f64::NAN, f64::NAN), (f64::INFINITY, 7.0), (-3.0, -1.0)] {
            let retry = Retry::default().factor(factor).jitter(jitter).cap(Duration::from_secs(60));
            assert!((1..=1_000).all(|failed| retry.pause(failed, u64::MAX / 3) <= Duration::from_secs(60)));
        }
    }

    #[test]
    fn numbers_out_of_range_can_be_persisted() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0] {
            let retry = Retry::default().factor(number).jitter(number);
            let json = serde_json::to_string(&retry).unwrap();
            let read: Retry = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(read, retry, "{number}");
        }
    }

    #[test]
    fn no_pause_stays_none_however_often_the_run_fails() {
        let retry = Retry::attempts(u32::MAX).backoff(Duration::ZERO);
        assert!([1, 2, 1_024, 1_025, u32::MAX].into_iter().all(|failed| retry.pause(failed, 0) == Duration::ZERO));
    }

    #[test]
    fn the_persisted_form_needs_no_more_than_what_differs() {
        let retry: Retry = serde_json::from_str(r#"{"attempts": 5, "first": 0.5, "on": ["timeout"]}"#).unwrap();
        assert_eq!(retry, Retry::attempts(5).backoff(Duration::from_millis(500)).on(Failures::TIMEOUT));
        let json = serde_json::to_value(&retry).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"attempts": 5, "first": 0.5, "factor": 2.0, "cap": 300, "jitter": 0.2, "on": ["timeout"]})
        );
        let error = serde_json::from_str::<Retry>(r#"{"on": ["bad luck"]}"#).unwrap_err().to_string();
        assert!(error.contains("unknown variant `bad luck`, expected one of `error`, `panic`"), "{error}");
    }
}
