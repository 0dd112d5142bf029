//! What a node says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a node says of itself: a store keeps it while the node holds something there, and shows it with the nodes.
///
/// ```
/// use scheduler_core::store::NodeInfo;
///
/// let info = NodeInfo::of_this_build().with_host("web-3").with_label("zone", "eu-1");
/// assert_eq!(info.host.as_deref(), Some("web-3"));
/// assert_eq!(info.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeInfo {
    /// The name of its machine; none if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The version of this library that it runs; none if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its program calls it: words of the program's own, as the zone or the release.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl NodeInfo {
    /// The most bytes that the labels of a node have together.
    pub const LABELS_LIMIT: usize = 4_096;

    /// The version of this build, and nothing else.
    pub fn of_this_build() -> Self {
        Self { version: Some(env!("CARGO_PKG_VERSION").to_owned()), ..Self::default() }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same on this machine.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same with one more label, or with another value for one.
    #[must_use]
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// How many bytes the labels have together.
    pub fn labels_len(&self) -> usize {
        self.labels.iter().map(|(key, value)| key.len().saturating_add(value.len())).fold(0, usize::saturating_add)
    }
}
