//! Choices that options of stores have and configurations name, whether or not the store is compiled in.

use serde::{Deserialize, Serialize};

/// When a transaction of an SQLite store counts as written.
///
/// ```
/// use scheduler_stores::Synchronous;
///
/// // As a configuration has it.
/// assert_eq!(serde_json::from_str::<Synchronous>("\"normal\"")?, Synchronous::Normal);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// When it has reached the disk. The default.
    Full,
    /// When the operating system has it: several times faster, and the last calls can be lost when the power fails. The
    /// file stays whole, and a dying process loses nothing.
    Normal,
}

/// Who may read and write what a ZooKeeper store creates.
///
/// ```
/// use scheduler_stores::ZooKeeperAccess;
///
/// // As a configuration has it.
/// assert_eq!(serde_json::from_str::<ZooKeeperAccess>("\"creator\"")?, ZooKeeperAccess::Creator);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZooKeeperAccess {
    /// Each client that reaches the servers. The default if the URL has no user.
    Everyone,
    /// Each client with the credentials with which it was created. The default if the URL has a user.
    Creator,
}
