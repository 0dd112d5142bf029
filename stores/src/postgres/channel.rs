//! How nodes let each other know of changes: notifications on one channel for each prefix.

use chrono::DateTime;
use scheduler_core::{NodeId, store::Hint};

/// The channel of the stores with a prefix.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}changes")
}

/// A hint as the text of a notification. What cannot be told in letters is told as a resync.
pub(super) fn payload(hint: &Hint) -> String {
    match hint {
        Hint::Due(due) => format!("due {}", due.timestamp_micros()),
        Hint::Cancel(node) if is_plain(node) => format!("cancel {node}"),
        Hint::Cancel(_) | Hint::Resync => "resync".to_owned(),
    }
}

/// What a notification says. Another program's, which may be empty, says that something has changed.
pub(super) fn hint(payload: &str) -> Hint {
    let due = |micros: &str| Some(Hint::Due(DateTime::from_timestamp_micros(micros.parse().ok()?)?));
    match payload.split_once(' ') {
        Some(("due", micros)) => due(micros).unwrap_or(Hint::Resync),
        Some(("cancel", node)) => Hint::Cancel(node.into()),
        _ => Hint::Resync,
    }
}

/// Whether a name needs no quotes and fits into a notification.
fn is_plain(node: &NodeId) -> bool {
    let node = node.as_str();
    node.len() <= 256 && node.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:@/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{hint, payload};
    use crate::kit::rules::whole_micros;
    use scheduler_core::store::Hint;

    #[test]
    fn hints_arrive_as_they_were_sent() {
        let due = Hint::Due(whole_micros(chrono::DateTime::from_timestamp(1_795_251_600, 123_456_789).unwrap()));
        for sent in [due, Hint::Cancel("node-1".into()), Hint::Resync] {
            assert_eq!(hint(&payload(&sent)), sent);
        }
    }

    #[test]
    fn what_needs_quotes_or_is_unknown_is_a_resync() {
        assert_eq!(payload(&Hint::Cancel("o'neill".into())), "resync");
        assert_eq!(payload(&Hint::Cancel("x".repeat(8_000).into())), "resync");
        for unknown in ["", "due", "due soon", "due 99999999999999999999", "what?"] {
            assert_eq!(hint(unknown), Hint::Resync);
        }
    }
}
