//! The first programs of the README and the guide can be pasted into an empty folder with the `Cargo.toml` that is printed
//! before them: whatever crate and feature they use is in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use toml::Table;

/// A printed `[dependencies]`, and the program after it.
struct Printed {
    dependencies: Table,
    program: String,
}

fn printed(document: &str) -> Vec<Printed> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            // What the documentation hides is not pasted.
            let shown = block.into_iter().filter(|line| !line.starts_with("# ") && *line != "#");
            blocks.push((language.to_owned(), shown.collect::<Vec<_>>().join("\n")));
        }
    }
    let pairs = blocks.windows(2).filter(|pair| pair[0].0 == "toml" && pair[0].1.contains("[dependencies]"));
    pairs
        .map(|pair| {
            assert!(pair[1].0.starts_with("rust"), "a program follows:\n{}", pair[0].1);
            let manifest: Table = toml::from_str(&pair[0].1).unwrap();
            Printed { dependencies: manifest["dependencies"].as_table().unwrap().clone(), program: pair[1].1.clone() }
        })
        .collect()
}

/// The first names of all paths, as in `serde` of `serde::Deserialize`, but for what the program brings into scope itself.
fn crates_of(program: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let starts = program.match_indices("::").map(|(at, _)| {
        let before = &program[..at];
        let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        (start, &before[start..])
    });
    let firsts = starts.filter(|(start, name)| {
        let is_first = !program[..*start].ends_with("::");
        is_first && name.starts_with(|c: char| c.is_lowercase())
    });
    let known = ["std", "core", "crate", "self", "super"];
    firsts.map(|(_, name)| name).filter(|name| !known.contains(name)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn features(dependencies: &Table, of: &str) -> Vec<String> {
    let features = dependencies.get(of).and_then(|it| it.get("features")).and_then(|it| it.as_array());
    features.into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

#[test]
fn the_first_programs_have_all_that_they_need_in_their_manifest() {
    let manifest: Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let version = manifest["workspace"]["package"]["version"].as_str().unwrap();
    for path in ["README.md", "src/guide/getting_started.md"] {
        let printed = printed(&read(path));
        assert!(!printed.is_empty(), "{path} has a first program");
        for Printed { dependencies, program } in printed {
            for name in crates_of(&program) {
                assert!(
                    dependencies.contains_key(name),
                    "{path}: `{name}` is used and not in the manifest:\n{program}"
                );
            }
            let derives =
                program.contains("derive(") && (program.contains("Deserialize") || program.contains("Serialize"));
            assert!(
                !derives || features(&dependencies, "serde").contains(&"derive".to_owned()),
                "{path}: serde's derive"
            );
            let full = features(&dependencies, "tokio").contains(&"full".to_owned());
            assert!(!program.contains("tokio::") || full, "{path}: tokio has what `main` and `signal` need");
            let ours = features(&dependencies, "apscheduler");
            for (store, feature) in [("SqliteStore", "sqlite"), ("PostgresStore", "postgres"), ("MySqlStore", "mysql")]
            {
                assert!(!program.contains(store) || ours.iter().any(|it| it == feature), "{path}: `{feature}`");
            }
            let asked = dependencies["apscheduler"]["version"].as_str().unwrap();
            assert!(version.starts_with(asked), "{path} asks for {asked}, and this is {version}");
            let known = manifest["features"].as_table().unwrap();
            assert!(ours.iter().all(|feature| known.contains_key(feature)), "{path}: {ours:?}");
        }
    }
}

#[test]
fn a_crate_that_is_used_is_seen() {
    let program = "use serde::Deserialize;\n#[tokio::main]\nlet a = serde_json::json!({});\nScheduler::builder(std::io::empty());";
    assert_eq!(crates_of(program), BTreeSet::from(["serde", "serde_json", "tokio"]));
    let document = "```toml\n[dependencies]\na = \"1\"\n```\n\n```rust,no_run\n# use hidden::it;\nuse b::c;\n```\n";
    let [printed] = &printed(document)[..] else { panic!("one program is printed") };
    assert_eq!(crates_of(&printed.program), BTreeSet::from(["b"]));
    assert!(printed.dependencies.contains_key("a"));
}
