//! The dashboard on each store: it shows the same for the same jobs, and what is done on one node is seen on the page of another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use apscheduler::{
    Pause,
    prelude::*,
    web::{Access, Dashboard, Operation, Permissions},
};
use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use serde_json::Value;
use test_support::test_store::{self, TestStore};
use tokio::time;

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                #[test]
                fn the_dashboard_shows_the_same_as_of_jobs_in_memory() {
                    crate::on(async {
                        let here = crate::what_is_shown(stringify!($store)).await;
                        for (here, in_memory) in here.iter().zip(crate::what_is_shown("memory").await) {
                            assert_eq!(*here, in_memory);
                        }
                    });
                }

                #[test]
                fn what_is_done_on_one_node_is_seen_on_the_page_of_another() {
                    crate::on(crate::what_is_done_on_one_node_is_seen_on_another(stringify!($store)));
                }
            }
        )*

        #[test]
        fn each_store_is_tested() {
            test_store::assert_lists(&[$(stringify!($store)),*], |_| true);
        }
    };
}

on_stores! { etcd memory mongodb mysql postgres redis rethinkdb sqlite zookeeper }

fn on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { time::timeout(4 * DEADLINE, test).await.unwrap() });
}

/// A node that knows the tasks `report` and `fail`.
async fn node(store: &TestStore) -> Scheduler {
    let builder = Scheduler::builder(TokioRuntime::current()).store("default", store.open().await);
    let scheduler = builder
        .task("report", |_: Value| async {})
        .task("fail", |message: String| async move { Err::<(), _>(message) })
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    scheduler
}

/// A node that knows none of them.
async fn stranger(store: &TestStore) -> Scheduler {
    let builder = Scheduler::builder(TokioRuntime::current()).store("default", store.open().await);
    let scheduler = builder.task("other", || async {}).build().unwrap();
    scheduler.start().await.unwrap();
    scheduler
}

/// The page of who may do all of it.
struct Page(Dashboard);

impl Page {
    fn of(scheduler: &Scheduler) -> Self {
        let access = Access::by(|_| Permissions::steer().allow(Operation::AddJob).by("anna"));
        Self(Dashboard::new(scheduler.clone(), access))
    }

    async fn ask(&self, method: Method, target: &str, form: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(target);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.0.respond(request.body(Body::from(form.to_owned())).unwrap()).await;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn read(&self, target: &str) -> String {
        let (status, text) = self.ask(Method::GET, target, "").await;
        assert_eq!(status, StatusCode::OK, "{target}: {text}");
        text
    }

    async fn form(&self, target: &str, form: &str) {
        let (status, text) = self.ask(Method::POST, target, form).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{target} {form}: {text}");
    }

    /// Reads a page again and again until it has a text.
    async fn shows(&self, target: &str, text: &str) {
        let wait = async {
            while !self.read(target).await.contains(text) {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        let is_shown = time::timeout(DEADLINE, wait).await.is_ok();
        assert!(is_shown, "{target} does not show {text}: {}", self.read(target).await);
    }
}

/// What the pages and the API show of the same jobs, without what is another time or another number each time.
async fn what_is_shown(name: &str) -> Vec<String> {
    let store = TestStore::new(name);
    let scheduler = node(&store).await;
    for number in 0..12 {
        let at = format!("2040-01-{:02}T09:00:00Z", number % 5 + 1);
        let tag = if number % 3 == 0 { "billing" } else { "other" };
        let job = JobSpec::new("report", Date::at(at.parse::<chrono::DateTime<chrono::Utc>>().unwrap()));
        scheduler
            .add_job(job.id(format!("job-{number:02}")).tag(tag).name(format!("Größe {number} <%_>")))
            .await
            .unwrap();
    }
    let charge = "crontab 30 2 * * * in Europe/Berlin starting at 2040-01-01T00:00:00Z".parse::<Trigger>();
    scheduler.add_job(JobSpec::new("fail", charge.unwrap()).id("charge").args("no paper")).await.unwrap();
    scheduler.pause_job_with("job-03", Pause::new().by("anna").note("not now")).await.unwrap();
    for id in ["charge", "job-01", "charge", "job-03"] {
        let run = scheduler.run_job_now(id).await.unwrap();
        scheduler.wait_for(run).await.unwrap();
    }
    let page = Page::of(&scheduler);
    let mut shown = Vec::new();
    for target in [
        "/api/v1/jobs",
        "/api/v1/jobs?order=id&limit=5",
        "/api/v1/jobs?tag=billing&state=active",
        "/api/v1/jobs?text=GR%C3%B6%C3%9Fe%201",
        "/api/v1/jobs?text=%25_",
        "/api/v1/job-counts",
        "/api/v1/job-counts?tag=billing",
        "/api/v1/jobs/charge",
        "/api/v1/jobs/job-03",
        "/api/v1/jobs/charge/runs",
        "/api/v1/jobs/charge/explain?at=2040-01-02T01:30:00Z",
        "/api/v1/runs",
        "/api/v1/runs?verdict=error",
        "/api/v1/runs?task=report&state=ended",
        "/api/v1/put-aside",
    ] {
        let mut told: Value = serde_json::from_str(&page.read(target).await).unwrap();
        forget_what_varies(&mut told);
        shown.push(format!("{target}: {told:#}"));
    }
    for target in ["/", "/?page=jobs", "/?page=jobs&tag=billing", "/?page=job&id=charge", "/?page=runs"] {
        let text = page.read(target).await;
        let ids: Vec<&str> = text.split("&#38;id=").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let words =
            ["no paper", "not now", "Größe", "is-error", "is-ok", "is-paused"].map(|word| text.matches(word).count());
        shown.push(format!("{target}: {ids:?} {words:?}"));
    }
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    shown
}

fn forget_what_varies(told: &mut Value) {
    match told {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    // Those of memory are others by default.
                    "options" => *field = Value::Null,
                    // Where the next page begins has the number of a job in it.
                    "next" if field.is_string() => *field = "another page".into(),
                    "run" | "node" | "fire_time" | "due" | "started" | "ended" | "duration" | "since" | "last_end" => {
                        *field = Value::Null;
                    }
                    _ => forget_what_varies(field),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(forget_what_varies),
        _ => {}
    }
}

async fn what_is_done_on_one_node_is_seen_on_another(name: &str) {
    let store = TestStore::new(name);
    let (here, there) = (node(&store).await, stranger(&store).await);
    let job =
        JobSpec::new("report", Date::at("2040-01-01T09:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()));
    here.add_job(job.id("nightly")).await.unwrap();
    let (here_page, there_page) = (Page::of(&here), Page::of(&there));

    // The other node does not know the task, and shows and pauses the job all the same.
    let target = "/?page=job&store=default&id=nightly";
    there_page.shows("/?page=jobs", "nightly").await;
    there_page.form(target, "do=pause_job&note=no+paper").await;
    here_page.shows(target, "no paper").await;
    here_page.form(target, "do=resume_job").await;
    there_page.shows(target, "is-active").await;

    // Who asks for a run need not be who can do it.
    there_page.form(target, "do=run_job").await;
    there_page.shows("/?page=runs&verdict=ok", "nightly").await;
    here_page.shows("/?page=runs&verdict=ok", "nightly").await;
    there_page.form("/?page=jobs&tag=&text=night", "do=remove_job&which=listed").await;
    here_page.shows("/?page=jobs", "There are no jobs yet.").await;
    for scheduler in [here, there] {
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    }
}
