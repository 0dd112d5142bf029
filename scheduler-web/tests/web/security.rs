//! Which operations a request may perform by its permissions, and which requests are refused to everybody.

use std::sync::{Arc, Mutex};

use axum::Router;
use http::{Method, StatusCode};
use scheduler_core::{JobSpec, trigger::Interval};
use scheduler_web::{Access, Dashboard, Hidden, Kind, Operation, Permissions};
use serde_json::json;
use tower_service::Service as _;

use crate::stage::{Asked, ask, get, pass, post, scheduler, unprotected, with_a_job};

/// A request for each operation, which is done if it is permitted.
fn request_for(operation: Operation) -> Asked {
    match operation {
        Operation::ListJobs => get("/api/v1/jobs"),
        Operation::ReadJob => get("/api/v1/jobs/hourly"),
        Operation::ExplainJob => get("/api/v1/jobs/hourly/explain?at=2026-11-30T09:00:00Z"),
        Operation::ReadUpcoming => get("/api/v1/upcoming"),
        Operation::PreviewTrigger => get("/api/v1/preview?trigger=every%201h"),
        Operation::ReadRuns => get("/api/v1/runs"),
        Operation::ReadNodes => get("/api/v1/nodes"),
        Operation::ReadPutAside => get("/api/v1/put-aside"),
        // Its answer has no end, so that it is not read.
        Operation::WatchChanges => ask(Method::HEAD, "/api/v1/changes"),
        Operation::RunJob => post("/api/v1/jobs/hourly/run"),
        Operation::PauseJob => post("/api/v1/jobs/hourly/pause"),
        Operation::ResumeJob => post("/api/v1/jobs/hourly/resume"),
        Operation::RescheduleJob => post("/api/v1/jobs/hourly/reschedule").json(&json!({"trigger": "every 2h"})),
        Operation::RemoveJob => ask(Method::DELETE, "/api/v1/jobs/hourly"),
        Operation::CancelRun => post("/api/v1/jobs/hourly/runs/0193a1b2c3d4000100000000000000ff-7/cancel"),
        Operation::RemovePutAside => ask(Method::DELETE, "/api/v1/put-aside/hourly"),
        Operation::AddJob => post("/api/v1/jobs").json(&json!({"task": "report", "trigger": "every 1h"})),
        Operation::ChangeJob => ask(Method::PATCH, "/api/v1/jobs/hourly").json(&json!({"args": "bob"})),
        other => panic!("{other} has no request here"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_operation_is_done_for_those_who_may_and_refused_to_others() {
    let roles: [(&str, Permissions); 5] = [
        ("nobody", Permissions::none()),
        ("reader", Permissions::read()),
        ("operator", Permissions::steer()),
        ("developer", Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob)),
        ("runner", Permissions::none().allow(Operation::RunJob)),
    ];
    for (role, permissions) in roles {
        for operation in Operation::ALL {
            let scheduler = with_a_job().await;
            let granted = permissions.clone();
            let dashboard = Dashboard::new(scheduler, Access::by(move |_| granted.clone()));
            let told = request_for(operation).of(&dashboard).await;
            let may = permissions.permits(operation);
            assert_eq!(told.status != StatusCode::FORBIDDEN, may, "{role} {operation}: {}", told.text);
            if may {
                // There is no such run, and the job is not put aside: these two are refused by what they are about.
                let expected = match operation {
                    Operation::CancelRun => told.status == StatusCode::NOT_FOUND,
                    Operation::RemovePutAside => told.status == StatusCode::CONFLICT,
                    _ => told.status.is_success(),
                };
                assert!(expected, "{role} {operation}: {} {}", told.status, told.text);
            } else if operation != Operation::WatchChanges {
                assert_eq!(told.json()["kind"], "not_permitted");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_defines_jobs_is_off_unless_it_is_granted_by_name() {
    let scheduler = with_a_job().await;
    for dashboard in [unprotected(&scheduler), Dashboard::new(scheduler.clone(), Access::read_only())] {
        for operation in Operation::ALL.into_iter().filter(|it| it.kind() == Kind::Define) {
            assert_eq!(request_for(operation).of(&dashboard).await.status, StatusCode::FORBIDDEN, "{operation}");
        }
    }
    let catalogue = get("/api/v1/operations").of(&unprotected(&scheduler)).await.json();
    for operation in catalogue["operations"].as_array().unwrap() {
        assert_eq!(operation["permitted"] == true, operation["kind"] != "define", "{operation}");
    }
    assert_eq!(scheduler.jobs().await.unwrap().len(), 1);
}

/// What the login of a service puts into the extensions of a request.
#[derive(Clone)]
struct User(&'static str);

#[tokio::test(start_paused = true)]
async fn the_login_of_the_service_decides_by_the_extensions_of_the_request() {
    let scheduler = with_a_job().await;
    let access = Access::by(|request| match request.extensions.get::<User>() {
        Some(User(name)) => Permissions::steer().by(name),
        None => Permissions::none(),
    });
    let dashboard = Dashboard::new(scheduler.clone(), access);
    assert_eq!(post("/api/v1/jobs/hourly/pause").of(&dashboard).await.status, StatusCode::FORBIDDEN);
    let paused = post("/api/v1/jobs/hourly/pause").extension(User("anna")).of(&dashboard).await;
    assert_eq!(paused.json()["pause"]["by"], "anna");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_another_site_asks_for_is_refused() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for headers in [
        &[("sec-fetch-site", "cross-site")] as &[(&str, &str)],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example.com")],
        &[("origin", "null")],
    ] {
        for target in ["/api/v1/jobs/hourly/pause", "/?page=job&id=hourly"] {
            let asked = headers.iter().fold(post(target), |asked, (name, value)| asked.header(name, value));
            let refused = asked.form(&[("do", "pause_job")]).of(&dashboard).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{headers:?}");
            assert!(refused.text.contains("of this site"), "{}", refused.text);
        }
    }
    assert_eq!(scheduler.job("hourly").await.unwrap().unwrap().state.as_str(), "active");
}

#[tokio::test(start_paused = true)]
async fn a_dashboard_without_login_goes_by_no_name_that_may_be_of_another_site() {
    let scheduler = with_a_job().await;
    let rebound = |uri| get(uri).header("host", "rebound.example.com");
    for access in [Access::unprotected(), Access::read_only()] {
        let dashboard = Dashboard::new(scheduler.clone(), access).host("jobs.internal");
        for uri in ["/", "/api/v1/jobs", "/?asset=style.css"] {
            assert_eq!(rebound(uri).of(&dashboard).await.status, StatusCode::MISDIRECTED_REQUEST, "{uri}");
            for host in ["127.0.0.1:8080", "[::1]", "jobs.internal"] {
                assert_eq!(get(uri).header("host", host).of(&dashboard).await.status, StatusCode::OK, "{uri} {host}");
            }
        }
    }
    // A login of the service is not sent to such a name.
    let with_login = Dashboard::new(scheduler, Access::by(|_| Permissions::read()));
    assert_eq!(rebound("/").of(&with_login).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_not_read() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let large = vec![b' '; 300 * 1024];
    let target = "/api/v1/jobs/hourly/reschedule";
    let told = post(target).header("content-type", "application/json").body(large.clone()).of(&dashboard).await;
    assert_eq!(told.status, StatusCode::PAYLOAD_TOO_LARGE);
    let told = post(target).header("content-type", "application/json").chunked(large).of(&dashboard).await;
    assert_eq!(told.status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = format!("/api/v1/jobs?text={}", "a".repeat(10_000));
    assert_eq!(get(&long).of(&dashboard).await.status, StatusCode::URI_TOO_LONG);
    let many = format!("/api/v1/jobs?{}", "tag=a&".repeat(300));
    assert_eq!(get(&many).of(&dashboard).await.status, StatusCode::BAD_REQUEST);
    let deep = "[".repeat(100_000);
    let told = post(target).header("content-type", "application/json").body(deep).of(&dashboard).await;
    assert!(told.status.is_client_error(), "{}", told.text);
}

#[tokio::test(start_paused = true)]
async fn each_answer_tells_browsers_to_trust_nothing_else() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for uri in ["/", "/?page=jobs", "/?page=none", "/nowhere", "/api/v1/jobs", "/api/v1/none", "/?asset=script.js"] {
        let told = get(uri).of(&dashboard).await;
        let policy = told.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(told.header("x-content-type-options"), "nosniff");
        assert_eq!(told.header("referrer-policy"), "same-origin");
        assert_eq!(told.header("content-length"), told.text.len().to_string());
        let is_kept = told.header("cache-control").contains("max-age");
        assert_eq!(is_kept, uri.contains("asset"), "{uri}");
        assert_eq!(told.headers.get("set-cookie"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn methods_are_those_that_a_path_has() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    for uri in ["/", "/api/v1/jobs"] {
        let (read, head) = (get(uri).of(&dashboard).await, ask(Method::HEAD, uri).of(&dashboard).await);
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.text, "");
        assert_eq!(head.header("content-length"), read.header("content-length"));
        let options = ask(Method::OPTIONS, uri).of(&dashboard).await;
        assert_eq!(options.status, StatusCode::NO_CONTENT);
        assert_eq!(options.header("allow"), "GET, POST, HEAD, OPTIONS");
        let trace = ask(Method::TRACE, uri).of(&dashboard).await;
        assert_eq!(trace.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Method::DELETE, uri).of(&dashboard).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(post("/?asset=style.css").of(&dashboard).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn what_is_hidden_of_a_task_is_nowhere() {
    let scheduler = scheduler().await;
    scheduler.add_job(JobSpec::new("fail", Interval::minutes(1)).id("broken").args("the secret error")).await.unwrap();
    scheduler.add_job(JobSpec::new("report", Interval::minutes(1)).id("open").args("the open word")).await.unwrap();
    pass(std::time::Duration::from_secs(150)).await;
    let dashboard = unprotected(&scheduler).hide(|task| match task {
        Some(task) if *task == "report" => Hidden::Nothing,
        _ => Hidden::ArgumentsAndErrors,
    });
    let mut shown = 0;
    for uri in [
        "/",
        "/?page=jobs",
        "/?page=job&id=broken",
        "/?page=job&id=broken&at=2026-11-30T08:01",
        "/?page=job&id=open",
        "/?page=runs",
        "/?page=upcoming",
        "/?page=put-aside",
        "/?page=nodes",
        "/api/v1/jobs",
        "/api/v1/jobs/broken",
        "/api/v1/jobs/broken/runs",
        "/api/v1/jobs/broken/explain?at=2026-11-30T08:01:00Z",
        "/api/v1/runs",
    ] {
        let told = get(uri).of(&dashboard).await;
        assert_eq!(told.status, StatusCode::OK, "{uri}");
        assert!(!told.text.contains("the secret error"), "{uri}");
        shown += usize::from(told.text.contains("the open word"));
    }
    assert!(shown >= 2, "it is shown on {shown} of them");
    let open = get("/api/v1/jobs/broken/runs").of(&unprotected(&scheduler)).await;
    assert!(open.text.contains("the secret error"), "{}", open.text);
}

#[tokio::test(start_paused = true)]
async fn it_is_mounted_below_any_path_that_is_taken_off_or_not() {
    let scheduler = with_a_job().await;
    let nested = Router::new()
        .nest_service("/a/b", unprotected(&scheduler))
        .nest_service("/c", Router::<()>::new().nest_service("/d", unprotected(&scheduler)));
    let whole = Router::new().fallback_service(unprotected(&scheduler).under("a/b/"));
    for (mut router, prefix) in [(nested.clone(), "/a/b"), (nested, "/c/d"), (whole, "/a/b")] {
        for (path, status) in [
            ("", StatusCode::OK),
            ("/", StatusCode::OK),
            ("?page=jobs", StatusCode::OK),
            ("/?page=job&id=hourly", StatusCode::OK),
            ("/?asset=style.css", StatusCode::OK),
            ("/api/v1/jobs", StatusCode::OK),
            ("/none", StatusCode::NOT_FOUND),
        ] {
            let request = http::Request::get(format!("{prefix}{path}")).header("host", "localhost");
            let told = router.call(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
            assert_eq!(told.status(), status, "{prefix}{path}");
        }
    }
    let elsewhere = unprotected(&scheduler).under("/a/b");
    for path in ["/", "/a", "/a/bc", "/api/v1/jobs"] {
        assert_eq!(get(path).of(&elsewhere).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// Keeps what is logged: operation, job, who, and the words.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut line = format!("{}", event.metadata().level());
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line += &format!(" {field}={value:?}");
        });
        if line.contains("dashboard") {
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_logged_with_who_did_it() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let log = Log::default();
    let _subscribed = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let scheduler = with_a_job().await;
    let access = Access::by(|_| Permissions::steer().deny(Operation::RemoveJob).by("anna"));
    let dashboard = Dashboard::new(scheduler, access);
    post("/api/v1/jobs/hourly/run").of(&dashboard).await;
    get("/api/v1/jobs/hourly").of(&dashboard).await;
    ask(Method::DELETE, "/api/v1/jobs/hourly").of(&dashboard).await;
    post("/api/v1/jobs/none/run").of(&dashboard).await;
    let lines = log.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("INFO") && lines[0].contains(r#"operation="run_job" job="hourly" by="anna""#),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("WARN") && lines[1].contains(r#"operation="remove_job" job="hourly" by="anna""#),
        "{lines:#?}"
    );
    assert!(lines[2].starts_with("WARN") && lines[2].contains(r#"kind="not_found""#), "{lines:#?}");
}
