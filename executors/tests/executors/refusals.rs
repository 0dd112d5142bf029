//! What the compiler says of functions that cannot be tasks. It is asked: a program of a few lines is checked against this library.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// What the compiler says of a program that it refuses.
#[track_caller]
fn refusal(program: &str) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("program.rs");
    let shared = "#![allow(unused)] use scheduler_core::{RunContext, State}; use scheduler_executors::*;";
    fs::write(&file, format!("{shared}\n{program}")).unwrap();
    let libraries = libraries();
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(folder.path())
        .arg("-L")
        .arg(format!("dependency={}", libraries.display()))
        .args(["scheduler_core", "scheduler_executors", "serde"].map(|name| external(&libraries, name)))
        .arg(&file)
        // From where the sources of this library are shown as they are for those of a registry.
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .output()
        .expect("the compiler that has built this test is there");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "the compiler takes it: {told}");
    told
}

/// The folder of the libraries that this test was built with.
fn libraries() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// A library as the compiler takes it: the one that was built last, if there are several.
fn external(libraries: &Path, name: &str) -> String {
    let files = fs::read_dir(libraries).unwrap().map(|file| file.unwrap().path());
    let is_it = |file: &PathBuf| {
        let file = file.file_name().unwrap().to_str().unwrap();
        file.strip_prefix(&format!("lib{name}-")).is_some_and(|rest| rest.ends_with(".rlib"))
    };
    let newest = files.filter(is_it).max_by_key(|file| fs::metadata(file).unwrap().modified().unwrap());
    format!("--extern={name}={}", newest.expect("it was built with this test").display())
}

#[test]
fn a_future_that_is_not_send_is_told_with_its_value_and_line_and_where_it_may_run() {
    let told = refusal(
        "
        async fn count(name: String) {
            let counted = std::rc::Rc::new(name);
            std::future::ready(()).await;
            println!(\"{counted}\");
        }
        fn tasks() { task(\"count\", count); }",
    );
    for part in [
        "error: future cannot be sent between threads safely",
        "the trait `Send` is not implemented for `Rc<String>`",
        "note: future is not `Send` as this value is used across an await",
        "has type `Rc<String>` which is not `Send`",
        "std::future::ready(()).await",
        "a task that is not `Send` can be one of `Scheduler::builder(..).local()`",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn a_closure_that_cannot_go_to_other_threads_is_told_with_what_it_has_captured() {
    let told =
        refusal("fn tasks() { let n = std::rc::Rc::new(1); task(\"count\", move || { let _ = &n; async {} }); }");
    assert!(told.contains("`Rc<i32>` cannot be"), "{told}");
}

#[test]
fn a_function_of_another_form_is_told_with_the_forms_that_there_are() {
    for program in [
        "struct Mail; async fn mail(mail: Mail) {} fn tasks() { task(\"mail\", mail); }",
        "async fn mail(to: String, copies: u32) {} fn tasks() { task(\"mail\", mail); }",
        "async fn mail(to: String, app: State<u32>) {} fn tasks() { task(\"mail\", mail); }",
    ] {
        let told = refusal(program);
        assert!(told.contains("is not an async function that can be a task"), "{told}");
        assert!(told.contains("it takes any of `State<T>` and `RunContext`"), "{told}");
        assert!(told.contains("#[derive(serde::Deserialize)]"), "{told}");
    }
}
