//! Manifests and pages say what the code says.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use scheduler_core::{
    PartialOptions,
    store::{Clock, Durability},
};
use scheduler_stores::{KnownStore, STORES, StoreNews, StorePlace};

use crate::{stores::names, workspace::INTERNAL};

fn text(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of the first row of a table that begins with this one.
fn row<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| -> Vec<&'a str> {
        let line = line.trim_start_matches("///").trim_start_matches("//!").trim();
        line.strip_prefix('|').into_iter().flat_map(|line| line.split('|')).map(str::trim).collect()
    };
    text.lines().map(cells).find(|cells| cells.first().is_some_and(|cell| *cell == first)).unwrap_or_default()
}

#[test]
fn each_store_but_memory_is_a_feature_of_each_crate_that_has_them() {
    let known: BTreeSet<&str> = names().into_iter().filter(|name| *name != "memory").collect();
    for manifest in ["stores/Cargo.toml", "scheduler-config/Cargo.toml", "Cargo.toml"] {
        let manifest_text = text(manifest);
        let parsed: toml::Table = manifest_text.parse().unwrap();
        let features: BTreeSet<&str> = parsed["features"].as_table().unwrap().keys().map(String::as_str).collect();
        let missing: Vec<_> = known.difference(&features).collect();
        assert!(missing.is_empty(), "{manifest} lacks the features {missing:?}");
        if manifest.starts_with("stores") {
            let is_store = |name: &&&str| !INTERNAL.contains(name) && !["default", "tls"].contains(*name);
            let unknown: Vec<_> = features.difference(&known).filter(is_store).collect();
            assert!(unknown.is_empty(), "the features {unknown:?} of {manifest} are not in STORES");
        }
    }
}

#[test]
fn each_store_but_memory_is_switched_on_for_tests_and_measurements() {
    let known: BTreeSet<&str> = names().into_iter().filter(|name| *name != "memory").collect();
    for (manifest, section) in [
        ("Cargo.toml", "dev-dependencies"),
        ("test-support/Cargo.toml", "dependencies"),
        ("bench/Cargo.toml", "dependencies"),
    ] {
        let parsed: toml::Table = text(manifest).parse().unwrap();
        let given =
            parsed[section]["apscheduler"]["features"].as_array().unwrap().iter().filter_map(toml::Value::as_str);
        // What the bench does not always have is a feature of its own.
        let own = parsed["features"].as_table().unwrap().keys().map(String::as_str);
        let has_own = manifest.starts_with("bench");
        let there: BTreeSet<&str> = given.chain(own.filter(|_| has_own)).collect();
        let missing: Vec<_> = known.difference(&there).collect();
        assert!(missing.is_empty(), "{manifest}: `apscheduler` in its {section} lacks the features {missing:?}");
    }
}

#[test]
fn the_documentation_says_of_each_store_what_the_table_of_stores_says() {
    let (details, urls, guide) =
        (text("docs/stores.md"), text("scheduler-config/src/url.rs"), text("src/guide/stores.md"));
    let details = &details[details.find("## What each one promises").expect("the section")..];
    for store in STORES {
        let KnownStore { name, type_name, .. } = store;
        let row_of = row(details, &format!("`{type_name}`"));
        assert!(!row_of.is_empty(), "docs/stores.md, \"What each one promises\": no row for `{type_name}`");
        let clock = match store.clock {
            Clock::Server => "server",
            Clock::Caller => "caller",
        };
        assert_eq!(row_of.get(4), Some(&clock), "docs/stores.md: the clock of `{type_name}`");
        let news = match (store.news, store.place) {
            (StoreNews::Push, StorePlace::Process) => "at once",
            (StoreNews::Push, _) => "push",
            (StoreNews::Poll, _) => "poll",
            (news, _) => panic!("{news:?} has no word in the documentation"),
        };
        let told = row_of.get(3).copied().unwrap_or_default();
        assert!(told.starts_with(news), "docs/stores.md: `{type_name}` wakes others by {news}, not `{told}`");
        let is_kept = !row_of.get(1).copied().unwrap_or_default().contains("while the process lives");
        let durability = store.durability;
        assert_eq!(
            is_kept,
            durability == Durability::Durable,
            "docs/stores.md: `{type_name}` is {durability:?} in STORES"
        );

        let schemes: Vec<_> = store.schemes.iter().map(|scheme| format!("`{scheme}:`")).collect();
        assert!(!row(&urls, &schemes.join(", ")).is_empty(), "url.rs: no row for {}", schemes.join(", "));
        assert!(guide.contains(&format!("`{type_name}`")), "src/guide/stores.md does not mention `{type_name}`");
        if *name != "memory" {
            for page in ["README.md", "src/lib.rs", "stores/README.md", "stores/src/lib.rs"] {
                assert!(text(page).contains(&format!("`{name}`")), "{page} does not name the feature `{name}`");
            }
        }
    }
}

#[test]
fn the_documentation_names_each_option() {
    for page in ["scheduler-macros/src/task.md", "scheduler-config/src/lib.rs", "src/guide/configuration.md"] {
        let page_text = text(page);
        for name in PartialOptions::NAMES {
            let is_named = [format!("`{name}`"), format!("{name} = ")].iter().any(|form| page_text.contains(form));
            assert!(is_named, "{page} does not name the option `{name}`");
        }
    }
}

/// The guide's pages are left out: their links are rustdoc's, which checks them.
#[test]
fn each_link_to_a_file_leads_to_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let mut pages = Vec::new();
    find(root, &["target", "src", ".git"], &["md"], &mut pages);
    assert!(pages.len() > 20, "{pages:?}");
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let files = links.filter_map(|link| link.split('#').next()).filter(|link| is_file_link(link));
        let folder = page.parent().unwrap_or(root);
        dead.extend(files.filter(|file| !folder.join(file).exists()).map(|file| format!("{}: {file}", page.display())));
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// The widest line of a text or a comment: what two files side by side on a wide screen show.
const WIDEST: usize = 140;

#[test]
fn no_line_for_reading_is_wider_than_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let mut pages = Vec::new();
    find(root, &["target", ".git", "data", "samples"], &["md", "rs"], &mut pages);
    assert!(pages.len() > 400, "{}", pages.len());
    let mut wide = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let is_code = page.extension().is_some_and(|it| it == "rs");
        let mut is_verbatim = false;
        for (at, line) in text.lines().enumerate() {
            let words = line.trim_start().trim_start_matches(['/', '!']).trim_start();
            is_verbatim ^= words.starts_with("```");
            let is_read = !is_verbatim && (!is_code || line.trim_start().starts_with("//"));
            // A table and a picture are one line each in their languages.
            if is_read && line.chars().count() > WIDEST && !words.starts_with(['|', '!']) {
                wide.push(format!("{}:{}", page.display(), at + 1));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {WIDEST} characters:\n{}", wide.join("\n"));
}

/// The files below a folder with one of these extensions, without what is in folders of these names.
fn find(folder: &Path, skipped: &[&str], extensions: &[&str], pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            if !skipped.contains(&name.as_str()) {
                find(&path, skipped, extensions, pages);
            }
        } else if path.extension().is_some_and(|it| extensions.iter().any(|wanted| it == *wanted)) {
            pages.push(path);
        }
    }
}

fn is_file_link(link: &str) -> bool {
    !link.is_empty() && !link.contains(':') && !link.contains(char::is_whitespace)
}
