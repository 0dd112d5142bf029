//! What the documentation says is shown by a test.

use std::{fs, path::Path};

#[test]
fn each_test_that_the_documentation_names_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(package.join("src/scheduler/what_happens.md")).unwrap();
    // Those of all runtimes are in the workspace, and not in this package.
    let of_workspace = package.parent().unwrap().join("tests/handles.rs");
    let files = ["background", "endings", "handles", "life", "local", "pumped", "state"];
    let is_test = |word: &&str| word.split_once("::").is_some_and(|(file, _)| files.contains(&file));
    let names: Vec<_> = text.split('`').filter(is_test).collect();
    assert!(names.len() > 30, "{names:?}");

    for name in names {
        let path: Vec<_> = name.split("::").collect();
        let (file, test) = match path[..] {
            ["handles", runtime, test] if of_workspace.exists() => {
                let source = fs::read_to_string(&of_workspace).unwrap();
                let module = source.split(&format!("\nmod {runtime} {{")).nth(1).expect(name);
                (module.split("\n}").next().unwrap().to_owned(), test)
            }
            ["handles", ..] => continue,
            [file, test] => {
                (fs::read_to_string(package.join("tests/scheduler").join(file).with_extension("rs")).unwrap(), test)
            }
            _ => panic!("{name} is no test"),
        };
        assert!(file.contains(&format!("fn {test}(")), "there is no test {name}");
    }
}
