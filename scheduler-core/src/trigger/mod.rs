//! When a job fires.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Says when a job fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trigger {
    /// One instant.
    Date {
        /// The instant.
        at: DateTime<Utc>,
    },
}
