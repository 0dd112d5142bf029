//! The names and numbers by which jobs, runs, tasks and nodes are known.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text name that is cheap to clone.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl From<&String> for $name {
            fn from(name: &String) -> Self {
                Self(name.as_str().into())
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }
    };
}

name! {
    /// The id under which a user knows a job; unique among the live jobs of one store.
    ///
    /// Not empty, at most [`JobId::LIMIT`] bytes and without NUL, which is checked when the job is added.
    ///
    /// ```
    /// use scheduler_core::JobId;
    /// assert_eq!(JobId::from("nightly-report"), "nightly-report");
    /// ```
    JobId
}

impl JobId {
    /// The longest id in bytes: what an index of MySQL takes in four-byte characters, so that a job can move between stores.
    pub const LIMIT: usize = 191;

    /// Whether every store can keep the id. The scheduler asks when a job is added, and a store when it is handed one.
    ///
    /// ```
    /// use scheduler_core::JobId;
    ///
    /// assert_eq!(JobId::from("nightly").check(), Ok(()));
    /// assert_eq!(JobId::from("").check(), Err("job id \"\": it is empty; choose another".to_owned()));
    /// ```
    ///
    /// # Errors
    ///
    /// Why not, and what to do: it is empty, too long, or contains NUL.
    pub fn check(&self) -> Result<(), String> {
        check_name("job id", self.as_str())
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > JobId::LIMIT {
        format!("it has {} bytes; {} are allowed", name.len(), JobId::LIMIT)
    } else if name.contains('\0') {
        "it contains NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{what} {name:?}: {reason}; choose another"))
}

name! {
    /// What runs of several jobs have in common, of which only so many may be running at once: a tenant, an account of another
    /// service, a printer. See [`JobOptions::limit_key`](crate::JobOptions::limit_key).
    ///
    /// At most [`JobId::LIMIT`] bytes and without NUL. An empty one is none.
    ///
    /// ```
    /// use scheduler_core::LimitKey;
    /// assert_eq!(LimitKey::from("tenant-42"), "tenant-42");
    /// ```
    LimitKey
}

impl LimitKey {
    /// Whether every store can keep the key. The scheduler asks when a job is added or changed, and when a limit is set.
    ///
    /// ```
    /// use scheduler_core::LimitKey;
    ///
    /// assert_eq!(LimitKey::from("tenant-42").check(), Ok(()));
    /// assert_eq!(LimitKey::from("").check(), Err("limit key \"\": it is empty; choose another".to_owned()));
    /// ```
    ///
    /// # Errors
    ///
    /// Why not, and what to do: it is empty, too long, or contains NUL.
    pub fn check(&self) -> Result<(), String> {
        check_name("limit key", self.as_str())
    }
}

name! {
    /// The name under which a task is registered.
    TaskName
}

name! {
    /// The name of one of a scheduler's stores. The usual one is called `default`.
    StoreName
}

name! {
    /// The name of one of a scheduler's executors. The usual one is called `default`.
    ExecutorName
}

name! {
    /// One running scheduler; drawn anew at each start, so that a restarted process is another node.
    NodeId
}

impl Default for StoreName {
    /// `default`, as in APScheduler.
    fn default() -> Self {
        "default".into()
    }
}

impl Default for ExecutorName {
    /// `default`, as in APScheduler.
    fn default() -> Self {
        "default".into()
    }
}

/// The primary key of a job: 128 bits, new at each add, written as 32 hexadecimal digits.
///
/// Those that a scheduler draws begin with the time, 48 bits of milliseconds since 1970, so that jobs that are added
/// together lie together in the stores' indexes; then come 16 bits that count and 64 random ones. Any other number does as
/// well.
///
/// A job that is removed and added again under the same [`JobId`] is another job with another uid.
///
/// ```
/// use scheduler_core::Uid;
/// let uid: Uid = "000000000000000000000000000000ff".parse().unwrap();
/// assert_eq!(uid, Uid(255));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u128);

impl Uid {
    /// Stands for the uid of a row in which it cannot be read. No job has it.
    pub const UNREADABLE: Self = Self(0);
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = InvalidUid;

    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`InvalidUid`] for any other text.
    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex {
            return Err(InvalidUid(text.chars().take(40).collect()));
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidUid(text.to_owned()))
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is not a [`Uid`].
///
/// ```
/// use scheduler_core::Uid;
///
/// let error = "seven".parse::<Uid>().unwrap_err();
/// assert_eq!(error.to_string(), "uid \"seven\": 32 hexadecimal digits are needed");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUid(String);

impl fmt::Display for InvalidUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {:?}: 32 hexadecimal digits are needed", self.0)
    }
}

impl std::error::Error for InvalidUid {}

/// One run: the job's uid and the run's number in that job, written `uid-seq`.
///
/// Numbers count from 1 and give the order in which the job's fire times were settled.
///
/// ```
/// use scheduler_core::RunId;
/// let run: RunId = "000000000000000000000000000000ff-7".parse()?;
/// assert_eq!((run.uid.0, run.seq), (255, 7));
/// assert_eq!(run.to_string(), "000000000000000000000000000000ff-7");
/// # Ok::<(), scheduler_core::InvalidRunId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// The job.
    pub uid: Uid,
    /// The number of the run in its job.
    pub seq: u64,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.uid, self.seq)
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    /// Reads what is displayed: the job's uid and the run's number.
    ///
    /// # Errors
    ///
    /// [`InvalidRunId`] for any other text.
    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let parts = text.split_once('-');
        let is_number = |seq: &str| !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        let run = parts
            .filter(|(_, seq)| is_number(seq))
            .and_then(|(uid, seq)| Some(Self { uid: uid.parse().ok()?, seq: seq.parse().ok()? }));
        run.ok_or_else(|| InvalidRunId(text.chars().take(60).collect()))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a [`RunId`].
///
/// ```
/// use scheduler_core::RunId;
///
/// let error = "7".parse::<RunId>().unwrap_err();
/// assert_eq!(error.to_string(), "run id \"7\": a uid of 32 hexadecimal digits, `-` and a number are needed");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRunId(String);

impl fmt::Display for InvalidRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run id {:?}: a uid of 32 hexadecimal digits, `-` and a number are needed", self.0)
    }
}

impl std::error::Error for InvalidRunId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_read_as_it_is_written_and_nothing_else_is() {
        let run = RunId { uid: Uid(255), seq: u64::MAX };
        assert_eq!(run.to_string().parse(), Ok(run));
        let uid = run.uid;
        for text in ["", "-", "7", &format!("{uid}"), &format!("{uid}-"), &format!("{uid}-+7"), &format!("{uid}--7")] {
            let error = text.parse::<RunId>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("run id {text:?}: ")), "{error}");
        }
        let too_large = format!("{uid}-18446744073709551616");
        assert!(too_large.parse::<RunId>().is_err());
    }
}
