//! When a node looks for what nodes have left whose leases have passed.

use std::time::Duration;

use super::link::third_of;

/// When this node looks for what others have left.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct Takeover {
    /// When this node takes over what lapsed nodes left, for the first time since its contact with the store began.
    pub(in crate::engine) at: Option<Duration>,
    /// Whether there may soon be something to take over, for which the contact must not be broken.
    pub(in crate::engine) is_near: bool,
}

impl Takeover {
    /// When to ask the store next, for that or so that the contact is not broken. `reached` is when the latest turn was sent
    /// that the store has answered.
    pub(in crate::engine) fn next(&self, reached: Option<Duration>, lease: Duration) -> Option<Duration> {
        let touch_at = reached.filter(|_| self.is_near).map(|reached| reached.saturating_add(third_of(lease)));
        self.at.into_iter().chain(touch_at).min()
    }
}
