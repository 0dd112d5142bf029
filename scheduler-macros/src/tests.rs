//! What the attributes refuse, and what they write.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use crate::expansion;

/// The message with which `#[task(..)]` refuses a function.
fn refused_as_task(arguments: &str, function: &str) -> String {
    refusal(expansion::task(tokens(arguments), tokens(function)))
}

/// The message with which `#[scheduled(..)]` refuses its arguments, on a function that takes nothing.
fn refused_as_scheduled(arguments: &str) -> String {
    refusal(expansion::scheduled(tokens(arguments), quote! { fn tick() {} }))
}

/// What `#[scheduled(..)]` writes, as text without spaces.
fn scheduled(arguments: &str, function: &str) -> String {
    let written = expansion::scheduled(tokens(arguments), tokens(function)).to_string();
    assert!(!written.contains("compile_error"), "{written}");
    written.split_whitespace().collect()
}

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("tokens of Rust")
}

/// The text in the `compile_error!` at the end of what was written.
fn refusal(written: TokenStream) -> String {
    let Some(TokenTree::Group(last)) = written.clone().into_iter().last() else {
        panic!("nothing is refused: {written}")
    };
    assert!(written.to_string().contains("compile_error"), "nothing is refused: {written}");
    syn::parse2::<syn::LitStr>(last.stream()).expect("the message").value()
}

#[test]
fn a_function_that_a_scheduler_cannot_call_is_refused_with_what_to_do() {
    for (function, message) in [
        ("struct Report;", "only a function can be a task"),
        ("const fn f() {}", "a const function cannot be a task: leave `const` out"),
        ("unsafe fn f() {}", "an unsafe function cannot be a task: a scheduler keeps no promises of its caller"),
        ("extern \"C\" fn f() {}", "an extern function cannot be a task: call it from one of Rust"),
        ("fn f(&self) {}", "a method cannot be a task: a function that takes what it needs as arguments can"),
        (
            "async fn f(self, x: u32) {}",
            "a method cannot be a task: a function that takes what it needs as arguments can",
        ),
        (
            "fn f<T: Clone>(x: T) {}",
            "a generic function cannot be a task: name the types, or call it from one that is not generic",
        ),
        (
            "fn f<'a>(x: Cow<'a, str>) {}",
            "a generic function cannot be a task: name the types, or call it from one that is not generic",
        ),
        ("fn f(to: &str) {}", "a task owns its arguments: take a `String`"),
        ("fn f(to: &[u32]) {}", "a task owns its arguments: take a `Vec`"),
        ("fn f(to: &Report) {}", "a task owns its arguments: take the value instead of a reference"),
        ("fn f(to: impl Display) {}", "the arguments are read from JSON, for which their type has a name: write it"),
        ("fn f(x: u32, context: RunContext) {}", "state and the context come first, before the arguments"),
        (
            "fn f(State(app): State<App>, x: u32, db: State<Db>) {}",
            "state and the context come first, before the arguments",
        ),
        (
            "fn f(_: State<A>, _: State<A>, _: State<A>, _: State<A>, _: State<A>, _: State<A>, _: State<A>, _: State<A>, \
             context: RunContext) {}",
            "a task takes at most 8 of `State` and `RunContext`: put some state into one struct",
        ),
        ("#[task] fn f() {}", "the function is a task already; add further jobs for it by code"),
        (
            "#[apscheduler::scheduled(every = \"1h\")] fn f() {}",
            "the function is a task already; add further jobs for it by code",
        ),
    ] {
        assert_eq!(refused_as_task("", function), message, "{function}");
    }
}

#[test]
fn more_than_one_argument_belongs_into_a_struct_or_tuple() {
    for function in [
        "fn f(to: String, copies: u32) {}",
        "fn f(context: RunContext, to: String, copies: u32) {}",
        "fn f(State(app): apscheduler::State<App>, to: String, copies: u32) {}",
    ] {
        let told = refused_as_task("", function);
        assert!(told.contains("into a struct") && told.contains("`(to, copies): (String, u32)`"), "{told}");
    }
}

#[test]
fn what_is_refused_still_is_the_function_that_it_was() {
    let written = expansion::task(quote! {}, quote! { pub fn f(to: &str) -> u32 { 7 } }).to_string();
    assert!(written.starts_with("pub fn f (to : & str) -> u32 { 7 }"), "{written}");
}

#[test]
fn options_that_are_not_there_are_told_with_those_that_are() {
    let told = refused_as_task("max_instanses = 2", "fn f() {}");
    assert!(told.starts_with("there is no option `max_instanses` here; there are name, crate, executor,"), "{told}");
    let told = refused_as_task("cron = \"* * * * *\"", "fn f() {}");
    assert!(told.ends_with("a time is given with `#[scheduled]`"), "{told}");
    for (arguments, message) in [
        ("name = \"a\", name = \"b\"", "`name` is given twice"),
        ("name", "write options as in `name = ..`, separated by commas"),
        ("name(x = 1)", "write a value, as in `name = ..`"),
        ("name = \"\"", "a task needs a name; without this option it is the function's"),
        ("crate = apscheduler", "`crate` is read by the compiler: write it as text in quotes"),
        ("timeout = \"30\"", "duration `30`: write it as in `1d 2h 3m 4.5s`, above zero"),
        ("timeout = \"0s\"", "duration `0s`: write it as in `1d 2h 3m 4.5s`, above zero"),
        ("timeout = \"0.0005s\"", "`timeout` of 500µs: at least 1ms, or none for no limit"),
        ("misfire_grace_time = \"0.0005s\"", "`misfire_grace_time` of 500µs: at least 1ms, or none for any lateness"),
        ("max_instances = 0", "`max_instances` of 0: at least 1"),
        ("retry = 0", "`retry` of 0: at least 1"),
        ("timeout = \"30s jitter 5s\"", "duration `30s jitter 5s`: write it as in `1d 2h 3m 4.5s`, above zero"),
    ] {
        assert_eq!(refused_as_task(arguments, "fn f() {}"), message, "{arguments}");
    }
}

#[test]
fn a_wrong_time_is_refused_in_the_words_of_the_scheduler() {
    for (arguments, message) in [
        ("cron = \"0 25 * * *\"", "crontab field `hour`: `25` at column 3: the value must be 0 to 23"),
        ("cron = \"TZ=UTC 0 25 * * *\"", "crontab field `hour`: `25` at column 10: the value must be 0 to 23"),
        ("trigger = \"crontab 0 25 * * *\"", "crontab field `hour`: `25` at column 11: the value must be 0 to 23"),
        (
            "cron = \"@every 5m\", timezone = \"Europe/Berlin\"",
            "`timezone` has no meaning beside this `cron`; leave it out",
        ),
        ("cron = \"0 0 30 2 *\"", "`crontab 0 0 30 2 *` never fires: there is no such time"),
        ("cron(hour = 9, minute = \"*/60\")", "cron field `minute`: `*/60` at column 1: the step must be 1 to 59"),
        (
            "cron(hours = 9)",
            "cron: no field `hours`; there are year, month, day, week, day_of_week, hour, minute and second",
        ),
        ("cron()", "cron: no field is given; give at least one, such as second='*' for every second"),
        ("cron(hour = NINE)", "a field is a number, or text in quotes"),
        ("cron = NINE", "`cron` is read by the compiler: write it as text in quotes"),
        ("every = \"10\"", "trigger `every 10`: `10`: write a duration as in 1d 2h 3m 4.5s"),
        ("every = \"0s\"", "interval: the period is zero; give at least one microsecond"),
        (
            "at = \"tomorrow\"",
            "date `tomorrow`: write it as in `2026-12-24T18:00:00Z`, or without `Z` and with a `timezone`",
        ),
        (
            "at = \"2026-12-24T18:00:00\"",
            "date `2026-12-24T18:00:00`: say where: `timezone = \"Europe/Berlin\"`, or an offset as in \
             `2026-12-24T18:00:00Z`",
        ),
        (
            "trigger = \"hourly\"",
            "trigger `hourly`: begin with date, every, calendar, cron, crontab, quartz, and, or, except or custom",
        ),
        (
            "cron = \"0 9 * * *\", timezone = \"Europe/Atlantis\"",
            "time zone `Europe/Atlantis`: the tz database has no such zone; an example is `Europe/Berlin`",
        ),
        (
            "cron = \"CRON_TZ=Asia/Tokyo 0 9 * * *\", timezone = \"Europe/Berlin\"",
            "the expression has a time zone of its own",
        ),
        ("every = \"1h\", timezone = \"Europe/Berlin\"", "`timezone` has no meaning beside this `every`; leave it out"),
        ("trigger = TRIGGER, jitter = \"5s\"", "`jitter` has no meaning beside this `trigger`; leave it out"),
        (
            "cron = \"0 9 * * *\", every = \"1h\"",
            "`cron` says when it runs already; add further jobs for the task by code",
        ),
    ] {
        assert_eq!(refused_as_scheduled(arguments), message, "{arguments}");
    }
    let told = refused_as_scheduled("quartz = \"0 9 * * *\"");
    assert!(told.ends_with("; for five fields use the crontab dialect"), "{told}");
    let told = refused_as_scheduled("");
    assert!(told.starts_with("say when it runs, with one of `cron = \"0 9 * * mon-fri\"`"), "{told}");
}

#[test]
fn one_instant_needs_a_grace_time_since_a_program_may_start_after_it() {
    let told = refused_as_scheduled("at = \"2026-12-24T18:00:00Z\"");
    assert!(told.starts_with("say how late it may still run, as in `misfire_grace_time = \"1h\"`"), "{told}");

    let written = scheduled("at = \"2026-12-24T18:00:00Z\", misfire_grace_time = \"1h\"", "fn f() {}");
    assert!(written.contains(".when_finished(::apscheduler::WhenFinished::Keep)"), "{written}");
    let both = "at = \"2026-12-24T18:00:00Z\", misfire_grace_time = \"1h\", when_finished = WhenFinished::Remove";
    let written = scheduled(both, "fn f() {}");
    assert!(!written.contains("Keep"), "{written}");
}

#[test]
fn each_way_to_say_when_becomes_the_text_of_a_trigger() {
    for (arguments, text) in [
        ("cron = \"0 9 * * mon-fri\", timezone = \"Europe/Berlin\"", "crontab 0 9 * * mon-fri in Europe/Berlin"),
        ("cron = \"H 3 * * *\", jitter = \"1m\"", "crontab H 3 * * * jitter 1m"),
        ("cron = \"0 0 1 * * 1-5\"", "crontab 0 0 1 * * 1-5"),
        ("cron = \"TZ=Asia/Tokyo 0 9 * * monday\"", "crontab 0 9 * * monday in Asia/Tokyo"),
        ("cron = \"@every 1h30m\", jitter = \"5s\"", "every 1h 30m jitter 5s"),
        ("cron(day_of_week = \"mon-fri\", hour = 9)", "cron day_of_week='mon-fri' hour='9'"),
        ("quartz = \"0 0 9 LW * ?\"", "quartz 0 0 9 LW * ?"),
        ("every = \"90m\", jitter = \"5s\"", "every 1h 30m jitter 5s"),
        ("every = \"1h starting now\"", "every 1h starting now"),
        ("trigger = \"calendar 1m at 09:00:00 in Europe/Berlin\"", "calendar 1m at 09:00:00 in Europe/Berlin"),
        (
            "at = \"2026-12-24T18:00:00\", timezone = \"Europe/Berlin\", misfire_grace_time = \"1h\"",
            "date 2026-12-24T17:00:00Z",
        ),
    ] {
        let written = scheduled(arguments, "fn tick() {}");
        let text: String = format!("{text:?}").split_whitespace().collect();
        assert!(written.contains(&format!("from_str({text})")), "{arguments}: {written}");
    }
    let written = scheduled("trigger = Interval::hours(1)", "fn tick() {}");
    assert!(written.contains("Self::job(Interval::hours(1),)"), "{written}");
}

#[test]
fn arguments_are_given_if_and_only_if_the_function_takes_them() {
    let takes = quote! { fn greet(_: RunContext, name: String) {} };
    let told = refusal(expansion::scheduled(quote! { every = "1h" }, takes.clone()));
    assert_eq!(told, "the function takes arguments: say which with `args = ..`");
    assert_eq!(refused_as_scheduled("every = \"1h\", args = 7"), "the function takes no arguments");

    let written = scheduled("every = \"1h\", args = \"ann\"", &takes.to_string());
    assert!(written.contains("::core::convert::Into::into(\"ann\")"), "{written}");
}

#[test]
fn the_type_is_as_visible_as_the_function_and_under_the_same_conditions() {
    let written =
        expansion::task(quote! { crate = "::other" }, quote! { #[cfg(unix)] pub(crate) async fn r#type() {} });
    let written: String = written.to_string().split_whitespace().collect();
    assert!(written.contains("pub(crate)enumr#type{}"), "{written}");
    assert!(written.contains("#[cfg(unix)]implr#type"), "{written}");
    assert!(written.contains("constNAME:&'staticstr=\"type\";"), "{written}");
    assert!(written.contains("::other::executors::task(Self::NAME,r#type)"), "{written}");
    assert!(!written.contains("apscheduler"), "{written}");
}
