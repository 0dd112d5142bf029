//! Whether each crate can be published and stands alone: packed as the registry gets it, in the order in which they need each
//! other, with its page, its licences and a line in `RELEASING.md`.

use std::fs;

use crate::{
    process::{cargo, output},
    tally::Tally,
    workspace::Workspace,
};

/// What a package has beside its sources.
const FILES: [&str; 4] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"];

/// Packs all of them: cargo finds none that needs one which is not published, as through a dependency of tests with a version.
pub(crate) fn check(workspace: &Workspace) -> Result<Tally, String> {
    let releasing = fs::read_to_string(workspace.root.join("RELEASING.md")).map_err(|error| error.to_string())?;
    let names: Vec<&str> =
        workspace.packages.iter().filter(|it| it.is_published).map(|package| package.name.as_str()).collect();
    let mut command = cargo(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    command.args(names.iter().flat_map(|name| ["--package", name]));
    let mut tally = Tally::one(output(&mut command).map(drop));
    for name in names {
        let files = output(&mut cargo(["package", "--list", "--allow-dirty", "--package", name]))?;
        tally += Tally::one(complete(name, &files, &releasing));
    }
    Ok(tally)
}

fn complete(name: &str, files: &str, releasing: &str) -> Result<(), String> {
    let mut missing: Vec<&str> = FILES.into_iter().filter(|file| !files.lines().any(|line| line == *file)).collect();
    if !releasing.split_whitespace().any(|word| word == name) {
        missing.push("a place in the order of RELEASING.md");
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("the package of {name} lacks {}", missing.join(" and "))) }
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn what_a_package_lacks_is_named() {
        let files = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert_eq!(complete("scheduler-core", files, "scheduler-core first, then others"), Ok(()));
        let told = complete("scheduler-core", "src/lib.rs\nLICENSE-MIT\n", "scheduler-cores");
        let lacks = "README.md and LICENSE-APACHE and a place in the order of RELEASING.md";
        assert_eq!(told, Err(format!("the package of scheduler-core lacks {lacks}")));
    }
}
