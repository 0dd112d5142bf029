//! A scheduler with jobs in all states, and a server for its dashboard.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use chrono::TimeDelta;
use scheduler_core::{
    JobSpec, Output, Pause, RunContext, Trigger,
    trigger::{Custom, CustomTrigger, Interval},
};
use scheduler_runtime::Scheduler;
use scheduler_tokio::TokioRuntime;
use scheduler_web::{Access, Dashboard, Operation, Permissions};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, time};

use crate::{chromium::Chromium, proxy};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where a dashboard is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    /// At the root of the server.
    Root,
    /// Below `/a/b`; the server takes that off.
    Nested,
    /// Below `/a/b`; the dashboard is told so.
    Whole,
    /// Below `/a/b` of a proxy, which takes that off.
    Proxy,
}

/// A scheduler and its dashboard, which end with this value.
pub(crate) struct Stage {
    runtime: Runtime,
    pub(crate) scheduler: Scheduler,
    /// Of the dashboard.
    pub(crate) address: String,
}

impl Stage {
    /// A dashboard of jobs that have this text wherever a text can be.
    pub(crate) fn new(mount: Mount, text: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let scheduler = runtime.block_on(scheduler(text));
        let who = format!("anna {text}");
        let access = Access::by(move |_| {
            let permissions = Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob);
            permissions.by(&who)
        });
        let dashboard = Dashboard::new(scheduler.clone(), access).title(format!("Print shop {text}"));
        let (routes, path) = match mount {
            Mount::Root | Mount::Proxy => (Router::new().fallback_service(dashboard), "/"),
            Mount::Nested => (Router::new().nest_service("/a/b", dashboard), "/a/b"),
            Mount::Whole => (Router::new().fallback_service(dashboard.under("/a/b")), "/a/b/"),
        };
        let server = runtime.block_on(serve(routes));
        let address = match mount {
            Mount::Proxy => format!("http://{}/a/b", proxy::start("/a/b", server)),
            _ => format!("http://{server}{path}"),
        };
        Self { runtime, scheduler, address }
    }

    /// The page of this query opened in the browser.
    pub(crate) fn open(&self, browser: &mut Chromium, query: &str) {
        browser.open(&format!("{}{query}", self.address));
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { time::timeout(DEADLINE, work).await.unwrap() })
    }

    /// The state of a job, as it is named.
    pub(crate) fn state(&self, id: &str) -> String {
        let job = self.block_on(self.scheduler.job(id)).unwrap();
        job.map_or("none", |job| job.state.as_str()).to_owned()
    }
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
    address
}

/// A trigger that fails when it is asked a second time.
struct Tides;

impl CustomTrigger for Tides {
    fn next(
        &self,
        args: &Value,
        previous: Option<chrono::DateTime<chrono::Utc>>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Option<chrono::DateTime<chrono::Utc>>, String> {
        match previous {
            None => Ok(Some(now)),
            Some(_) => Err(args.as_str().unwrap_or_default().to_owned()),
        }
    }
}

async fn scheduler(text: &str) -> Scheduler {
    let scheduler = Scheduler::builder(TokioRuntime::current())
        .task("report", |args: Value| async { args })
        .task("fail", |message: String| async move { Err::<(), _>(message) })
        .task("wait", |_: RunContext| time::sleep(Duration::from_secs(3_600)))
        .trigger("tides", Tides)
        .node_label("host", text)
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    for job in jobs(text) {
        scheduler.add_job(job).await.unwrap();
    }
    let soon = scheduler.now() + TimeDelta::days(30);
    let pause = Pause::new().by(text).note(format!("the address list is not there yet {text}")).until(soon);
    scheduler.pause_job_with("letters", pause).await.unwrap();
    for (id, runs) in [("hourly", 3), (&*format!("charge {text}"), 2), ("slow", 1)] {
        for _ in 0..runs {
            let run = scheduler.run_job_now(id).await.unwrap();
            if id != "slow" {
                scheduler.wait_for(run).await.unwrap();
            }
        }
    }
    time::timeout(DEADLINE, until_it_is_lively(&scheduler)).await.unwrap();
    scheduler
}

fn jobs(text: &str) -> Vec<JobSpec> {
    let trigger = |text: &str| text.parse::<Trigger>().unwrap();
    vec![
        JobSpec::new("report", Interval::hours(1))
            .id("hourly")
            .args(json!({"to": text}))
            .tag("billing")
            .output(Output::Keep),
        JobSpec::new("fail", trigger("crontab 30 2 * * * in Europe/Berlin"))
            .id(format!("charge {text}"))
            .name(format!("Charge cards {text}"))
            .args(format!("the bank says: 503 {text}"))
            .tag(format!("money {text}"))
            .tag("billing")
            .meta(json!({"owner": text})),
        JobSpec::new("wait", Interval::hours(5)).id("slow"),
        JobSpec::new("report", trigger("crontab 0 9 * * mon-fri in America/New_York"))
            .id("letters")
            .args(json!([text])),
        JobSpec::new("report", Interval::seconds(30)).id("often"),
        JobSpec::new("report", Trigger::from(Custom::new("tides", json!(format!("there is no tide {text}")))))
            .id(format!("ferry {text}")),
        JobSpec::new("report", Interval::days(1))
            .id("a-name-that-goes-on-and-on-without-any-place-to-break-it-in-two-lines"),
    ]
}

/// Waits until a job runs, and another one is put aside.
async fn until_it_is_lively(scheduler: &Scheduler) {
    loop {
        let health = scheduler.health().await;
        let counts = scheduler.count_jobs(scheduler_core::store::JobFilter::new()).await.unwrap();
        if health.stores.iter().any(|store| store.running > 0) && counts.quarantined == 1 {
            return;
        }
        time::sleep(Duration::from_millis(10)).await;
    }
}
