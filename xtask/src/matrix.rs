//! `cargo xtask matrix`: which runtime was tested with which store.
//!
//! Nothing here knows a runtime or a store. Runtimes and the cells come from the tests of the binary `matrix`, whose names
//! are `runtime::store::what it shows`; stores, moreover, from the table of the crate that holds them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    nextest::{self, Flaky, Test},
    services::Servers,
    stores,
    workspace::Workspace,
};

const MATRIX: &str = "apscheduler::matrix";
const STORES: &str = "scheduler-stores";

/// `cargo xtask matrix`.
pub(crate) fn run() -> Result<bool, String> {
    nextest::install()?;
    let workspace = Workspace::read()?;
    let binaries = nextest::binaries()?;
    let ids: Vec<_> = binaries
        .iter()
        .filter(|(package, binary)| binary == MATRIX || shows_conformance(&workspace, package))
        .map(|(_, binary)| binary.as_str())
        .collect();
    if !ids.contains(&MATRIX) {
        return Err(format!("there is no test binary `{MATRIX}`, which has a test for each runtime with each store"));
    }
    let filter: Vec<_> = ids.iter().map(|id| format!("binary_id(={id})")).collect();
    let names = stores::names();
    let servers = Servers::start(&workspace, &stores::servers())?;
    let (tests, result) = nextest::run_tests(&workspace, Some(&filter.join(" | ")), Flaky::Fail, servers.variables());
    let table = Table::new(&tests, &names);
    println!("\n{table}");
    if let Err(failure) = &result {
        println!("{failure}");
    }
    Ok(result.is_ok())
}

/// Whether the package holds stores, or adapts a runtime. The facade has the matrix, and more that is of no use here.
fn shows_conformance(workspace: &Workspace, package: &str) -> bool {
    let package = workspace.packages.iter().find(|known| known.name == package);
    let adapts = |needs: &[String]| needs.iter().any(|need| need == "scheduler-runtime");
    package.is_some_and(|it| it.name == STORES || it.name.starts_with("scheduler-") && adapts(&it.needs))
}

/// Runtimes down, stores across; at the edges what each passed by itself.
#[derive(Debug, Default)]
struct Table {
    runtimes: BTreeSet<String>,
    stores: BTreeSet<String>,
    cells: BTreeMap<(String, String), Count>,
    of_store: BTreeMap<String, Count>,
    of_runtime: BTreeMap<String, Count>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u32,
    of: u32,
}

impl Table {
    fn new(tests: &[Test], stores: &[&str]) -> Self {
        let mut table = Self { stores: stores.iter().map(|store| (*store).to_owned()).collect(), ..Self::default() };
        for test in tests.iter().filter(|test| test.binary == MATRIX) {
            let mut parts = test.name.split("::");
            if let (Some(runtime), Some(store), Some(_)) = (parts.next(), parts.next(), parts.next()) {
                table.runtimes.insert(runtime.to_owned());
                table.stores.insert(store.to_owned());
                table.cells.entry((runtime.to_owned(), store.to_owned())).or_default().add(test);
            }
        }
        for test in tests.iter().filter(|test| test.binary != MATRIX) {
            table.add_to_edge(test);
        }
        table
    }

    fn add_to_edge(&mut self, test: &Test) {
        let package = test.binary.split("::").next().unwrap_or_default();
        if package == STORES {
            let mut parts = test.binary.split("::").chain(test.name.split("::"));
            if let Some(store) = parts.find(|part| self.stores.contains(*part)) {
                self.of_store.entry(store.to_owned()).or_default().add(test);
            }
            return;
        }
        let runtime = package.trim_start_matches("scheduler-").replace('-', "_");
        if self.runtimes.contains(&runtime) {
            self.of_runtime.entry(runtime).or_default().add(test);
        }
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let text = |count: Option<&Count>| count.map_or_else(|| "-".to_owned(), ToString::to_string);
        let mut header = vec!["tests passed".to_owned()];
        header.extend(self.stores.iter().cloned());
        header.push("the runtime itself".to_owned());
        let mut rows = vec![header];
        for runtime in &self.runtimes {
            let cells = self.stores.iter().map(|store| text(self.cells.get(&(runtime.clone(), store.clone()))));
            let edge = text(self.of_runtime.get(runtime));
            rows.push(std::iter::once(runtime.clone()).chain(cells).chain([edge]).collect());
        }
        let edge = self.stores.iter().map(|store| text(self.of_store.get(store)));
        rows.push(std::iter::once("the store itself".to_owned()).chain(edge).chain([String::new()]).collect());
        rows
    }
}

/// In Markdown, aligned.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let columns = rows[0].len();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{:-<1$}", "", width + 2))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

impl Count {
    fn add(&mut self, test: &Test) {
        self.of += 1;
        self.passed += u32::from(test.has_passed);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed == self.of { write!(f, "{}", self.of) } else { write!(f, "{} of {}", self.passed, self.of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn test(binary: &str, name: &str, has_passed: bool) -> Test {
        Test { binary: binary.into(), name: name.into(), has_passed, is_flaky: false }
    }

    #[test]
    fn the_table_grows_with_the_names_of_the_tests() {
        let tests = [
            test(MATRIX, "tokio::memory::a_job_runs", true),
            test(MATRIX, "tokio::memory::a_job_is_retried", true),
            test(MATRIX, "tokio::sqlite::a_job_runs", true),
            test(MATRIX, "tokio::sqlite::a_job_is_retried", false),
            test(MATRIX, "async_std::memory::a_job_runs", true),
            test(MATRIX, "the_list_of_stores_is_complete", true),
            test("scheduler-stores", "memory::conformance::claims_are_exclusive", true),
            test("scheduler-stores::sqlite", "conformance::claims_are_exclusive", true),
            test("scheduler-stores::sqlite", "schema::migrates", true),
            test("scheduler-stores", "urls::are_read", true),
            test("scheduler-async-std", "conformance::sleeps", true),
            test("scheduler-core", "trigger::cron::fires", true),
        ];
        let table = Table::new(&tests, &["memory", "redis"]);
        assert_eq!(
            table.to_string(),
            "\
| tests passed     | memory | redis | sqlite | the runtime itself |
|------------------|--------|-------|--------|--------------------|
| async_std        | 1      | -     | -      | 1                  |
| tokio            | 2      | -     | 1 of 2 | -                  |
| the store itself | 1      | -     | 2      |                    |
"
        );
    }

    #[test]
    fn conformance_of_stores_and_adapters_is_run_with_the_matrix() {
        let package =
            |name: &str, need: &str| Package { name: name.into(), needs: vec![need.into()], ..Package::default() };
        let packages = vec![
            package("scheduler-core", ""),
            package("scheduler-stores", "scheduler-core"),
            package("scheduler-smol", "scheduler-runtime"),
            package("apscheduler", "scheduler-runtime"),
        ];
        let workspace = Workspace { root: "/w".into(), target: "/w/target".into(), packages };
        let shows = |package: &&str| shows_conformance(&workspace, package);
        let names = ["scheduler-core", "scheduler-stores", "scheduler-smol", "apscheduler", "xtask"];
        assert_eq!(names.into_iter().filter(shows).collect::<Vec<_>>(), ["scheduler-stores", "scheduler-smol"]);
    }
}
