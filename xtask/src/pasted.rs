//! The first programs of the README and the guide, as a newcomer pastes them: each with the dependencies that its page
//! names, and nothing else, in an empty folder.
//!
//! ```text
//! README.md             [dependencies] ..   #[tokio::main] async fn main() ..
//! README.md, blocking   apscheduler alone   fn main() ..
//! getting_started.md    [dependencies] ..   #[tokio::main] async fn main() ..
//! ```

use std::{fs, path::Path};

use crate::{
    extent::Extent,
    process::{cargo, run},
    tally::Tally,
    workspace::Workspace,
};

/// A program of a page, counted from 0, and the dependencies that it is to be built with: the first ones that the page names,
/// or these.
type Program = (&'static str, usize, Option<&'static str>);

const PROGRAMS: &[Program] = &[("README.md", 0, None), ("src/guide/getting_started.md", 0, None)];

/// Those that only [`Extent::Thorough`] compiles: the same crates with other features.
const OTHERS: &[Program] =
    &[("README.md", 1, Some("apscheduler = { version = \"0.1\", features = [\"sqlite\", \"thread\"] }\n"))];

/// Compiles each of them.
pub(crate) fn check(workspace: &Workspace, extent: Extent) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let others = if extent == Extent::Thorough { OTHERS } else { &[] };
    for (page, number, dependencies) in PROGRAMS.iter().chain(others) {
        let checked = paste(workspace, page, *number, *dependencies);
        tally += Tally::one(checked.map_err(|error| format!("program {number} of {page}, pasted: {error}")));
    }
    Ok(tally)
}

fn paste(workspace: &Workspace, page: &str, number: usize, dependencies: Option<&str>) -> Result<(), String> {
    let text = fs::read_to_string(workspace.root.join(page)).map_err(|error| error.to_string())?;
    let program = blocks(&text, "rust").nth(number).ok_or("there is no such program")?;
    let named = || blocks(&text, "toml").find_map(|block| block.strip_prefix("[dependencies]\n").map(str::to_owned));
    let dependencies = dependencies.map(str::to_owned).or_else(named).ok_or("the page names no dependencies")?;

    let folder = workspace.scratch("pasted");
    let written = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder)).and_then(|()| fs::write(&path, text))
    };
    let manifest = format!(
        "[package]\nname = \"pasted\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependencies}\n{}",
        unpublished(workspace)
    );
    written("Cargo.toml", &manifest).map_err(|error| error.to_string())?;
    written("src/main.rs", &program).map_err(|error| error.to_string())?;
    // The versions that everything else is tested with.
    fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock")).map_err(|error| error.to_string())?;
    run(cargo(["check"]).current_dir(&folder).env("CARGO_TARGET_DIR", &workspace.target))
}

/// What a newcomer's cargo finds at the registry, cargo finds here.
fn unpublished(workspace: &Workspace) -> String {
    let path = |name: &str| {
        let folder = match name {
            "apscheduler" => ".",
            "scheduler-stores" => "stores",
            "scheduler-executors" => "executors",
            folder => folder,
        };
        format!("{name} = {{ path = {:?} }}\n", Path::new(&workspace.root).join(folder))
    };
    let is_published =
        |name: &&str| name.starts_with("scheduler-") && *name != "scheduler-bench" || *name == "apscheduler";
    let names = workspace.packages.iter().map(|package| package.name.as_str()).filter(is_published);
    format!("\n[patch.crates-io]\n{}", names.map(path).collect::<String>())
}

/// The code blocks in a language, without the lines that rustdoc hides.
fn blocks<'a>(page: &'a str, language: &'a str) -> impl Iterator<Item = String> + 'a {
    let fenced = page.split("\n```").skip(1).step_by(2);
    let of_language = move |block: &&str| {
        let named = block.lines().next().unwrap_or_default();
        named == language || named.strip_prefix(language).is_some_and(|rest| rest.starts_with(','))
    };
    let shown = |block: &str| {
        let lines =
            block.lines().skip(1).filter(|line| line.trim_start() != "#" && !line.trim_start().starts_with("# "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    fenced.filter(of_language).map(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_by_their_language() {
        let page = "A page.\n\n```toml\n[dependencies]\na = \"1\"\n```\n\n```rust,no_run\n# hidden();\nfn main() {\n    #[x]\n}\n```\n";
        assert_eq!(blocks(page, "toml").collect::<Vec<_>>(), ["[dependencies]\na = \"1\"\n"]);
        assert_eq!(blocks(page, "rust").collect::<Vec<_>>(), ["fn main() {\n    #[x]\n}\n"]);
        assert_eq!(blocks(page, "sh").count(), 0);
    }
}
