//! Counting what passed and what failed.

use std::{fmt, ops::AddAssign};

/// How many checks passed, and a line about each that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failures: Vec<String>,
    /// A line about each that failed before it passed.
    pub(crate) flaky: Vec<String>,
}

impl Tally {
    /// One check, which failed if there is something to say.
    pub(crate) fn one(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self { passed: 1, ..Self::default() },
            Err(failure) => Self { failures: vec![failure], ..Self::default() },
        }
    }

    /// A program that counts by itself. Its own failure counts unless it has told of others: then it is about those.
    pub(crate) fn closed_by(mut self, result: Result<(), String>) -> Self {
        if self.failures.is_empty() {
            self.failures.extend(result.err());
        }
        self
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.flaky.extend(other.flaky);
    }
}

/// The line that ends a test run.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_to_the_last_line() {
        let mut all = Tally::one(Ok(()));
        all += Tally { passed: 40, ..Tally::default() };
        assert_eq!(all.to_string(), "41 passed, 0 failed");
        all += Tally::one(Err("fmt".into()));
        assert_eq!(all.to_string(), "41 passed, 1 failed");
        assert!(!all.has_passed());
    }

    #[test]
    fn a_program_that_fails_without_a_failed_test_counts_as_a_failure() {
        let counted = Tally { passed: 3, ..Tally::default() };
        assert_eq!(counted.clone().closed_by(Ok(())), counted);
        assert_eq!(counted.closed_by(Err("exit status 101".into())).to_string(), "3 passed, 1 failed");

        let failed = Tally { passed: 3, failures: vec!["a test".into()], ..Tally::default() };
        assert_eq!(failed.closed_by(Err("exit status 100".into())).failures, ["a test"]);
    }
}
