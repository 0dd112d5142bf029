//! Whether each crate depends only on what it may know, and users need none but the facade.

mod facade;

use std::{collections::BTreeSet, fmt};

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

/// A crate that is copied into every service stays small.
const CORE_IS_MADE_OF_AT_MOST: usize = 25;

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
    ("scheduler-tokio", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-async-std", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-smol", &["scheduler-core", "scheduler-runtime"]),
    ("scheduler-thread", &["scheduler-core", "scheduler-runtime"]),
    // It measures what its users use.
    ("scheduler-bench", &["apscheduler"]),
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

/// How many crates a program is built from, this project's included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes {
    core: usize,
    facade: usize,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, facade } = self;
        write!(f, "scheduler-core is made of {core} crates, apscheduler with tokio of {facade}")
    }
}

/// Counts what the libraries are made of, or says what is wrong.
pub(crate) fn check() -> Result<Sizes, String> {
    // For all platforms, so that a dependency of another one shows here.
    let tree = tree(&["scheduler-core", "--target", "all"])?;
    let facade = self::tree(&["apscheduler", "--no-default-features", "--features", "tokio"])?;
    let names = names(&tree);
    let mut failures = outsiders(&names);
    if names.len() > CORE_IS_MADE_OF_AT_MOST {
        failures.push(format!("scheduler-core is made of {} crates, more than {CORE_IS_MADE_OF_AT_MOST}", names.len()));
    }
    let workspace = Workspace::read()?;
    failures.extend(workspace.packages.iter().flat_map(wrong_arrows));
    failures.extend(facade::failures(&workspace)?);
    if failures.is_empty() {
        Ok(Sizes { core: names.len(), facade: self::names(&facade).len() })
    } else {
        Err(failures.join("\n"))
    }
}

/// What a package is built from.
fn tree(package: &[&str]) -> Result<String, String> {
    output(cargo(["tree", "--edges", "normal", "--prefix", "none", "--package"]).args(package))
}

/// The crates in the output of `cargo tree --prefix none`, each once.
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
