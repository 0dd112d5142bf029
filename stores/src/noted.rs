//! Changes that transactions of applications note.
//!
//! A store counts its changes in one row, as the last step before it commits. A transaction of the application's may go on for as
//! long as it likes, and would hold up all others in that row; so it adds a row of its own. Nodes look at all of them, and one that
//! finds many removes them.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

/// The key of the store's own count, with which those of applications begin.
pub(crate) const COUNT: &str = "changes";

/// How many noted changes are left in the database.
pub(crate) const KEPT: usize = 100;

/// A key that no other transaction takes.
pub(crate) fn new_key() -> String {
    format!("{COUNT} {:016x}", RandomState::new().hash_one(()))
}

/// A number that is another one, in this process, after each change: the store's own count, and what has been noted.
pub(crate) fn seen(count: u64, noted: &[String]) -> u64 {
    noted.iter().fold(count, |seen, key| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        seen.wrapping_add(hasher.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::{new_key, seen};

    #[test]
    fn what_is_seen_differs_after_each_change_and_in_no_other_way() {
        let keys = [new_key(), new_key()];
        assert!(keys[0] != keys[1] && keys[0].len() <= 32 && keys[0].starts_with("changes "), "{keys:?}");
        let turned = [keys[1].clone(), keys[0].clone()];
        assert_eq!(seen(7, &keys), seen(7, &turned), "their order does not count");
        let all = [seen(7, &[]), seen(8, &[]), seen(7, &keys[..1]), seen(7, &keys[1..]), seen(7, &keys)];
        assert!((0..all.len()).all(|at| !all[..at].contains(&all[at])), "{all:?}");
    }
}
