//! How often tests repeat what they show with other random numbers.
//!
//! ```text
//! cargo xtask test              repeats(10, 50) is 10: a sample
//! cargo xtask test --thorough   repeats(10, 50) is 50
//! SCHEDULER_TEST_REPEATS=1000   repeats(10, 50) is 1000: a long search
//! ```

use std::env;

/// Set to a number by hand, for a long search.
const NUMBER: &str = "SCHEDULER_TEST_REPEATS";

/// Set by `cargo xtask test --thorough`.
const THOROUGH: &str = "SCHEDULER_TEST_THOROUGH";

/// How often a test repeats something: as often as `sampled` says, or as `thorough` does if all is to be run.
///
/// # Panics
///
/// If the environment asks for what is not a number.
pub fn repeats(sampled: u64, thorough: u64) -> u64 {
    match env::var(NUMBER) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{NUMBER}={text} is not a number")),
        Err(_) if env::var_os(THOROUGH).is_some() => thorough,
        Err(_) => sampled,
    }
}
