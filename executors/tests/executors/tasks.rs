use std::{convert::Infallible, fmt, io};

use futures_lite::future::{self, block_on};
use scheduler_core::{ErrorKind, Outcome, RunContext, Task};
use scheduler_executors::{Inline, Tasks, blocking, task};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::runs::{dispatch, ok, outcome};
use scheduler_core::Executor as _;

#[derive(Debug, Deserialize, Serialize)]
struct Mail {
    to: Vec<String>,
    #[serde(default)]
    copies: u8,
}

#[derive(Deserialize)]
#[serde(default)]
struct Limits {
    days: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { days: 30 }
    }
}

fn with_args(task: &Task, args: Value) -> Outcome {
    block_on(Inline::new().start(dispatch(task, args)))
}

#[test]
fn functions_with_each_list_of_parameters_are_tasks() {
    async fn bare() -> u8 {
        1
    }
    async fn contextual(context: RunContext) -> String {
        context.job_id.to_string()
    }
    async fn typed(mail: Mail) -> Result<Mail, Infallible> {
        Ok(mail)
    }
    async fn both(context: RunContext, mail: Mail) -> String {
        format!("{} to {:?}", context.run_id.seq, mail.to)
    }
    let mail = || json!({"to": ["ann"], "copies": 2});

    assert_eq!(with_args(&task("t", bare), json!(null)), ok(1));
    assert_eq!(with_args(&task("t", contextual), json!({})), ok("nightly"));
    assert_eq!(with_args(&task("t", typed), mail()), ok(mail()));
    assert_eq!(with_args(&task("t", both), mail()), ok("7 to [\"ann\"]"));

    assert_eq!(with_args(&blocking("t", || 1), json!([])), ok(1));
    assert_eq!(with_args(&blocking("t", |context: RunContext| context.fence), json!(null)), ok(3));
    assert_eq!(with_args(&blocking("t", |(a, b): (u8, u8)| a + b), json!([2, 3])), ok(5));
    let both = |context: RunContext, mail: Mail| u64::from(mail.copies) + context.run_id.seq;
    assert_eq!(with_args(&blocking("t", both), mail()), ok(9));
}

#[test]
fn closures_of_each_kind_are_tasks() {
    let greeting = String::from("hello");
    let greet = move |name: String| {
        let greeting = greeting.clone();
        async move { format!("{greeting}, {name}") }
    };
    assert_eq!(with_args(&task("t", greet), json!("ann")), ok("hello, ann"));
    assert_eq!(with_args(&task("t", async |days: u32| days + 1), json!(6)), ok(7));
    assert_eq!(with_args(&task("t", || future::ready(1)), json!(null)), ok(1));
}

#[test]
fn what_a_task_returns_becomes_its_outcome() {
    #[derive(Debug)]
    struct Sourced(io::Error);
    impl fmt::Display for Sourced {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if f.alternate() { write!(f, "backup failed: {}", self.0) } else { f.write_str("backup failed") }
        }
    }
    let sourced = || Err::<(), _>(Sourced(io::Error::other("disk full")));
    let unwritable = || Ok::<_, Infallible>(std::collections::BTreeMap::from([((1, 2), 3)]));

    assert_eq!(outcome(&Inline::new(), &blocking("t", || {})), ok(json!(null)));
    assert_eq!(outcome(&Inline::new(), &blocking("t", || Some(1.5))), ok(1.5));
    assert_eq!(outcome(&Inline::new(), &blocking("t", || vec!["a", "b"])), ok(json!(["a", "b"])));
    assert_eq!(outcome(&Inline::new(), &blocking("t", || Outcome::Cancelled)), Outcome::Cancelled);
    assert_eq!(outcome(&Inline::new(), &task("t", || async { Err::<u8, _>("no") })), Outcome::Error("no".into()));
    assert_eq!(
        outcome(&Inline::new(), &blocking("t", sourced)),
        Outcome::Error("backup failed: disk full".into()),
        "the error's sources are told"
    );
    assert_eq!(
        outcome(&Inline::new(), &blocking("t", unwritable)),
        Outcome::Error("the task succeeded, but its result cannot be written as JSON: key must be a string".into())
    );
}

#[test]
fn wrong_arguments_are_told_when_the_job_is_added_and_when_it_runs() {
    let bare = blocking("t", || {});
    let contextual = task("t", |_: RunContext| async {});
    let mail = task("t", |mail: Mail| async move { mail.copies });
    let nested = blocking("t", |_: RunContext, _: Option<Vec<Mail>>| {});
    let nothing = "the task takes no arguments, but the job has";

    for (task, args, message) in [
        (&bare, json!({"a": 1}), format!(r#"{nothing} {{"a":1}}"#)),
        (&contextual, json!(0), format!("{nothing} 0")),
        (&contextual, json!(["ü".repeat(200)]), format!("{nothing} [\"{} ...", "ü".repeat(78))),
        (&mail, json!(null), "the task takes `Mail`, but the job has no arguments".into()),
        (&mail, json!({}), "the task takes `Mail`, which these arguments are not: missing field `to`".into()),
        (
            &mail,
            json!({"to": ["ann", null]}),
            "the task takes `Mail`, which these arguments are not: to[1]: invalid type: null, expected a string".into(),
        ),
        (
            &nested,
            json!([{"to": [], "copies": 256}]),
            "the task takes `Option<Vec<Mail>>`, which these arguments are not: [0].copies: \
             invalid value: integer `256`, expected u8"
                .into(),
        ),
    ] {
        assert_eq!(task.check(&args), Err(message.clone()), "{args}");
        assert_eq!(with_args(task, args), Outcome::Error(message));
    }
}

#[test]
fn a_job_without_arguments_fits_a_struct_of_defaults_and_an_option() {
    let limits = blocking("t", |limits: Limits| limits.days);
    let option = blocking("t", |days: Option<u32>| days);

    for (task, args, result) in [
        (&limits, json!(null), json!(30)),
        (&limits, json!({}), json!(30)),
        (&limits, json!({"days": 3}), json!(3)),
        (&option, json!(null), json!(null)),
        (&option, json!(3), json!(3)),
    ] {
        assert_eq!(task.check(&args), Ok(()), "{args}");
        assert_eq!(with_args(task, args), ok(result));
    }
}

#[test]
fn a_type_that_panics_while_it_is_read_is_an_error_of_the_arguments() {
    struct Broken;
    impl<'de> Deserialize<'de> for Broken {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("out of cheese")
        }
    }
    let broken = blocking("t", |_: Broken| {});

    assert_eq!(broken.check(&json!(1)), Err("reading the arguments panicked: out of cheese".into()));
    assert_eq!(with_args(&broken, json!(1)), Outcome::Panicked("out of cheese".into()));
}

#[test]
fn a_registry_refuses_a_second_task_of_the_same_name_and_keeps_the_first() {
    let mut tasks = Tasks::new([blocking("b", || 1), blocking("a", || 2)]).unwrap();
    let names: Vec<_> = tasks.iter().map(|task| task.name().to_string()).collect();
    assert_eq!(names, ["a", "b"]);

    let error = tasks.add(blocking("a", || 3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "task `a` is registered twice; rename one of them");
    assert_eq!(outcome(&Inline::new(), tasks.task("a").unwrap()), ok(2));

    tasks.add(blocking("a", || 3).renamed("c")).unwrap();
    assert_eq!(tasks.into_iter().count(), 3);
}

#[derive(Debug, Deserialize)]
struct Letter {
    #[expect(dead_code, reason = "it is there to be read")]
    to: Option<String>,
    #[expect(dead_code, reason = "it is there to be read")]
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[expect(dead_code, reason = "it is there to be read")]
    text: String,
}

#[test]
fn a_field_that_the_task_does_not_know_is_refused_when_the_job_is_added_and_passed_over_at_a_run() {
    let task = blocking("send", |_: Letter| "sent");
    let args = json!({"too": "ann", "lines": [{"text": "dear"}, {"text": "ann", "colour": "red"}]});

    let refused = task.check(&args).unwrap_err();

    assert_eq!(
        refused,
        "the task takes `Letter`, which has no `lines.1.colour`, `too`; correct or leave out what is not known, or let a \
         field with `#[serde(flatten)]` take it"
    );
    assert!(task.check(&json!({"to": "ann"})).is_ok() && task.check(&json!(null)).is_ok());
    assert_eq!(block_on(Inline::new().start(dispatch(&task, args))), ok("sent"));
}
