//! What cargo knows of this workspace.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{cargo, output};

/// The workspace, as `cargo metadata` tells it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// Features that others switch on: what several stores have in common.
pub(crate) const INTERNAL: [&str; 1] = ["sql-servers"];

/// A package of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its features but for `default`.
    pub(crate) features: Vec<String>,
    /// The packages of this workspace that it needs outside of tests.
    pub(crate) needs: Vec<String>,
    /// Whether it goes to the registry.
    pub(crate) is_published: bool,
    /// The names of its programs, if it is in `examples`.
    pub(crate) examples: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self, String> {
        let json = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
        Self::parse(&json)
    }

    fn parse(json: &str) -> Result<Self, String> {
        let metadata: Value = serde_json::from_str(json).map_err(|error| format!("cargo metadata: {error}"))?;
        let packages = elements(&metadata["packages"]).map(package).collect();
        let folder = |key| metadata[key].as_str().map(PathBuf::from).ok_or_else(|| format!("cargo metadata: no {key}"));
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, packages })
    }

    /// A folder for one kind of work, under cargo's own.
    pub(crate) fn scratch(&self, kind: &str) -> PathBuf {
        Path::new(&self.target).join("xtask").join(kind)
    }
}

fn package(json: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_in_examples = json["manifest_path"].as_str().is_some_and(|path| path.contains("/examples/"));
    let is_example = |target: &&Value| is_in_examples && elements(&target["kind"]).any(|kind| kind == "bin");
    let is_internal = |need: &&Value| !need["path"].is_null() && need["kind"].is_null();
    Package {
        name: text(&json["name"]),
        features: keys(&json["features"]).filter(|feature| *feature != "default").map(ToOwned::to_owned).collect(),
        needs: elements(&json["dependencies"]).filter(is_internal).map(|need| text(&need["name"])).collect(),
        is_published: json["publish"].is_null(),
        examples: elements(&json["targets"]).filter(is_example).map(|target| text(&target["name"])).collect(),
    }
}

/// The elements of an array; none of anything else.
fn elements(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

/// The keys of an object; none of anything else.
fn keys(json: &Value) -> impl Iterator<Item = &str> {
    json.as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_examples_and_inner_needs_are_read_from_cargo() {
        let json = r#"{
            "workspace_root": "/w", "target_directory": "/w/target",
            "packages": [{
                "name": "scheduler-stores",
                "manifest_path": "/w/stores/Cargo.toml",
                "features": {"default": [], "sqlite": ["dep:sqlx"], "redis": [], "tls": []},
                "dependencies": [
                    {"name": "scheduler-core", "path": "/w/scheduler-core", "kind": null},
                    {"name": "scheduler-testkit", "path": "/w/scheduler-testkit", "kind": "dev"},
                    {"name": "sqlx", "kind": null}
                ],
                "targets": [{"kind": ["lib"], "name": "scheduler_stores"}, {"kind": ["bin"], "name": "tool"}]
            }, {
                "name": "examples-tokio",
                "publish": [],
                "manifest_path": "/w/examples/tokio/Cargo.toml",
                "targets": [{"kind": ["bin"], "name": "hello"}, {"kind": ["test"], "name": "http"}]
            }]
        }"#;
        let workspace = Workspace::parse(json).unwrap();
        assert_eq!(workspace.packages[0].features, ["redis", "sqlite", "tls"]);
        assert_eq!(workspace.packages[0].needs, ["scheduler-core"]);
        assert_eq!(workspace.packages.iter().map(|it| it.is_published).collect::<Vec<_>>(), [true, false]);
        assert_eq!(
            (&workspace.packages[0].examples[..], &workspace.packages[1].examples[..]),
            (&[][..], &["hello".to_owned()][..])
        );
        assert_eq!(workspace.scratch("examples"), Path::new("/w/target/xtask/examples"));
        assert!(Workspace::parse("{}").is_err());
    }
}
