//! The API: what it answers, and that it is what its document says.

use std::{collections::BTreeSet, time::Duration};

use http::{Method, StatusCode};
use scheduler_core::{JobSpec, Output, trigger::Interval};
use serde_json::{Value, json};

use crate::stage::{ask, begin, get, pass, post, scheduler, unprotected, with_a_job};

#[tokio::test(start_paused = true)]
async fn a_job_is_found_steered_and_removed() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);

    let found = get("/api/v1/jobs?tag=billing&text=HOUR").of(&dashboard).await;
    assert_eq!(found.status, StatusCode::OK);
    let jobs = found.json();
    assert_eq!(jobs["jobs"][0]["id"], "hourly");
    assert_eq!(jobs["jobs"][0]["args"], "ann");
    assert_eq!(jobs["next"], Value::Null);
    assert_eq!(get("/api/v1/job-counts").of(&dashboard).await.json()["active"], 1);

    let job = get("/api/v1/jobs/hourly?fire_times=2").of(&dashboard).await.json();
    assert_eq!(job["trigger_in_words"], "every 1h, in real time");
    assert_eq!(job["fire_times"], json!(["2026-11-30T09:00:00Z", "2026-11-30T10:00:00Z"]));

    let until = json!({"note": "the printer is away", "until": "2026-11-30T12:30:00Z"});
    let paused = post("/api/v1/jobs/hourly/pause").json(&until).of(&dashboard).await.json();
    assert_eq!(paused["state"], "paused");
    assert_eq!(paused["pause"]["note"], "the printer is away");
    let job = get("/api/v1/jobs/hourly?fire_times=1").of(&dashboard).await.json();
    assert_eq!(job["fire_times"], json!(["2026-11-30T13:00:00Z"]));

    let resumed = post("/api/v1/jobs/hourly/resume").of(&dashboard).await.json();
    assert_eq!(resumed["state"], "active");
    let trigger = json!({"trigger": "crontab 30 9 * * mon in Europe/Berlin"});
    let changed = post("/api/v1/jobs/hourly/reschedule").json(&trigger).of(&dashboard).await.json();
    assert_eq!(changed["next_fire_time"], "2026-11-30T08:30:00Z");
    assert_eq!(changed["zone"], "Europe/Berlin");

    assert_eq!(ask(Method::DELETE, "/api/v1/jobs/hourly").of(&dashboard).await.status, StatusCode::NO_CONTENT);
    let gone = get("/api/v1/jobs/hourly").of(&dashboard).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone.header("content-type"), "application/problem+json");
    assert_eq!(gone.json()["kind"], "not_found");
}

#[tokio::test(start_paused = true)]
async fn many_jobs_are_steered_by_a_filter() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for number in 0..30 {
        let tag = if number % 3 == 0 { "billing" } else { "other" };
        let job = JobSpec::new("report", Interval::hours(1)).id(format!("job-{number}")).tag(tag);
        scheduler.add_job(job).await.unwrap();
    }
    let done = |path: &str| post(&format!("/api/v1/group/{path}"));
    let nobody = done("remove").of(&dashboard).await;
    assert_eq!(nobody.status, StatusCode::BAD_REQUEST);
    assert!(nobody.text.contains("all=true"), "{}", nobody.text);
    assert_eq!(done("remove?page=2").of(&dashboard).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(done("pause?state=finished").of(&dashboard).await.status, StatusCode::BAD_REQUEST);

    let paused = done("pause?tag=billing").json(&json!({"note": "the month is closed"})).of(&dashboard).await.json();
    assert_eq!(paused, json!({"done": 11, "failed": 0, "errors": []}));
    assert_eq!(
        scheduler.job("hourly").await.unwrap().unwrap().current_pause().unwrap().note.as_deref(),
        Some("the month is closed")
    );
    assert_eq!(done("resume?tag=billing&id_prefix=job-").of(&dashboard).await.json()["done"], 10);
    let trigger = json!({"trigger": "every 2h"});
    assert_eq!(done("reschedule?id_prefix=job-1").json(&trigger).of(&dashboard).await.json()["done"], 11);
    assert_eq!(scheduler.job("job-19").await.unwrap().unwrap().body.trigger.to_string(), "every 2h");
    assert_eq!(done("run?tag=other").of(&dashboard).await.json()["done"], 20);
    pass(Duration::from_secs(1)).await;
    assert_eq!(
        get("/api/v1/runs?verdict=ok&limit=100").of(&dashboard).await.json()["runs"].as_array().unwrap().len(),
        20
    );
    assert_eq!(done("remove?all=true").of(&dashboard).await.json()["done"], 31);
    assert!(scheduler.jobs().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_asked_for_seen_cancelled_and_explained() {
    let scheduler = scheduler().await;
    let dashboard = unprotected(&scheduler);
    scheduler.add_job(JobSpec::new("wait", Interval::hours(5)).id("slow")).await.unwrap();

    let asked = post("/api/v1/jobs/slow/run").of(&dashboard).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    let run = asked.json()["run"].as_str().unwrap().to_owned();
    pass(Duration::from_secs(1)).await;
    let running = get("/api/v1/runs?state=running").of(&dashboard).await.json();
    assert_eq!(running["runs"][0]["run"], run);
    assert_eq!(running["runs"][0]["job"], "slow");
    let nodes = get("/api/v1/nodes").of(&dashboard).await.json();
    assert_eq!(nodes["nodes"][0]["running"], 1);
    assert_eq!(nodes["health"]["state"], "running");

    let cancel = format!("/api/v1/jobs/slow/runs/{run}/cancel");
    assert_eq!(post(&cancel).of(&dashboard).await.status, StatusCode::ACCEPTED);
    pass(Duration::from_secs(1)).await;
    let ended = get("/api/v1/jobs/slow/runs?verdict=cancelled").of(&dashboard).await.json();
    assert_eq!(ended["runs"][0]["run"], run);

    let told = get("/api/v1/jobs/slow/explain?at=2026-11-30T13:00:00Z").of(&dashboard).await.json();
    assert_eq!(told["answer"], "next");
    assert!(told["text"].as_str().unwrap().contains("it will run"), "{told}");
    for nowhere in ["/api/v1/jobs/none/runs", "/api/v1/jobs/slow/runs/x/cancel"] {
        let method = if nowhere.ends_with("cancel") { Method::POST } else { Method::GET };
        assert_eq!(ask(method, nowhere).of(&dashboard).await.status, StatusCode::NOT_FOUND, "{nowhere}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_coming_hours_are_counted_over_all_jobs() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let minutely = "crontab * * * * *".parse::<scheduler_core::Trigger>().unwrap();
    scheduler.add_job(JobSpec::new("report", minutely).id("minutely")).await.unwrap();
    scheduler.add_job(JobSpec::new("report", Interval::seconds(1)).id("often")).await.unwrap();
    scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("asleep").paused()).await.unwrap();

    // Half a minute past the hour: no fire time lies where one part of the time ends and the next begins.
    pass(Duration::from_secs(30)).await;

    let upcoming = get("/api/v1/upcoming?hours=24&limit=3").of(&dashboard).await.json();
    assert_eq!(upcoming["jobs"], 3);
    assert_eq!(upcoming["is_complete"], true);
    assert_eq!(upcoming["seconds"], 900);
    let counts: Vec<u64> = upcoming["counts"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
    assert_eq!(counts.len(), 96);
    assert_eq!((counts[1], counts[2], counts[3], counts[4]), (0, 0, 1, 0));
    assert!((23..=24).contains(&counts.iter().sum::<u64>()), "{counts:?}");
    // What runs each second and each minute is told by itself; at the ends of the time by a few more or less.
    let frequent = upcoming["frequent"].as_array().unwrap();
    for (id, about) in [("often", 86_400), ("minutely", 1_440)] {
        let count = frequent.iter().find(|it| it["job"] == id).unwrap()["count"].as_u64().unwrap();
        assert!((about - 2..=about + 2).contains(&count), "{id} {count}");
    }
    let first: Vec<&str> =
        upcoming["fire_times"].as_array().unwrap().iter().map(|it| it["job"].as_str().unwrap()).collect();
    assert_eq!(first, ["often", "often", "often"]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_is_tried_before_it_is_given_to_a_job() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let uri = "/api/v1/preview?id=hourly&fire_times=2&trigger=crontab%200%209%20*%20*%20mon-fri";
    let preview = get(uri).of(&dashboard).await.json();
    assert_eq!(preview["fire_times"], json!(["2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z"]));
    assert_eq!(preview["zone"], "UTC");
    let wrong = get("/api/v1/preview?trigger=crontab%2099%20*%20*%20*%20*").of(&dashboard).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.json()["detail"].as_str().unwrap().contains("column"), "{}", wrong.text);
    let unchanged = scheduler.job("hourly").await.unwrap().unwrap();
    assert_eq!(unchanged.body.trigger.to_string(), "every 1h");
}

#[tokio::test(start_paused = true)]
async fn a_mistake_is_told_instead_of_overlooked() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for (asked, status) in [
        (get("/api/v1/jobs?stat=paused"), 400),
        (get("/api/v1/jobs?state=asleep"), 400),
        (get("/api/v1/jobs?limit=100000"), 400),
        (get("/api/v1/jobs?cursor=%7B"), 400),
        (get("/api/v1/jobs?store=none"), 404),
        (get("/api/v1/nothing"), 404),
        (get("/api/v1"), 404),
        (get("/api/v1/jobs/"), 404),
        (get("/api/v1/jobs/%FF"), 400),
        (get("/api/v1/jobs/hourly/explain"), 400),
        (ask(Method::PUT, "/api/v1/jobs"), 405),
        (get("/api/v1/jobs/hourly/run"), 405),
        (post("/api/v1/jobs/hourly/reschedule").body("{}"), 415),
        (post("/api/v1/jobs/hourly/reschedule").json(&json!({})), 422),
        (post("/api/v1/jobs/hourly/reschedule").json(&json!({"trigger": "every 1h", "force": true})), 422),
        (post("/api/v1/jobs/hourly/reschedule").json(&json!({"trigger": "crontab 0 0 30 2 *"})), 422),
        (post("/api/v1/jobs/hourly/pause").header("content-type", "application/json").body("{"), 400),
        (post("/api/v1/jobs/hourly/pause").json(&json!({"until": "2020-01-01T00:00:00Z"})), 422),
    ] {
        let told = asked.of(&dashboard).await;
        assert_eq!(told.status.as_u16(), status, "{}", told.text);
        assert_eq!(told.header("content-type"), "application/problem+json");
        assert_eq!(told.json()["status"], status);
    }
    assert_eq!(get("/api/v1/jobs/hourly/run").of(&dashboard).await.header("allow"), "POST, OPTIONS");
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_where_the_next_one_begins() {
    let scheduler = scheduler().await;
    let dashboard = unprotected(&scheduler);
    for number in 0..5 {
        let job = JobSpec::new("report", Interval::hours(1)).id(format!("job-{number}"));
        scheduler.add_job(job).await.unwrap();
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("cursor", &cursor).finish();
        let page = get(&format!("/api/v1/jobs?order=id&limit=2&{query}")).of(&dashboard).await.json();
        let jobs = page["jobs"].as_array().unwrap();
        found.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ["job-0", "job-1", "job-2", "job-3", "job-4"]);
}

#[tokio::test(start_paused = true)]
async fn an_id_may_have_any_letters() {
    let scheduler = scheduler().await;
    let dashboard = unprotected(&scheduler);
    for id in ["a/b", "größe", "50%", "?page=jobs&x", "../..", "a b+c", "#"] {
        scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id(id)).await.unwrap();
        let path: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let job = get(&format!("/api/v1/jobs/{path}")).of(&dashboard).await;
        assert_eq!(job.json()["id"], id);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_fields_of_their_schemas() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let keeps = JobSpec::new("report", Interval::minutes(1)).id("keeps").output(Output::Keep);
    scheduler.add_job(keeps).await.unwrap();
    scheduler.add_job(JobSpec::new("wait", Interval::minutes(1)).id("slow")).await.unwrap();
    pass(Duration::from_secs(90)).await;

    let document = get("/api/v1/openapi.json").of(&dashboard).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (uri, schema, place) in [
        ("/api/v1/jobs", "Jobs", ""),
        ("/api/v1/jobs", "Job", "/jobs/0"),
        ("/api/v1/job-counts", "Counts", ""),
        ("/api/v1/job-counts?state=finished", "Counts", ""),
        ("/api/v1/jobs/keeps/runs", "Runs", ""),
        ("/api/v1/jobs/keeps/runs", "Run", "/runs/0"),
        ("/api/v1/upcoming", "Upcoming", ""),
        ("/api/v1/preview?trigger=every%201h", "Preview", ""),
        ("/api/v1/nodes", "Nodes", ""),
        ("/api/v1/nodes", "Node", "/nodes/0"),
        ("/api/v1/put-aside", "PutAside", ""),
        ("/api/v1/operations", "Operations", ""),
        ("/api/v1/operations", "Operation", "/operations/0"),
        ("/api/v1/jobs/none", "Problem", ""),
    ] {
        let answer = get(uri).of(&dashboard).await.json();
        let part = answer.pointer(place).unwrap_or_else(|| panic!("{uri} has no {place}: {answer}"));
        let schema_of = &document["components"]["schemas"][schema];
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
        let required = schema_of["required"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
        let (required, described) = (required.collect::<BTreeSet<_>>(), names(&schema_of["properties"]));
        let missing: Vec<_> = required.difference(&names(part)).cloned().collect();
        assert!(missing.is_empty(), "{schema}: the answer lacks {missing:?}");
        let unknown: Vec<_> = names(part).difference(&described).cloned().collect();
        assert!(unknown.is_empty(), "{schema}: {unknown:?} are not described");
        // All that is left out at times.
        let optional: Vec<_> = described.difference(&required).map(String::as_str).collect();
        assert_eq!(optional, if schema == "Counts" { vec!["finished"] } else { vec![] }, "{schema}");
    }
    let job = get("/api/v1/jobs/hourly").of(&dashboard).await.json();
    assert!(job["fire_times"].is_array() && job["id"] == "hourly", "{job}");
    assert!(scheduler.now() > begin());
}
