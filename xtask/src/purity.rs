//! Whether each crate depends only on what it may know, and users need none but the facade.

mod facade;

use std::collections::BTreeSet;

use crate::{
    process::{cargo, output},
    workspace::{Package, Workspace},
};

/// Everything that scheduler-core may be built from: dates, serde, and no runtime, clock or client.
const CORE_IS_MADE_OF: &[&str] = &[
    "async-trait",
    "chrono",
    "chrono-tz",
    "event-listener",
    "itoa",
    "memchr",
    "num-traits",
    "parking",
    "phf",
    "phf_shared",
    "pin-project-lite",
    "proc-macro2",
    "quote",
    "scheduler-core",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "siphasher",
    "syn",
    "unicode-ident",
    "zmij",
];

/// Of how many crates something is made at most, the project's own and those that only build it included: what users wait for
/// when they compile it the first time. Raise a number only for something that is worth it to each of them.
const BUDGETS: &[(&str, &[&str], usize)] = &[
    ("scheduler-core", &["scheduler-core"], 26),
    ("apscheduler with tokio", &["apscheduler", "--no-default-features", "--features", "tokio"], 56),
    (
        "apscheduler with tokio and the dashboard",
        &["apscheduler", "--no-default-features", "--features", "tokio,web"],
        69,
    ),
    (
        "apscheduler with tokio, the dashboard and its server",
        &["apscheduler", "--no-default-features", "--features", "tokio,web-serve"],
        79,
    ),
    ("apscheduler with tokio and SQLite", &["apscheduler", "--no-default-features", "--features", "tokio,sqlite"], 128),
    ("the example quickstart", &["quickstart"], 135),
];

/// Which crates of the workspace each one may need: arrows point down only. The facade and xtask may need any.
const ARROWS: &[(&str, &[&str])] = &[
    ("scheduler-core", &[]),
    ("scheduler-stores", &["scheduler-core"]),
    ("scheduler-executors", &["scheduler-core"]),
    // The store and the executor that a scheduler has when none is given.
    ("scheduler-runtime", &["scheduler-core", "scheduler-executors", "scheduler-stores"]),
    ("scheduler-config", &["scheduler-core", "scheduler-executors", "scheduler-runtime", "scheduler-stores"]),
    // What the core refuses is refused while a program is compiled.
    ("scheduler-macros", &["scheduler-core"]),
    ("scheduler-testkit", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-web", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-tokio", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-async-std", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-smol", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-thread", &["scheduler-core", "scheduler-runtime"]),
    // It measures what users use, and the engine alone.
    ("scheduler-bench", &["apscheduler", "figures", "scheduler-core"]),
];

/// `cargo xtask purity`.
pub(crate) fn run() -> Result<bool, String> {
    let checked = check();
    match &checked {
        Ok(sizes) => println!("{sizes}\neach crate knows only what is below it, and users need only the facade"),
        Err(failure) => println!("{failure}"),
    }
    Ok(checked.is_ok())
}

/// Holds the libraries to what they may depend on; gives back of how many crates they are made, as a text.
pub(crate) fn check() -> Result<String, String> {
    // For all platforms, so that a dependency of another one shows here.
    let core = tree("normal", &["scheduler-core", "--target", "all"])?;
    let mut failures = outsiders(&names(&core));
    let workspace = Workspace::read()?;
    failures.extend(workspace.packages.iter().flat_map(wrong_arrows));
    failures.extend(facade::failures(&workspace)?);
    let mut sizes = Vec::new();
    for (what, package, most) in BUDGETS {
        let crates = versions(&tree("normal,build", package)?).len();
        failures.extend(beyond(what, crates, *most));
        sizes.push(format!("{what} is made of {crates} crates"));
    }
    if failures.is_empty() { Ok(sizes.join(", ")) } else { Err(failures.join("\n")) }
}

/// What a package is built from.
fn tree(edges: &str, package: &[&str]) -> Result<String, String> {
    output(cargo(["tree", "--edges", edges, "--prefix", "none", "--package"]).args(package))
}

/// The crates in the output of `cargo tree --prefix none`, each version once.
fn versions<'a>(tree: &'a str) -> BTreeSet<(&'a str, &'a str)> {
    let version = |line: &'a str| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?))
    };
    tree.lines().filter_map(version).collect()
}

/// What is wrong if something is made of so many crates.
fn beyond(what: &str, crates: usize, most: usize) -> Option<String> {
    let message = || {
        format!(
            "{what} is made of {crates} crates, more than {most}: leave one out, or change its budget in xtask/src/purity.rs"
        )
    };
    (crates > most).then(message)
}

/// The names of the crates in the same output.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

fn outsiders(names: &BTreeSet<&str>) -> Vec<String> {
    let outsiders = names.iter().filter(|name| !CORE_IS_MADE_OF.contains(name));
    outsiders
        .map(|name| format!("scheduler-core depends on `{name}`; if it may, say so in xtask/src/purity.rs"))
        .collect()
}

fn wrong_arrows(package: &Package) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
        let is_library = package.name.starts_with("scheduler-");
        let unknown = || format!("{} may need what? Say so in xtask/src/purity.rs", package.name);
        return is_library.then(unknown).into_iter().collect();
    };
    let wrong = package.needs.iter().filter(|need| !allowed.contains(&need.as_str()));
    wrong.map(|need| format!("{} depends on {need}, which is not below it", package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_below_the_core_is_found() {
        let tree = "scheduler-core v0.1.0 (/w/scheduler-core)\nchrono v0.4.45\nserde v1.0.229\nserde v1.0.229 (*)\n\
                    serde_derive v1.0.229 (proc-macro)\ntokio v1.54.0\n";
        let names = names(tree);
        assert_eq!(names.len(), 5, "each crate counts once");
        assert_eq!(outsiders(&names), ["scheduler-core depends on `tokio`; if it may, say so in xtask/src/purity.rs"]);
    }

    #[test]
    fn a_program_that_is_made_of_more_than_it_may_is_found() {
        let tree =
            "quickstart v0.0.0 (/w/examples/quickstart)\nsyn v2.0.119 (proc-macro)\nsyn v3.0.9\nsyn v3.0.9 (*)\n\n";
        assert_eq!(versions(tree).len(), 3, "each version counts once");
        assert_eq!(beyond("it", 3, 3), None);
        let told = beyond("the example quickstart", 4, 3).unwrap();
        assert!(told.starts_with("the example quickstart is made of 4 crates, more than 3: leave one out"), "{told}");
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let stores = |needs: &[&str]| Package {
            name: "scheduler-stores".into(),
            needs: needs.iter().copied().map(Into::into).collect(),
            ..Package::default()
        };
        assert_eq!(wrong_arrows(&stores(&["scheduler-core"])), Vec::<String>::new());
        assert_eq!(
            wrong_arrows(&stores(&["scheduler-core", "scheduler-tokio"])),
            ["scheduler-stores depends on scheduler-tokio, which is not below it"]
        );
        let new = Package { name: "scheduler-glib".into(), ..Package::default() };
        assert_eq!(wrong_arrows(&new), ["scheduler-glib may need what? Say so in xtask/src/purity.rs"]);
        assert_eq!(wrong_arrows(&Package { name: "xtask".into(), ..new }), Vec::<String>::new());
    }
}
