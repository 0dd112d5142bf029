//! Whether what is written for users is written with what users have: the facade, and the kit for their tests.

use std::{fs, path::Path};

use crate::workspace::Workspace;

/// What is written for users: the facade's documentation, its examples and tests, and the bench.
const FOR_USERS: &[&str] =
    &["README.md", "docs", "src/guide", "src/observability.rs", "examples", "tests", "bench/src"];

/// It measures the engine alone, which users do not have.
const OF_THE_ENGINE: &str = "bench/src/engine.rs";

/// The inner crate that users have besides the facade.
const KIT: &str = "scheduler-testkit";

/// A line for each place that names another crate of this project.
pub(super) fn failures(workspace: &Workspace) -> Result<Vec<String>, String> {
    let inner = workspace.packages.iter().map(|package| &package.name);
    let inner = inner.filter(|name| name.starts_with("scheduler-") && *name != KIT).map(|name| name.replace('-', "_"));
    let inner: Vec<String> = inner.collect();
    let mut failures = Vec::new();
    for path in FOR_USERS {
        visit(&workspace.root.join(path), &mut |file, text| {
            let file = file.strip_prefix(&workspace.root).unwrap_or(file);
            if file == Path::new(OF_THE_ENGINE) {
                return;
            }
            let file = file.display();
            failures.extend(named(text, &inner).map(|(line, name)| {
                format!("{file}:{line} names {name}, which users do not have; the facade has to hand it on")
            }));
        })?;
    }
    Ok(failures)
}

/// Calls with each text below a path.
fn visit(path: &Path, call: &mut dyn FnMut(&Path, &str)) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != "target" {
                visit(&entry.path(), call)?;
            }
        }
    } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
        call(path, &fs::read_to_string(path).map_err(failed)?);
    }
    Ok(())
}

/// Which lines, counted from 1, name one of these crates in a path.
fn named<'a>(text: &'a str, crates: &'a [String]) -> impl Iterator<Item = (usize, &'a str)> {
    (1..).zip(text.lines()).flat_map(|(number, line)| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        let words = words.filter(|word| crates.iter().any(|name| name == word));
        words.map(move |word| (number, word)).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_that_needs_an_inner_crate_is_found() {
        let inner = ["scheduler_core".to_owned(), "scheduler_stores".to_owned()];
        let example = "use apscheduler::Job;\nuse scheduler_core::{JobRow, store};\nfn scheduler_core_is_fast() {}\n\
                       use scheduler_testkit::store;\n    let store = scheduler_stores::MemoryStore::new();";
        assert_eq!(named(example, &inner).collect::<Vec<_>>(), [(2, "scheduler_core"), (5, "scheduler_stores")]);
    }
}
