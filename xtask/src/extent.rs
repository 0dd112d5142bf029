//! How much `cargo xtask test` runs: a sample of what is repeated, or all of it with `--thorough`.
//!
//! No promise is left out: what is sampled is the same test on one more store, runtime or number of nodes.

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Each promise at least once.
    Sampled,
    /// Everything.
    Thorough,
}

/// Tests that only [`Extent::Thorough`] runs: their filterset, and what they are.
const REPEATED: &[(&str, &str)] = &[
    (
        "binary(matrix) & test(/^(async_std|smol|thread)::(mysql|redis|mongodb|etcd|zookeeper|rethinkdb)::/)",
        "the runtimes but tokio with servers but PostgreSQL (each server is run with tokio, each runtime with three stores)",
    ),
    (
        "binary(crash) & test(/after_crashes_of_(one_node|four_nodes)_all_is_accounted_for/)",
        "crashes of one and of four nodes (those of two are run on each store)",
    ),
    (
        "binary(browser) & test(/^operations::all_of_it_works_(at_the_root|below_a_path)/)",
        "the dashboard's operations in a browser where no proxy is before it (its links are tested wherever it is mounted)",
    ),
    (
        "package(scheduler-stores) & test(/(^|::)(on_callers_clock|by_the_callers_clock)::/)",
        "the suite of the stores on servers by the caller's clock (it is run by the server's; comparisons with the store in memory are by the caller's)",
    ),
];

/// What else is sampled: features, which are no tests, and what tests repeat by themselves.
const OTHERS: [&str; 3] = [
    "each feature of each library (none of each is run, each runtime of the facade alone, and all together)",
    "the README's program without async as a package of its own (its doc test compiles it)",
    "random seeds and repetitions within a test: simulations, comparisons of stores, chaos, runs of each executor (a third or less is run)",
];

impl Extent {
    /// What tells the tests to repeat what they show as often as they can: `repeats` in `test-support`.
    pub(crate) fn variable(self) -> Option<(String, String)> {
        (self == Self::Thorough).then(|| ("SCHEDULER_TEST_THOROUGH".to_owned(), "1".to_owned()))
    }

    /// Takes `--thorough` out of the options.
    pub(crate) fn parse<'a>(options: &[&'a str]) -> (Self, Vec<&'a str>) {
        let others: Vec<_> = options.iter().copied().filter(|option| *option != "--thorough").collect();
        let extent = if others.len() < options.len() { Self::Thorough } else { Self::Sampled };
        (extent, others)
    }
}

/// The filterset of the tests that are run, of those that another one names.
pub(crate) fn filter(extent: Extent, others: Option<&str>) -> Option<String> {
    if extent == Extent::Thorough {
        return others.map(str::to_owned);
    }
    let repeated: Vec<_> = REPEATED.iter().map(|(filter, _)| format!("({filter})")).collect();
    let sampled = format!("not ({})", repeated.join(" | "));
    Some(others.map_or_else(|| sampled.clone(), |others| format!("({others}) & {sampled}")))
}

/// Says what has not been run.
pub(crate) fn left_out() -> String {
    let repeated = REPEATED.iter().map(|(_, what)| *what).chain(OTHERS);
    let lines: Vec<_> = repeated.map(|what| format!("left to `--thorough`: {what}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thorough_is_an_option_beside_the_others() {
        assert_eq!(Extent::parse(&["--stores", "redis"]), (Extent::Sampled, vec!["--stores", "redis"]));
        assert_eq!(Extent::parse(&["--thorough", "--stores", "redis"]), (Extent::Thorough, vec!["--stores", "redis"]));
    }

    #[test]
    fn what_is_repeated_is_left_out_of_what_was_asked_for() {
        assert_eq!(filter(Extent::Thorough, None), None);
        assert_eq!(filter(Extent::Thorough, Some("test(a)")).as_deref(), Some("test(a)"));
        let sampled = filter(Extent::Sampled, None).unwrap();
        assert!(sampled.starts_with("not ((binary(matrix) & ") && sampled.ends_with("))"), "{sampled}");
        assert_eq!(filter(Extent::Sampled, Some("test(a)")), Some(format!("(test(a)) & {sampled}")));
        assert_eq!(left_out().lines().count(), REPEATED.len() + OTHERS.len());
    }
}
