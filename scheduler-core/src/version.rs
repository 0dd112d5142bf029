//! What this build is made of, as far as it decides when jobs run.

use std::fmt;

/// The versions of this build that decide when jobs run.
///
/// ```
/// let version = scheduler_core::version();
/// println!("{version}"); // apscheduler 0.1.0, tz database 2025b
/// assert!(version.tz_database.starts_with("20"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// The version of this library.
    pub apscheduler: &'static str,
    /// The release of the IANA tz database by whose rules zones set their clocks, as in `2025b`. It is compiled in, with the
    /// crate `chrono-tz`; that of the operating system does not matter.
    pub tz_database: &'static str,
}

/// The versions of this build that decide when jobs run. The scheduler logs them when it starts.
///
/// ```
/// // At the head of a bug report, or where a service shows what it runs.
/// let version = scheduler_core::version();
/// assert_eq!(version.to_string(), format!("apscheduler {}, tz database {}", version.apscheduler, version.tz_database));
/// ```
pub fn version() -> Version {
    Version { apscheduler: env!("CARGO_PKG_VERSION"), tz_database: chrono_tz::IANA_TZDB_VERSION }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "apscheduler {}, tz database {}", self.apscheduler, self.tz_database)
    }
}
