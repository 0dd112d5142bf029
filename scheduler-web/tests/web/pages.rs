//! The pages: what they show, what can be done by their forms, and that no text becomes a part of them.

use std::time::Duration;

use http::StatusCode;
use scheduler_core::{JobSpec, Pause, Trigger, trigger::Custom, trigger::Interval};
use scheduler_runtime::{Scheduler, ShutdownMode};
use scheduler_web::{Access, Dashboard, Operation, Permissions};
use serde_json::json;

use crate::stage::{Told, get, pass, post, scheduler, unprotected, with_a_job};

/// Each page, of a job as well.
const PAGES: [&str; 8] = [
    "/",
    "/?page=now",
    "/?page=upcoming&hours=168",
    "/?page=jobs",
    "/?page=job&id=hourly",
    "/?page=runs",
    "/?page=put-aside",
    "/?page=nodes",
];

/// What a form did: the page that it leads to.
async fn done(dashboard: &Dashboard, target: &str, fields: &[(&str, &str)]) -> Told {
    let sent = post(target).header("sec-fetch-site", "same-origin").form(fields).of(dashboard).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let location = sent.header("location");
    assert!(location.starts_with('?'), "{location} is right below any path");
    get(&format!("/{location}")).of(dashboard).await
}

async fn state(scheduler: &Scheduler) -> String {
    scheduler.job("hourly").await.unwrap().unwrap().state.as_str().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_page_is_whole_and_has_nothing_from_elsewhere() {
    let scheduler = with_a_job().await;
    scheduler.add_job(JobSpec::new("wait", Interval::minutes(1)).id("slow")).await.unwrap();
    scheduler.add_job(JobSpec::new("fail", Interval::minutes(1)).id("broken").args("no paper")).await.unwrap();
    pass(Duration::from_secs(200)).await;
    let dashboard = unprotected(&scheduler);
    for page in PAGES {
        let told = get(page).of(&dashboard).await;
        assert_eq!(told.status, StatusCode::OK, "{page}");
        assert_eq!(told.header("content-type"), "text/html; charset=utf-8");
        assert!(told.text.trim_end().ends_with("</html>"), "{page}");
        for forbidden in
            ["http://", "https://", " style=", "<style", " onclick", "javascript:", "href=\"/", "action=\"/"]
        {
            assert!(!told.text.contains(forbidden), "{page} has {forbidden}");
        }
        assert_eq!(told.text.matches("<script").count(), 1, "{page}");
        assert_eq!(told.text.matches(" aria-current=\"page\"").count(), 1, "{page}");
        for asset in told.text.split("?asset=").skip(1).filter_map(|rest| rest.split('"').next()) {
            let link = format!("/?asset={}", asset.replace("&#38;", "&"));
            assert_eq!(get(&link).of(&dashboard).await.status, StatusCode::OK, "{link}");
        }
    }
    let now = get("/").of(&dashboard).await.text;
    assert!(now.contains("no paper") && now.contains("slow") && now.contains("Failed in the last 24 hours"), "{now}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_steered_by_forms() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let job = "/?page=job&store=default&id=hourly";

    let ran = done(&dashboard, job, &[("do", "run_job")]).await;
    assert!(ran.text.contains("asked to run now"), "{}", ran.text);
    let pause = [("do", "pause_job"), ("note", "no <paper>"), ("until", "2026-11-30 12:30")];
    let paused = done(&dashboard, job, &pause).await.text;
    assert!(paused.contains("no &#60;paper&#62;") && paused.contains("2026-11-30 12:30:00"), "{paused}");
    assert_eq!(state(&scheduler).await, "paused");
    done(&dashboard, job, &[("do", "resume_job")]).await;
    assert_eq!(state(&scheduler).await, "active");

    let preview = get("/?page=job&id=hourly&trigger=crontab+30+9+*+*+*+in+Europe/Berlin").of(&dashboard).await.text;
    assert!(preview.contains("Mon 2026-11-30 09:30:00 CET") && preview.contains("2026-11-30 08:30:00"), "{preview}");
    let unchanged = scheduler.job("hourly").await.unwrap().unwrap();
    assert_eq!(unchanged.body.trigger.to_string(), "every 1h");
    let wrong = get("/?page=job&id=hourly&trigger=crontab+99+*+*+*+*").of(&dashboard).await;
    assert_eq!(wrong.status, StatusCode::OK);
    assert!(wrong.text.contains("column"), "{}", wrong.text);
    assert!(!wrong.text.contains("Save this trigger"));
    done(&dashboard, job, &[("do", "reschedule_job"), ("trigger", "every 2h")]).await;
    assert_eq!(scheduler.job("hourly").await.unwrap().unwrap().body.trigger.to_string(), "every 2h");

    let why = get("/?page=job&id=hourly&at=2026-11-30+08:30").of(&dashboard).await.text;
    assert!(why.contains("that is not a fire time"), "{why}");

    let removed = done(&dashboard, job, &[("do", "remove_job")]).await;
    assert!(removed.text.contains("The job is removed."), "{}", removed.text);
    assert!(scheduler.job("hourly").await.unwrap().is_none());
    assert_eq!(get(job).of(&dashboard).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_counted_one_by_one_are_so_where_a_page_has_them_all_or_on_demand() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for number in 0..3 {
        scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id(format!("job-{number}"))).await.unwrap();
    }
    scheduler.pause_job("job-1").await.unwrap();
    let all = get("/?page=jobs&text=job-").of(&dashboard).await.text;
    assert!(all.contains("3 jobs: 2 active, 1 paused, 0 kept."), "{all}");
    let first = get("/?page=jobs&text=job-&limit=2").of(&dashboard).await.text;
    assert!(first.contains("More than 2 jobs.") && first.contains("all that match"), "{first}");
    assert!(first.contains("href=\"?page=jobs&#38;text=job-&#38;limit=2&#38;count=all\">Count them</a>"), "{first}");
    for filter in ["text=job-", "task=report&text=job-"] {
        let counted = get(&format!("/?page=jobs&{filter}&limit=2&count=all")).of(&dashboard).await.text;
        assert!(counted.contains("3 jobs: 2 active, 1 paused, 0 kept."), "{counted}");
    }
    let counted = get("/?page=jobs&limit=2").of(&dashboard).await.text;
    assert!(
        counted.contains("4 jobs: 3 active, 1 paused, 0 kept.") && counted.contains("all 4 that match"),
        "{counted}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_jobs_are_steered_after_a_question_that_says_how_many() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for id in ["a/b&c", "two", "three"] {
        scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id(id).tag("x")).await.unwrap();
    }
    let states = || async {
        let states = ["a/b&c", "two", "three", "hourly"].map(|id| scheduler.job(id));
        let mut named = Vec::new();
        for state in states {
            named.push(state.await.unwrap().map_or("none", |job| job.state.as_str()).to_owned());
        }
        named.join(" ")
    };
    let chosen = [("job", "store=default&id=a%2Fb%26c"), ("job", "store=default&id=two")];
    let asked = [&[("ask", "pause_job"), ("which", "chosen")], &chosen[..]].concat();
    let question = post("/?page=jobs&tag=x").form(&asked).of(&dashboard).await;
    assert_eq!(question.status, StatusCode::OK);
    assert!(question.text.contains("<h1>Pause 2 jobs?</h1>"), "{}", question.text);
    assert!(question.text.contains(r#"<input type="hidden" name="job" value="store=default&#38;id=a%2Fb%26c">"#));
    assert_eq!(states().await, "active active active active");
    let sent = [&[("do", "pause_job"), ("note", "no paper")], &chosen[..]].concat();
    let told = done(&dashboard, "/?page=jobs&tag=x", &sent).await;
    assert!(told.text.contains("2 jobs are paused now."), "{}", told.text);
    assert!(told.text.contains("name=\"tag\" value=\"x\""), "the filter is as it was: {}", told.text);
    assert_eq!(states().await, "paused paused active active");

    let listed = post("/?page=jobs&tag=x").form(&[("ask", "pause_job"), ("which", "listed")]).of(&dashboard).await;
    assert!(listed.text.contains("<h1>Pause 1 job?</h1>"), "those that are paused are not counted: {}", listed.text);
    let told = done(&dashboard, "/?page=jobs&tag=x", &[("do", "remove_job"), ("which", "listed")]).await;
    assert!(told.text.contains("3 jobs are removed."), "{}", told.text);
    assert_eq!(states().await, "none none none active");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_to_some_of_many_jobs_is_told_with_its_reasons() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let tides = Trigger::from(Custom::new("tides", json!("no <tide>")));
    scheduler.add_job(JobSpec::new("report", tides).id("ferry")).await.unwrap();
    pass(Duration::from_secs(5)).await;
    let jobs = [("do", "run_job"), ("job", "store=default&id=ferry"), ("job", "store=default&id=hourly")];
    let told = post("/?page=jobs").form(&jobs).of(&dashboard).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    assert!(told.text.contains("It is done to 1 job, and could not be done to 1:"), "{}", told.text);
    assert!(told.text.contains("no &#60;tide&#62;"), "{}", told.text);

    for (fields, status) in [
        (vec![("ask", "pause_job")], 422),
        (vec![("ask", "add_job"), ("which", "listed")], 400),
        (vec![("do", "<b>"), ("which", "listed")], 400),
        (vec![("which", "listed")], 400),
        (vec![("do", "pause_job"), ("job", "store=default")], 400),
        (vec![("do", "pause_job"), ("job", "store=none&id=hourly")], 404),
    ] {
        let told = post("/?page=jobs").form(&fields).of(&dashboard).await;
        assert_eq!(told.status.as_u16(), status, "{fields:?} {}", told.text);
    }
    assert_eq!(state(&scheduler).await, "active");
    let reader = Dashboard::new(scheduler.clone(), Access::by(|_| Permissions::read()));
    assert!(!get("/?page=jobs").of(&reader).await.text.contains("checkbox\" name"));
    for field in ["ask", "do"] {
        let refused = post("/?page=jobs").form(&[(field, "pause_job"), ("which", "listed")]).of(&reader).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    assert_eq!(state(&scheduler).await, "active");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_added_by_a_form_after_a_look_at_its_fire_times() {
    let scheduler = scheduler().await;
    let with = |permissions: Permissions| Dashboard::new(scheduler.clone(), Access::by(move |_| permissions.clone()));
    let developer = with(Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob));
    let job = [
        ("task", "report"),
        ("id", "nightly/1"),
        ("name", "The \"nightly\" one"),
        ("tags", "billing, at night,"),
        ("args", "{\"to\": [\"ann\"]}"),
        ("trigger", "crontab 30 2 * * * in Europe/Berlin"),
        ("executor", ""),
    ];
    let with_do = |name: &'static str, value: &'static str| [&job[..], &[(name, value)]].concat();
    let preview = post("/?page=add").form(&with_do("ask", "preview")).of(&developer).await.text;
    assert!(preview.contains("Tue 2026-12-01 02:30:00 CET") && preview.contains("Add this job"), "{preview}");
    assert!(preview.contains("02:30 is not shown by the clocks: it runs at 03:00"), "{preview}");
    assert!(preview.contains("value=\"billing, at night,\""), "what was written is still there: {preview}");
    assert!(scheduler.jobs().await.unwrap().is_empty());

    let added = done(&developer, "/?page=add", &with_do("do", "add_job")).await.text;
    assert!(added.contains("The job is added.") && added.contains("nightly/1"), "{added}");
    let found = scheduler.job("nightly/1").await.unwrap().unwrap();
    assert_eq!(found.body.args, json!({"to": ["ann"]}));
    assert_eq!(found.body.tags.iter().collect::<Vec<_>>(), ["at night", "billing"]);

    let target = "/?page=job&store=default&id=nightly/1";
    let change = [("do", "change_job"), ("task", "fail"), ("args", "\"no paper\""), ("name", "x"), ("tags", "")];
    done(&developer, target, &change).await;
    let changed = scheduler.job("nightly/1").await.unwrap().unwrap();
    assert_eq!((changed.body.task.as_str(), &changed.body.args), ("fail", &json!("no paper")));
    assert_eq!(changed.body.tags.iter().count(), 0);

    for (fields, told) in [
        (vec![("ask", "preview"), ("task", "report"), ("trigger", "crontab 99 * * * *")], "column"),
        (vec![("ask", "preview"), ("task", "report"), ("args", "ann")], "a text stands in quotes"),
    ] {
        let page = post("/?page=add").form(&fields).of(&developer).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(told) && !page.text.contains("Add this job"), "{}", page.text);
    }
    for (fields, status) in [
        (vec![("do", "add_job"), ("task", "none")], 422),
        (vec![("do", "add_job")], 400),
        (vec![("do", "add_job"), ("task", "report"), ("args", "{")], 422),
    ] {
        assert_eq!(post("/?page=add").form(&fields).of(&developer).await.status.as_u16(), status, "{fields:?}");
    }
    let operator = with(Permissions::steer());
    let page = get(target).of(&operator).await.text;
    assert!(!page.contains("Change …") && !get("/?page=jobs").of(&operator).await.text.contains("Add a job"), "{page}");
    for asked in [
        get("/?page=add"),
        post("/?page=add").form(&with_do("ask", "preview")),
        post("/?page=add").form(&with_do("do", "add_job")),
        post(target).form(&change),
    ] {
        assert_eq!(asked.of(&operator).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_clocks_do_to_a_job_is_on_its_page_and_among_what_comes() {
    let scheduler = scheduler().await;
    let dashboard = unprotected(&scheduler);
    let trigger = "crontab 30 2 * * * in Europe/Berlin".parse::<Trigger>().unwrap();
    scheduler.add_job(JobSpec::new("report", trigger).id("nightly")).await.unwrap();
    for page in ["/?page=job&id=nightly", "/?page=upcoming"] {
        let told = get(page).of(&dashboard).await.text;
        assert!(told.contains("02:30 is not shown by the clocks: it runs at 03:00"), "{told}");
        assert!(told.contains("2027-03-28 01:00:00"), "{told}");
    }
    let job = get("/api/v1/jobs/nightly").of(&dashboard).await.json();
    assert_eq!(job["clock_changes"][0]["effect"], "moved");
    let upcoming = get("/api/v1/upcoming").of(&dashboard).await.json();
    assert_eq!(upcoming["clock_changes"][0]["job"], "nightly");
    assert_eq!(upcoming["clock_changes"][0]["at"], "2027-03-28T01:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_by_the_form_beside_it() {
    let scheduler = scheduler().await;
    scheduler.add_job(JobSpec::new("wait", Interval::hours(5)).id("slow")).await.unwrap();
    let run = scheduler.run_job_now("slow").await.unwrap();
    pass(Duration::from_secs(1)).await;
    let dashboard = unprotected(&scheduler);
    let now = get("/").of(&dashboard).await.text;
    assert!(now.contains(&format!("name=\"run\" value=\"{run}\"")), "{now}");
    done(&dashboard, "/?page=job&store=default&id=slow", &[("do", "cancel_run"), ("run", &run.to_string())]).await;
    pass(Duration::from_secs(1)).await;
    let ended = scheduler.find_run(run).await.unwrap().unwrap();
    assert_eq!(ended.verdict().unwrap().as_str(), "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_form_that_cannot_be_done_says_why_and_changes_nothing() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let job = "/?page=job&id=hourly";
    for (target, fields, status) in [
        (job, vec![], 400),
        (job, vec![("do", "add_job")], 400),
        (job, vec![("do", "<u>")], 400),
        (job, vec![("do", "reschedule_job")], 400),
        (job, vec![("do", "reschedule_job"), ("trigger", "never")], 422),
        (job, vec![("do", "pause_job"), ("until", "tomorrow")], 400),
        (job, vec![("do", "pause_job"), ("until", "2020-01-01 00:00")], 422),
        (job, vec![("do", "cancel_run"), ("run", "x")], 400),
        (job, vec![("do", "remove_put_aside")], 409),
        ("/?page=job&id=none", vec![("do", "run_job")], 404),
        ("/?page=job", vec![("do", "run_job")], 400),
    ] {
        let told = post(target).form(&fields).of(&dashboard).await;
        assert_eq!(told.status.as_u16(), status, "{fields:?} {}", told.text);
        assert!(told.text.contains("class=\"problem\""), "{fields:?}");
        assert!(!told.text.contains("<u>"), "{fields:?}");
    }
    assert_eq!(
        post(job).json(&json!({"do": "run_job"})).of(&dashboard).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(state(&scheduler).await, "active");
}

/// What stands beside a form that was not done.
fn told_beside(page: &Told) -> &str {
    page.text.split_once("<p class=\"problem\" role=\"alert\">").unwrap().1.split("</p>").next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_form_that_cannot_be_done_keeps_what_was_typed() {
    let scheduler = with_a_job().await;
    let permissions = Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob);
    let dashboard = Dashboard::new(scheduler.clone(), Access::by(move |_| permissions.clone()));
    let job = "/?page=job&store=default&id=hourly";
    let chosen = ("job", "store=default&id=hourly");
    for (target, fields, why) in [
        (
            "/?page=add",
            vec![("do", "add_job"), ("task", "report"), ("id", "typed-id"), ("trigger", "crontab 61 * * * *")],
            "column 9",
        ),
        ("/?page=add", vec![("do", "add_job"), ("task", "typed-task")], "typed-task"),
        ("/?page=add", vec![("do", "add_job"), ("task", "report"), ("id", "hourly"), ("name", "typed-name")], "hourly"),
        (job, vec![("do", "reschedule_job"), ("trigger", "crontab 61 * * * *")], "column 9"),
        (
            job,
            vec![("do", "change_job"), ("task", "report"), ("name", "typed-name"), ("args", "[typed-args")],
            "not JSON",
        ),
        (job, vec![("do", "change_job"), ("task", "typed-task"), ("tags", "typed-tag")], "typed-task"),
        (job, vec![("do", "pause_job"), ("note", "typed-note"), ("until", "soon")], "soon"),
        ("/?page=jobs", vec![("do", "pause_job"), chosen, ("note", "typed-note"), ("until", "soon")], "soon"),
    ] {
        let page = post(target).form(&fields).of(&dashboard).await;
        assert!(page.status.is_client_error(), "{fields:?}: {}", page.status);
        assert!(told_beside(&page).contains(why), "{fields:?}: {}", told_beside(&page));
        for (name, value) in fields.iter().filter(|(name, _)| !["do", "job"].contains(name)) {
            let field = [format!("name=\"{name}\""), (*value).to_owned()];
            let is_kept = page.text.lines().any(|line| field.iter().all(|part| line.contains(part)));
            assert!(is_kept, "{fields:?} loses {name}: {}", page.text);
        }
    }
    assert_eq!(scheduler.jobs().await.unwrap().len(), 1);
    assert_eq!(state(&scheduler).await, "active");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_permitted_is_offered() {
    let scheduler = with_a_job().await;
    let with = |permissions: Permissions| Dashboard::new(scheduler.clone(), Access::by(move |_| permissions.clone()));
    let words = ["Run now", "Pause …", "Reschedule …", "Remove …"];

    let of_reader = get("/?page=job&id=hourly").of(&with(Permissions::read())).await.text;
    assert!(words.iter().all(|word| !of_reader.contains(word)), "{of_reader}");
    let of_operator = get("/?page=job&id=hourly").of(&with(Permissions::steer().by("anna"))).await.text;
    assert!(words.iter().all(|word| of_operator.contains(word)), "{of_operator}");
    assert!(of_operator.contains("Signed in as anna."));
    let of_runner = get("/?page=job&id=hourly").of(&with(Permissions::read().allow(Operation::RunJob))).await.text;
    assert_eq!(words.map(|word| of_runner.contains(word)), [true, false, false, false]);

    let nobody = with(Permissions::none());
    for page in PAGES.into_iter().skip(2) {
        let told = get(page).of(&nobody).await;
        assert_eq!(told.status, StatusCode::FORBIDDEN, "{page}");
        assert!(!told.text.contains("hourly") || page.contains("hourly"), "{page}");
    }
    let now = get("/").of(&nobody).await;
    assert!(!now.text.contains("hourly"), "{}", now.text);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_aside_is_shown_with_its_reason_and_removed() {
    let scheduler = with_a_job().await;
    let tides = Trigger::from(Custom::new("tides", json!("no <tide> any more")));
    scheduler.add_job(JobSpec::new("report", tides).id("ferry")).await.unwrap();
    pass(Duration::from_secs(5)).await;
    let dashboard = unprotected(&scheduler);

    let page = get("/?page=put-aside").of(&dashboard).await.text;
    assert!(page.contains("ferry") && page.contains("no &#60;tide&#62; any more"), "{page}");
    assert!(get("/?page=job&id=ferry").of(&dashboard).await.text.contains("It is put aside"));
    let listed = get("/api/v1/put-aside").of(&dashboard).await.json();
    assert_eq!(listed["put_aside"][0]["task"], "report");

    let removed = done(&dashboard, "/?page=put-aside&store=default&id=ferry", &[("do", "remove_put_aside")]).await;
    assert!(removed.text.contains("Nothing is put aside."), "{}", removed.text);
    assert!(scheduler.job("hourly").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_over_are_listed_if_they_are_asked_for() {
    let scheduler = scheduler().await;
    scheduler.add_job(JobSpec::now("report").id("once")).await.unwrap();
    pass(Duration::from_secs(5)).await;
    let dashboard = unprotected(&scheduler);
    assert!(!get("/?page=jobs").of(&dashboard).await.text.contains("once"));
    let finished = get("/?page=jobs&state=finished").of(&dashboard).await.text;
    assert!(finished.contains("once") && finished.contains("1 finished"), "{finished}");
    // Its page is that of a job that is there.
    assert!(!finished.contains("id=once"), "{finished}");
}

#[tokio::test(start_paused = true)]
async fn after_the_end_of_the_scheduler_the_pages_say_so() {
    let scheduler = with_a_job().await;
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    let dashboard = unprotected(&scheduler);
    for page in ["/", "/?page=nodes"] {
        let told = get(page).of(&dashboard).await;
        assert_eq!(told.status, StatusCode::OK, "{page}");
        assert!(told.text.contains("shut down"), "{}", told.text);
    }
    let jobs = get("/?page=jobs").of(&dashboard).await;
    assert_eq!(jobs.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(jobs.text.contains("class=\"problem\""), "{}", jobs.text);
    let nodes = get("/api/v1/nodes").of(&dashboard).await.json();
    assert_eq!(nodes["health"]["state"], "shut_down");
    assert!(nodes["nodes_error"].is_string(), "{nodes}");
    assert_eq!(post("/api/v1/jobs/hourly/run").of(&dashboard).await.json()["kind"], "shut_down");
}

/// The pages of a scheduler whose jobs have this text wherever one can be.
async fn with_text_everywhere(text: &str) -> Vec<String> {
    let scheduler = scheduler().await;
    let broken = JobSpec::new("fail", Interval::minutes(1)).id(format!("{text}1")).name(format!("{text}2"));
    scheduler.add_job(broken.args(text).tag(text).meta(json!({"note": text}))).await.unwrap();
    scheduler
        .add_job(JobSpec::new("report", Interval::minutes(1)).id("paused").args(json!({text: text})))
        .await
        .unwrap();
    scheduler.pause_job_with("paused", Pause::new().note(text).by(text)).await.unwrap();
    let tides = Trigger::from(Custom::new("tides", json!(text)));
    scheduler.add_job(JobSpec::new("report", tides).id(format!("{text}3"))).await.unwrap();
    pass(Duration::from_secs(130)).await;

    let access = {
        let text = text.to_owned();
        Access::by(move |_| {
            let permissions = Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob);
            permissions.by(&text)
        })
    };
    let dashboard = Dashboard::new(scheduler, access).title(text);
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut pages = Vec::new();
    for page in [
        "/".to_owned(),
        "/?page=upcoming".to_owned(),
        "/?page=jobs".to_owned(),
        format!("/?page=jobs&text={encoded}&task={encoded}&tag={encoded}"),
        format!("/?page=job&id={encoded}1"),
        format!("/?page=job&id={encoded}1&trigger={encoded}&at={encoded}"),
        "/?page=job&id=paused".to_owned(),
        format!("/?page=job&id={encoded}3"),
        "/?page=runs".to_owned(),
        format!("/?page=runs&id={encoded}&task={encoded}&node={encoded}"),
        format!("/?page=runs&since={encoded}"),
        "/?page=put-aside".to_owned(),
        format!("/?page={encoded}&done={encoded}"),
    ] {
        pages.push(get(&page).of(&dashboard).await.text);
    }
    let fields =
        ["task", "id", "name", "tags", "executor", "store", "args", "trigger", "paused"].map(|name| (name, text));
    let preview = post("/?page=add").form(&[&fields[..], &[("ask", "preview")]].concat()).of(&dashboard).await;
    assert_eq!(preview.status, StatusCode::OK);
    pages.push(preview.text);
    pages
}

#[tokio::test(start_paused = true)]
async fn no_text_of_a_job_becomes_an_element_or_an_attribute() {
    let benign = with_text_everywhere("benign").await;
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' autofocus onfocus='x",
        "{{ 7 * 7 }}</title>",
    ] {
        let pages = with_text_everywhere(hostile).await;
        assert!(
            pages
                .iter()
                .filter(|page| page.contains("alert") || page.contains("autofocus") || page.contains("7 * 7"))
                .count()
                > 8
        );
        for (page, same) in pages.iter().zip(&benign) {
            assert!(!page.contains(hostile), "{page}");
            for letter in ['<', '>', '"'] {
                let (is, was) = (page.matches(letter).count(), same.matches(letter).count());
                assert_eq!(is, was, "{letter} in a page with {hostile}: {page}");
            }
            assert!(!page.contains("' autofocus"), "{page}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_page_the_links_lead_up_to_those_that_are_there() {
    let dashboard = unprotected(&scheduler().await);
    for (path, up) in [("/jobs", "./"), ("/jobs/", "../"), ("/jobs/nightly", "../"), ("/a/b/c", "../../")] {
        let told = get(path).of(&dashboard).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
        for link in ["?page=now", "?page=jobs", "?asset=style.css"] {
            assert!(told.text.contains(&format!("href=\"{up}{link}")), "{path}: {}", told.text);
        }
        assert!(!told.text.contains("href=\"?"), "{path}: {}", told.text);
    }
}
